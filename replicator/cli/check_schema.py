"""``check-schema``: what a folder of ``schema/`` says, without a hub."""

from __future__ import annotations

from pathlib import Path

import click

from replicator.cli.options import config_option, json_option
from replicator.cli.output import answer, say_json
from replicator.config import load_schema_folder
from replicator.mapping.compiled import compile_folder


@click.command("check-schema")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@config_option
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of the files, for editors.")
@json_option
def check_schema(folder: Path | None, config_path: Path | None, json_schema: bool, as_json: bool) -> None:
    """Read and compile the schema in FOLDER, and say what is wrong with it; needs no hub.

    Without FOLDER it is the one that the configuration file names, else schema/.
    """
    if json_schema:
        from replicator.mapping.json_schema import json_schemas

        say_json(json_schemas())
        return
    compiled = compile_folder(folder or load_schema_folder(config_path))
    lines = [f"{flow.rank}  {flow.name}" for flow in compiled.maps]
    lines.append(f"{len(compiled.schema.entities)} entities, {len(compiled.maps)} maps, no problem found")
    flows = [{"flow": flow.name, "rank": flow.rank} for flow in compiled.maps]
    answer("\n".join(lines), as_json, entities=list(compiled.schema.entities), flows=flows)
