"""A simulated system: its state, what a person does to it directly, and the WSGI application that serves it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import simplejson
from werkzeug.wrappers import Request, Response

from replicator.errors import Terminal
from replicator.sandbox.dataverse_service import ROOT as SALES_ROOT
from replicator.sandbox.dataverse_service import DataverseService
from replicator.sandbox.dataverse_webhooks import Webhooks
from replicator.sandbox.description import describe
from replicator.sandbox.direct_edits import Direct, MissingReferenceError, UnresolvedError
from replicator.sandbox.finops_metadata_service import ROOT as METADATA_ROOT
from replicator.sandbox.finops_metadata_service import MetadataService
from replicator.sandbox.finops_packages import FILES, PackageService
from replicator.sandbox.finops_service import ROOT as OPS_ROOT
from replicator.sandbox.finops_service import FinOpsService
from replicator.sandbox.odata_http import BadJsonError, Call, RefusalError, Reply, from_json, parse_query
from replicator.sandbox.rules import Rules
from replicator.sandbox.store import Store
from replicator.sandbox.system_options import Options
from replicator.sandbox.tokens_and_throttling import Guard
from replicator.sandbox.writing import Records
from replicator.text import many

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TOKEN_PATH = "oauth2/v2.0/token"  # noqa: S105 - an address

_mark = b"\xef\xbb\xbf"

__all__ = ["LoadError", "Options", "Sandbox"]


def _path(path: str) -> str:
    """The path as WSGI has it, bytes in the guise of text, also from servers that decode it wholly."""
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return path.encode("utf-8", "replace").decode("latin-1")
    return path


@dataclass
class Loading:
    """What became of the files of a folder so far."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    references_missing: bool = False


class LoadError(Terminal):
    """Some records of a folder could not be loaded; all others were."""

    def __init__(self, folder: Path, loading: Loading) -> None:
        problems = loading.problems
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        hint = "load what they refer to first" if loading.references_missing else "mend the file, then load again"
        super().__init__(f"{folder}: {many(len(problems), 'problem')}: {shown}", hint=hint)
        self.problems = problems
        self.counts = loading.counts


def _unreadable(where: str, error: BadJsonError) -> str:
    """The parser knows one line only, so where that is in the file has to be said here, with the column."""
    cause = error.__cause__
    if isinstance(cause, simplejson.JSONDecodeError):
        return f"{where}:{cause.colno}: {str(cause).partition(': line ')[0].removesuffix(' at')}"
    if isinstance(cause, UnicodeDecodeError):
        before = cause.object[: cause.start].decode()
        return f"{where}:{len(before) + 1}: not UTF-8: {cause.reason}"
    return f"{where}: {error}"


