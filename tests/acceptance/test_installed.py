"""What is installed from the wheel works in an empty folder, without the checkout: the commands of the README."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import simplejson

from tests.fixtures.commands import Workplace
from tests.fixtures.hub import SOLUTION
from tests.fixtures.postgres import database

BUILT_FROM = ("alembic.ini", "migrations", "replicator", "replicator.yaml", "schema", "setup.py", "pyproject.toml",
              "MANIFEST.in", "README.md", "LICENSE")  # fmt: skip
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and a folder to work in."""

    python: Path
    folder: Path

    def run(self, *arguments: str, module: str = "replicator", **environment: str) -> subprocess.CompletedProcess[str]:
        outside = ("PYTHONPATH", "HUB_URL", "REPLICATOR_CONFIG", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if name not in outside}
        return subprocess.run(
            [self.python, "-m", module, *arguments], cwd=self.folder, env=kept | environment, capture_output=True,
            text=True, check=False, timeout=280, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment of its own: the wheel, and beside it only what the program depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in BUILT_FROM:
        copy = shutil.copytree if (SOLUTION / name).is_dir() else shutil.copyfile
        source.mkdir(exist_ok=True)
        copy(SOLUTION / name, source / name)
    run = {"check": True, "capture_output": True, "text": True}
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=source, **run)  # type: ignore[call-overload]
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], **run)  # type: ignore[call-overload]
    python = folder / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    subprocess.run([*uv, *folder.glob("*.whl")], **run)  # type: ignore[call-overload]
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


@pytest.fixture
def installed(python: Path, tmp_path: Path) -> Installed:
    folder = tmp_path / "empty"
    folder.mkdir()
    found = Installed(python, folder)
    lines = subprocess.run(
        [python, "-c", "import replicator; print(replicator.__file__)"], cwd=folder, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert Path(lines.strip()).is_relative_to(python.parent.parent)
    return found


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """Where the sandbox runs, as a process of the checkout."""
    (tmp_path / "beside").mkdir()
    place = Workplace(tmp_path / "beside", None)
    yield place
    place.close()


@pytest.mark.slow
def test_the_demonstration_plays_from_the_wheel(installed: Installed) -> None:
    told = installed.run("demo", "--json")
    assert told.returncode == 0, told.stderr
    flows = {row["flow"]: row["in_step"] for row in simplejson.loads(told.stdout)["flows"]}
    assert flows["account > ops.CustomersV3"] == 15


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_field_of_ones_own_reaches_the_other_system_from_the_wheel(
    installed: Installed, workplace: Workplace, server_url: str
) -> None:
    """init, migrate, edit, revise, migrate, check, once; and plain Alembic makes the same hub."""
    systems = workplace.sandbox()
    folder = installed.folder
    assert installed.run("init", ".").returncode == 0
    for name, url in (("sales", "http://127.0.0.1:8081"), ("ops", "http://127.0.0.1:8082")):
        replace(folder / "replicator.yaml", url, systems.urls[name])
    with database(server_url) as url, database(server_url) as second:
        done = installed.run("migrate", HUB_URL=url)
        assert done.returncode == 0, done.stderr
        schema = folder / "schema"
        replace(
            schema / "common/account.yaml", "  name: {length: 160,", "  alias: {length: 128}\n  name: {length: 160,"
        )
        sales = schema / "sales/accounts.yaml"
        replace(sales, "  tickersymbol: ", "  primarytwitterid: {length: 128}\n  tickersymbol: ")
        replace(sales, "      ticker: tick", "      alias: primarytwitterid\n      ticker: tick")
        ops = schema / "ops/CustomersV3.yaml"
        replace(ops, "  PartyType: {}", "  NameAlias: {length: 20}\n  PartyType: {}")
        replace(ops, "      PartyType:\n", "      NameAlias: {copy: alias, truncate: 20}\n      PartyType:\n")
        revised = installed.run("revise", "-m", "Add the alias", "--json", HUB_URL=url)
        written = "migrations/versions/0002_add_the_alias.py"
        assert simplejson.loads(revised.stdout) == {"written": str(folder / written)}, revised.stderr
        for step in (["migrate"], ["check"]):
            done = installed.run(*step, HUB_URL=url)
            assert "error" not in done.stderr, done.stderr
        systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp", "primarytwitterid": "lamps"})
        once = installed.run("once", HUB_URL=url)
        assert once.returncode == 0, once.stdout + once.stderr
        assert [row["NameAlias"] for row in systems.records("ops", "CustomersV3")] == ["lamps"]
        plain = installed.run("upgrade", "heads", module="alembic", HUB_URL=second)
        assert plain.returncode == 0, plain.stderr
        assert installed.run("status", "--json", HUB_URL=second).returncode in (0, 3)
