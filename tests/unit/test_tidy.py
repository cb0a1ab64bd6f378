"""The house rules no other tool checks: who may import whom, where SQL comes from, whose names stand where."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ROOT / "replicator"
MODULES = sorted(PRODUCT.rglob("*.py"))
LONGEST = 400

LAYERS = (
    {"__main__"},
    {"cli"},
    {"demo", "console", "commands"},
    {"options"},
    {"preflight"},
    {"daemon", "metrics", "notify", "terminal", "report", "setup", "planning", "reconcile"},
    {"cycle"},
    {"inbound", "outbound"},
    {"objects"},
    {"engine"},
    {"config"},
    {"systems", "hub"},
    {"model"},
    {"serving", "bounded", "aliases"},
    {"errors", "signals", "words"},
)
"""From top to bottom. A module imports from layers below its own, never from a neighbour in its layer but itself."""
NEIGHBOURS = {
    *((above, "report") for above in ("daemon", "metrics", "notify", "terminal")),
    ("daemon", "metrics"), ("daemon", "notify"), ("demo", "console"),
}  # fmt: skip
"""The exceptions: rooms of one layer that may use each other, in this direction."""
OPENS_THE_SANDBOX = {"cli", "demo"}
ORDINARY_WORDS = {
    "name", "number", "kind", "code", "status", "state", "description", "decimals",
    "unit",  # of writes
    "quote", "quotes", "email",  # of the standard library: to quote in URLs, quotation marks, MIME
    "role",  # of the database
    "fullname",  # of a table, in SQLAlchemy
    "company",  # what the protocol of finops calls its partitions
    "organization",  # what the protocol of dataverse calls an environment; in the sandbox only
}  # fmt: skip
"""Names of ``schema/`` that are also words of the program's own trade. Every other name of a field is refused."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """The part of the program that a module belongs to: its folder, or its own name at the top."""
    return path.relative_to(PRODUCT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The rooms that a module imports from, and the lines."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: a relative import"
            names = [node.module or ""] if node.module != "replicator" else [f"replicator.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "replicator" and rest and not rest.startswith("__"):
                yield rest.partition(".")[0], node.lineno


def level(name: str) -> int:
    return next(place for place, rooms in enumerate(LAYERS) if name in rooms)


def test_every_room_has_a_place_among_the_layers() -> None:
    known = set().union(*LAYERS) | {"sandbox", "__init__"}
    assert {room(path) for path in MODULES} <= known


def test_no_module_imports_from_a_layer_above_or_beside_its_own() -> None:
    wrong = [
        f"{shown(path)}:{line}: {room(path)} imports {other}"
        for path in MODULES
        if room(path) not in ("sandbox", "__init__")
        for other, line in imported(path)
        if other not in ("sandbox", room(path))
        and level(other) <= level(room(path))
        and (room(path), other) not in NEIGHBOURS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_sandbox_stands_beside_and_only_those_who_show_it_open_it() -> None:
    from_inside = {other for path in MODULES if room(path) == "sandbox" for other, _ in imported(path)}
    from_outside = {room(path) for path in MODULES for other, _ in imported(path) if other == "sandbox"} - {"sandbox"}
    assert from_inside <= {"sandbox", "serving", "aliases", "errors", "signals", "words"}
    assert from_outside <= OPENS_THE_SANDBOX


def test_every_transaction_of_the_work_is_one_of_the_leader() -> None:
    """Opened by ``leading``, which asks for the lease; but for what a lease does itself, ids, and a temporary table."""
    own = {"replicator/engine/lease.py", "replicator/cycle.py", "replicator/inbound/snapshot.py"}
    begun = {
        shown(path): path.read_text(encoding="utf-8").count(".begin()")
        for path in MODULES
        if room(path) in ("engine", "inbound", "outbound", "cycle")
    }
    assert {name for name, times in begun.items() if times} == own
    assert (begun["replicator/cycle.py"], begun["replicator/inbound/snapshot.py"]) == (1, 1)


def test_nothing_imports_the_command_line() -> None:
    assert not [
        shown(path) for path in MODULES for other, _ in imported(path) if other == "cli" and path.stem != "__main__"
    ]


def assembled(node: ast.expr) -> bool:
    """Whether a text is put together in place: an f-string, +, %, ``.format`` or ``.join``."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("format", "join")
        and isinstance(node.func.value, ast.Constant | ast.JoinedStr)
    )


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


TAKES_SQL = {"execute", "executemany", "exec_driver_sql", "text", "DDL", "copy", "scalar", "scalars"}


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_no_sql_is_assembled_from_texts(path: Path) -> None:
    wrong = [
        f"{shown(path)}:{node.lineno}: {ast.unparse(node)[:100]}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and called(node) in TAKES_SQL and node.args and assembled(node.args[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_prints_but_through_the_terminal_and_the_log() -> None:
    wrong = [
        f"{shown(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "pprint")
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_told_goes_through_what_makes_all_of_it_visible() -> None:
    """But for the address of the console, and for the metrics, which are of a form of their own."""
    telling = re.compile(r"\bclick\.s?echo\(|console\.print\(|page\.print\(")
    found = {shown(path) for path in MODULES if telling.search(path.read_text(encoding="utf-8"))}
    own = {"replicator/options.py", "replicator/report.py"}
    others = {"replicator/console/command.py", "replicator/commands/alerting.py"}
    rendered = {"replicator/commands/status.py"}  # again and again, lines that were made visible before
    assert found == own | others | rendered


def test_all_yaml_is_read_with_bounded_aliases() -> None:
    loading = re.compile(r"\byaml\.(?:safe_|full_|unsafe_)?load(?:_all)?\(|\(yaml\.\w*Loader\)")
    found = [shown(path) for path in MODULES if loading.search(path.read_text(encoding="utf-8"))]
    assert found == ["replicator/aliases.py"]


def test_no_time_is_taken_without_its_zone() -> None:
    naive = {"utcnow", "utcfromtimestamp", "today"}
    wrong = [
        f"{shown(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value).split(".")[-1] in ("datetime", "date")
        and (
            node.func.attr in naive or (node.func.attr in ("now", "fromtimestamp") and not (node.args or node.keywords))
        )
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_says_what_it_is_for_and_can_be_read_in_one_sitting(path: Path) -> None:
    told = ast.get_docstring(tree(path))
    assert told, "no docstring"
    assert told.split("\n\n")[0].endswith("."), "its first words are no sentence"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@cache
def business_names() -> dict[str, str]:
    """Every name of an entity, entity set or field that ``schema/`` gives, and where it stands."""
    names: dict[str, str] = {}
    for path in sorted(ROOT.glob("schema/*/*.yaml")):
        described = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
        own = [described.get(key) for key in ("entity", "entity_set", "logical_name", "value_map")]
        for name in (*own, *described.get("fields", {})):
            if name:
                names.setdefault(name, shown(path))
    return names


def business_words(path: Path) -> list[str]:
    """The names of ``schema/`` that a file uses, comments and messages too; ``<reference>_id`` is a name as well."""
    names = business_names()
    telling = set(names) - ORDINARY_WORDS
    return [
        f"{shown(path)}:{number}: {word} ({names[word.removesuffix('_id')]})"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in re.findall(r"\w+", line)
        if word.removesuffix("_id") in telling
    ]


def product_files() -> list[Path]:
    """All that must not know the business: the program but for the sandbox's data, and the SQL every schema shares."""
    program = [path for path in PRODUCT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sandbox_data = set((PRODUCT / "sandbox").glob("*.yaml"))
    return sorted([*(set(program) - sandbox_data), *(ROOT / "schema" / "hub").glob("*.sql")])


def test_nothing_is_installed_by_the_set_up_without_its_hash() -> None:
    """But the project itself, which comes without its dependencies."""
    lines = (ROOT / "setup.sh").read_text(encoding="utf-8").splitlines()
    installing = [line for line in lines if re.search(r"pip (install|sync)", line)]
    assert len(installing) == 3
    assert [line for line in installing if "--require-hashes" not in line and "--no-deps" not in line] == []


def locked(name: str) -> dict[str, str]:
    """The versions in a lock, by package; each has its hashes, and no host is named."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    packages = re.findall(r"^([\w-]+)==(\S+).*((?:\n +--hash=sha256:.+)+)", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^\w", text, re.MULTILINE))
    return {package: version for package, version, _ in packages}


def test_a_machine_that_only_runs_the_program_gets_no_tools_of_those_who_develop_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed, tools = (
        {re.split(r"[\[><=]", each)[0] for each in wanted}
        for wanted in (project["project"]["dependencies"], chain.from_iterable(project["dependency-groups"].values()))
    )
    production = locked("requirements.txt")
    assert needed <= production.keys()
    assert not tools & production.keys()


def test_every_lock_has_the_same_version_of_a_package() -> None:
    versions: dict[str, set[str]] = {}
    for path in ROOT.glob("requirements*.txt"):
        for package, version in locked(path.name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", list(product_files()), ids=shown)
def test_the_program_knows_no_business_entity_and_no_field_of_one(path: Path) -> None:
    found = business_words(path)
    assert not found, "\n".join(found)
