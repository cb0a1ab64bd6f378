"""``python -m replicator``: the command line."""

from replicator.cli.main import main

main(prog_name="replicator")
