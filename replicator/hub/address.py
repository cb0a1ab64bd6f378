"""Where the hub is: what ``HUB_URL`` or the configuration file says of it, whatever else that file says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from replicator import bounded_yaml
from replicator.errors import ConfigurationError

FILE = Path("replicator.yaml")
FOLDER = Path("hub")
_PART = re.compile(r"^hub:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class HubAddress:
    """A server by ``url``, which may hold a password, else the embedded one that is kept in ``folder``."""

    url: str | None = field(repr=False)
    folder: Path


def configuration_file(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file that counts: the named one, else REPLICATOR_CONFIG, else replicator.yaml where there is one."""
    if path is None and environment.get("REPLICATOR_CONFIG"):
        path = Path(environment["REPLICATOR_CONFIG"])
    if path is None and not FILE.exists():
        return None
    file = path or FILE
    if not file.exists():
        raise ConfigurationError(f"there is no file {file}", hint="'replicator init' writes one")
    return file


def load_hub(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> HubAddress:
    """Only where the hub is: the rest of the file may be wrong, and no secret has to be there."""
    file = configuration_file(path, environment)
    base = file.resolve().parent if file is not None else Path.cwd()
    if url := environment.get("HUB_URL"):
        return HubAddress(url, base / FOLDER)
    settings = _hub_settings(file) if file is not None else {}
    return HubAddress(settings.get("url"), base / settings.get("folder", FOLDER))


def _hub_settings(file: Path) -> dict[str, str]:
    """What the file says below ``hub:``, checked."""
    found = _part(file)
    if isinstance(found, dict) and set(found) <= {"url", "folder"}:
        settings = {name: value for name, value in found.items() if not (name == "url" and value is None)}
        if all(isinstance(value, str) for value in settings.values()):
            return settings
    return _explained(file)


def _part(file: Path) -> object:
    """The value of ``hub:``; where the file is no YAML, of these lines alone."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file}: cannot be read: {problem}") from problem
    alone = _PART.search(text)
    for each in (text, alone[0] if alone else ""):
        try:
            data = bounded_yaml.load(each)
        except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError):
            continue
        if data is not None and not isinstance(data, dict):
            break
        return (data or {}).get("hub") or {}
    return None


def _explained(file: Path) -> dict[str, str]:
    """The slow way, on which every value has a line of the file to be named in an error."""
    from replicator.mapping.yaml_source import read

    document = read(file, ConfigurationError)
    if not isinstance(document.data, dict):
        raise document.problem("not a mapping of keys to values")
    found = document.data.get("hub") or {}
    if not isinstance(found, dict):
        raise document.problem("not a mapping of keys to values", ("hub",))
    for name, value in found.items():
        at = ("hub", str(name))
        if name not in ("url", "folder"):
            raise document.problem("unknown key; there are url and folder", at)
        if not isinstance(value, str) and (name, value) != ("url", None):
            raise document.problem("not a path" if name == "folder" else "not a text", at)
    return {name: value for name, value in found.items() if value is not None}


def libpq_parameters(url: str) -> dict[str, Any]:
    """What libpq makes of a database's URL, which may also name SQLAlchemy's driver. Raises ConfigurationError."""
    import psycopg  # here: who asks only which file counts starts faster without it

    hint = "postgresql://user@host/database"
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigurationError("the hub's URL is not a database URL", hint=hint)
    kind = scheme.partition("+")[0]
    if kind not in ("postgresql", "postgres"):
        raise ConfigurationError(f"the hub has to be PostgreSQL, not {kind}", hint=hint)
    try:
        found = dict(psycopg.conninfo.conninfo_to_dict(f"postgresql://{_escaped(rest)}"))
        [int(port) for port in str(found.get("port") or 0).split(",")]
        return found
    except (psycopg.ProgrammingError, ValueError):  # its words repeat parts of the URL
        raise ConfigurationError("the hub's URL is not a database URL", hint=hint) from None


def _escaped(rest: str) -> str:
    """A URL in which a password was written as it is, as SQLAlchemy takes it and libpq does not."""
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", rest), safe="%:/?#[]@!$&'()*+,;=~")