class Sandbox:
    """One of the two systems. Safe to use from several threads; requests are carried out one after another."""

    def __init__(
        self,
        system: Literal["sales", "ops"],
        *,
        state: Path | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        random: Random | None = None,
    ) -> None:
        self.system = system
        self.requests: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._description = describe(system)
        self._store = Store(state, self._description)
        self._rules = Rules(self._store, recalculate=options.recalculate, enforce=options.activation_rules)
        random = random if random is not None else Random()  # noqa: S311 - identifiers, no secrets
        self._records = Records(self._description, self._store, self._rules, clock, random)
        self._direct = Direct(self._description, self._records, ZoneInfo(options.time_zone))
        self._direct.begin()
        self._guard = Guard(options, system, clock, random)
        self._metadata = MetadataService(self._description)
        self._packages = PackageService(self._description, self._store, options.packages, clock, random, self._count)
        self._webhooks: Webhooks | None = None
        self._service: DataverseService | FinOpsService
        if system == "sales":
            self._service = DataverseService(self._description, self._records, options, self._count)
            self._webhooks = Webhooks(self._description, self._store, options, clock, random, self._count)
            self._root = SALES_ROOT
        else:
            page_size = options.page_size or self._description.page_size
            self._service = FinOpsService(self._description, self._records, self._packages, page_size, self._count)
            self._root = OPS_ROOT
        self.wsgi: WSGIApplication = self._application

    def _count(self, what: str) -> None:
        self.requests[what] += 1

    def close(self) -> None:
        """Release the state."""
        with self._lock:
            if self._webhooks is not None:
                self._webhooks.close()
            self._rules.close()
            self._store.close()

    def load(self, folder: Path) -> dict[str, int]:
        """Set the state of the records in ``<folder>/<entity_set>.jsonl``; how many of each set there were.

        Nothing but identity is checked, as when a backup is restored. Raises LoadError at the end where records could
        not be read or refer to others that are not there.
        """
        if not folder.is_dir():
            raise LoadError(folder, Loading(problems=["no such folder"]))
        loading = Loading()
        for name in self._description.entity_sets:
            path = folder / f"{name}.jsonl"
            if path.exists():
                with self._lock, self._store.transaction():
                    loading.counts[name] = self._load_file(name, path, loading)
        known = {f"{name}.jsonl" for name in self._description.entity_sets}
        loading.problems += [
            f"{path.name}: no such entity set" for path in sorted(folder.glob("*.jsonl")) if path.name not in known
        ]
        if loading.problems:
            raise LoadError(folder, loading)
        return loading.counts

    def _load_file(self, name: str, path: Path, loading: Loading) -> int:
        count = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                line = line.removeprefix(_mark).rstrip()
                if line:
                    count += self._load_line(name, f"{path.name}:{number}", line, loading)
        return count

    def _load_line(self, name: str, where: str, line: bytes, loading: Loading) -> int:
        try:
            record = from_json(line)
            if not isinstance(record, dict):
                raise BadJsonError("not an object")
            self._direct.put(name, record)
        except BadJsonError as error:
            loading.problems.append(_unreadable(where, error))
            return 0
        except UnresolvedError as error:
            loading.problems.append(f"{where}: {error}")
            loading.references_missing |= isinstance(error, MissingReferenceError)
            return 0
        return 1

    def records(self, entity_set: str) -> list[dict[str, Any]]:
        """What the system holds now, under wire names."""
        with self._lock:
            return self._direct.records(entity_set)

    def put(self, entity_set: str, record: dict[str, Any]) -> dict[str, Any]:
        """Set fields of the record with this key, or make it, as a person would in the application."""
        with self._lock, self._store.transaction():
            return self._direct.put(entity_set, record, recompute=True)

    def delete(self, entity_set: str, *key: object) -> None:
        """Delete a record with what belongs to it, as a person would. Raises KeyError where there is none."""
        with self._lock, self._store.transaction():
            self._direct.delete(entity_set, key)

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request({**environ, "PATH_INFO": _path(str(environ.get("PATH_INFO", "")))})
        body = request.get_data()
        call = Call(
            method=request.method,
            path=request.path.strip("/"),
            query=parse_query(request.query_string.decode("utf-8", "replace")),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            root=f"{request.host_url}{self._root}",
        )
        with self._lock:
            answer = self._answer(call)
        response = Response(answer.data or answer.text, answer.status, content_type=answer.content_type)
        response.headers.update(answer.headers)
        if answer.status in (204, 304):
            del response.headers["Content-Type"]
        return response(environ, start_response)

    def _answer(self, call: Call) -> Reply:
        self.requests["total"] += 1
        try:
            if call.path.endswith(TOKEN_PATH):
                return self._guard.token(call)
            if self.system == "ops" and call.path.startswith(FILES):
                return self._packages.file(call)
            self._guard.admit(call)
            headers = self._guard.spend()
            if self.system == "ops" and call.path.lower().startswith(METADATA_ROOT):
                return self._metadata.handle(replace(call, path=call.path[len(METADATA_ROOT) :]))
            call = self._below_root(call)
            if call.path == "$batch":
                self.requests["batch"] += 1
            webhooks = self._webhooks
            answer = (webhooks if webhooks is not None and webhooks.serves(call) else self._service).handle(call)
            answer.headers.update(headers)
            return answer
        except RefusalError as refusal:
            return self._service.error(refusal)
        except (RecursionError, OverflowError, UnicodeError) as error:
            return self._service.error(RefusalError(400, f"Bad Request: {type(error).__name__}"))

    def _below_root(self, call: Call) -> Call:
        root = self._root.rstrip("/")
        if call.path != root and not call.path.startswith(self._root):
            raise RefusalError(404, f"No HTTP resource was found at '{call.path}'.")
        return Call(call.method, call.path[len(root) :].strip("/"), call.query, call.headers, call.body, call.root)
