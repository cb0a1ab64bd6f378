"""The solution that comes with the program, and how a folder becomes one like it."""

from __future__ import annotations

import shutil
from pathlib import Path

from replicator.config import FILE
from replicator.errors import ConfigurationError

PARTS = (FILE.name, "alembic.ini", "migrations", "schema")
"""What a solution consists of; beside them stands a README."""
_HERE = Path(__file__).parent


def shipped() -> Path:
    """Where it lies: packed beside this module in what is installed, at the top of the repository in a checkout."""
    packed = _HERE / "shipped"
    return packed if packed.is_dir() else _HERE.parent.parent


def write(folder: Path, *, force: bool = False) -> Path:
    """Make ``folder`` a solution of its own; returns its configuration. Raises when there is something in it already.

    By force files of the same names are overwritten, and all others stay.
    """
    if not force and folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty", hint="give another folder, or --force")
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        _copy(shipped() / name, folder / name)
    _copy(_HERE / "readme.md", folder / "README.md")
    return folder / FILE


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
