#!/usr/bin/env bash
# Makes the virtual environment in .venv from the locked dependencies. Needs python3 (3.11 or newer) and nothing else.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: Python 3.11 or newer is needed; $("$python" --version) is what 'python3' is" >&2
    echo "  next: set PYTHON to a newer one, for example PYTHON=python3.12 $0" >&2
    exit 1
}
stamp=.venv/installed
if [ -f "$stamp" ] && cmp -s requirements.txt "$stamp"; then
    exit 0
fi
echo "setting up .venv ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
# uv's own lines of the lock, with its hashes.
awk '/^uv==/ { on = 1 } on { print; if (!/\\$/) exit }' requirements.txt > .venv/uv.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.txt
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
cp requirements.txt "$stamp"
