"""Packs the shipped solution into what is built; in a checkout it is found where it lies. All else: pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOLUTION = ("replicator.yaml", "alembic.ini", "migrations", "schema")


class WithSolution(build_py):
    """The modules, and the solution beside the module that hands it out."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self._pack(Path(self.build_lib) / "replicator" / "solution" / "shipped")

    def _pack(self, packed: Path) -> None:
        shutil.rmtree(packed, ignore_errors=True)  # of an earlier build
        packed.mkdir(parents=True)
        for name in SOLUTION:
            if Path(name).is_dir():
                shutil.copytree(name, packed / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(name, packed / name)


setup(cmdclass={"build_py": WithSolution})
