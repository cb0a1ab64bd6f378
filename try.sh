#!/usr/bin/env bash
# Installs, then shows the main job at work: an embedded hub, both systems over HTTP, the daemon between them.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
exec .venv/bin/replicator demo "$@"
