#!/usr/bin/env bash
# Installs, then runs the checks and the everyday tests. Arguments go to pytest: './test.sh -m slow' runs the long ones.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh --dev
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
.venv/bin/mypy
exec .venv/bin/python -m pytest -n 3 --dist loadfile "$@"
