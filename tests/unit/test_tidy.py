"""The house rules no other tool checks: who may import whom, where SQL comes from, whose names stand where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ROOT / "replicator"
MODULES = sorted(path for path in PRODUCT.rglob("*.py") if "migrations" not in path.parts)
"""Without the revisions, which are frozen as they were written."""
LONGEST = 400

ORDINARY_WORDS = {
    "name", "number", "kind", "code", "status", "state", "description", "decimals",
    "unit",  # of writes
    "quote", "quotes", "email",  # of the standard library: to quote in URLs, quotation marks, MIME
    "role",  # of the database
    "cost",  # of reading, in requests and bytes
    "merged",  # what inbound does
    "fullname",  # of a table, in SQLAlchemy
    "company",  # what the protocol of finops calls its partitions
    "statecode", "statuscode",  # by which the protocol of dataverse switches a step on and off
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


def test_everything_imports_only_from_what_lies_below_it() -> None:
    """The contracts stand in pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_two_modules_bear_one_name() -> None:
    names: dict[str, list[str]] = {}
    for path in MODULES:
        if path.stem != "__init__":
            names.setdefault(path.stem, []).append(shown(path))
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


def test_no_two_public_classes_bear_one_name() -> None:
    names: dict[str, list[str]] = {}
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(shown(path))
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


def test_every_transaction_of_the_work_is_one_of_the_leader() -> None:
    """Opened by ``leading``, which asks for the lease; but for what leases do themselves, ids and temporary tables."""
    hub = {"replicator/hub/lease.py", "replicator/hub/made_from.py"}
    own = {*hub, "replicator/core/hub_handle.py", "replicator/inbound/pages.py", "replicator/inbound/sweep.py"}
    begun = {
        shown(path): path.read_text(encoding="utf-8").count(".begin()")
        for path in MODULES
        if room(path) in ("core", "inbound", "outbound", "cycle") or path.stem in ("lease", "made_from")
    }
    assert {name for name, times in begun.items() if times} == own
    assert (begun["replicator/core/hub_handle.py"], begun["replicator/inbound/pages.py"]) == (1, 2)
    assert begun["replicator/inbound/sweep.py"] == 2


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
    own = {"replicator/cli/output.py"}
    others = {"replicator/cli/console.py", "replicator/cli/monitoring.py"}
    rendered = {"replicator/cli/status.py"}  # again and again, lines that were made visible before
    assert found == own | others | rendered


def test_all_yaml_is_read_with_bounded_aliases() -> None:
    loading = re.compile(r"\byaml\.(?:safe_|full_|unsafe_)?load(?:_all)?\(|\(yaml\.\w*Loader\)")
    found = [shown(path) for path in MODULES if loading.search(path.read_text(encoding="utf-8"))]
    assert found == ["replicator/bounded_yaml.py"]


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
    return sorted(set(program) - sandbox_data)


def test_nothing_is_installed_by_the_set_up_without_its_hash() -> None:
    """But the project itself, which comes without its dependencies."""
    lines = (ROOT / "setup.sh").read_text(encoding="utf-8").splitlines()
    installing = [line for line in lines if re.search(r"pip (install|sync)", line)]
    assert len(installing) == 4
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
