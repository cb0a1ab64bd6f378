"""What goes wrong between the replicator and everything else, drawn from a seed: requests, statements, the process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Never

import httpx2
import sqlalchemy as sa

from replicator.sandbox.odata_http import Call, RefusalError, Reply
from replicator.sandbox.system import Sandbox
from tests.fixtures.world import PERSON, Recording, writes_in
from tests.simulation.self_willed import Will

KINDS = ("refused", "lost", "late", "twice", "repeated", "throttled", "busy", "busy after", "token gone", "truncated",
         "page of a proxy", "killed before", "killed after", "frozen before", "frozen after")  # fmt: skip


_MOODS: tuple[tuple[int, dict[str, str]], ...] = ((429, {"Retry_After": "7"}), (429, {}), (503, {}))
"""Status and headers of a refusal that passes."""


_REQUESTS_MAX = 5000
"""Of one system in one run, which has some hundreds."""


class Killed(BaseException):
    """The process is gone, here and now: nothing of it may catch this."""


class NeverQuietError(BaseException):
    """The two systems do not come to rest; nothing of the process may catch this."""


@dataclass
class Weather:
    """How much goes wrong. Chances are per request and per statement; ``calm`` switches all of it off."""

    random: Random
    request: float = 0.0
    statement: float = 0.0
    meanwhile: float = 0.0
    calm: bool = True
    killed: bool = False
    """The process is gone: whatever it still tries, as in clearing up, comes to nothing."""

    def kill(self, where: str) -> Never:
        """The process ends here."""
        self.killed = True
        raise Killed(where)

    def check_alive(self) -> None:
        """Who is gone does nothing more."""
        if self.killed:
            raise Killed("already")

    def strikes(self, chance: float) -> bool:
        """Whether something happens now."""
        return not self.calm and chance > 0 and self.random.random() < chance

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For a while nothing goes wrong."""
        calm, self.calm = self.calm, True
        try:
            yield
        finally:
            self.calm = calm


@dataclass
class Reread:
    """What a restored hub has asked for since, as a whole, and what it wrote before it had asked for everything."""

    wanted: set[tuple[str, str]] = field(default_factory=set)
    """System and entity set."""
    hasty: list[str] = field(default_factory=list)

    def begin(self, wanted: set[tuple[str, str]]) -> None:
        """From now on these have to be read before anything is written."""
        self.wanted |= wanted

    def note(self, system: str, request: httpx2.Request) -> None:
        """A request that is about to be sent."""
        if request.method == "GET" and "deltatoken" not in request.url.query.decode():
            self.wanted.discard((system, request.url.path.rpartition("/")[2]))
        elif self.wanted and any(True for _ in writes_in(request.content)):
            self.hasty.append(f"{system} was written to before {sorted(self.wanted)} were read")


class FaultyWire(httpx2.BaseTransport):
    """Between a connector and its system.

    ``meanwhile`` is called before a request arrives, and told whether it is to write: people do not wait for it, nor do
    the other threads of the process; ``take_over`` when the process freezes for so long that another one leads when it
    wakes; ``note`` for each request.
    """

    def __init__(
        self,
        wire: Recording,
        weather: Weather,
        meanwhile: Callable[[bool], None],
        take_over: Callable[[], None],
        note: Callable[[httpx2.Request], None],
    ) -> None:
        self.wire, self.weather, self.meanwhile, self.take_over, self.note = wire, weather, meanwhile, take_over, note
        self.orphans: list[str] = []
        """Refusals of writes because of a parent that is not there."""
        self.struck: Counter[str] = Counter()
        self.requests = 0
        self.will: Will | None = None
        self.resting = False
        """The system asked for a pause, and the hub knew it when the work under way was begun."""
        self.impatient: list[str] = []
        """Requests that were sent although it rests."""
        self._late: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on, or not, or twice, or later, and bring the answer back, or not, or a part of it."""
        self.weather.check_alive()
        self.requests += 1
        if self.requests > _REQUESTS_MAX:
            raise NeverQuietError(f"{self.requests} requests, and no end")
        body = request.read()
        if self.resting:
            self.impatient.append(f"{request.method} {request.url.path}")
        if self.weather.strikes(self.weather.meanwhile):
            self.meanwhile(any(True for _ in writes_in(body)))
        self.note(request)
        if self._late and self.weather.random.random() < 0.5:
            self.deliver_late()
        if not self.weather.strikes(self.weather.request):
            return self._pass_on(request)
        kind = self.weather.random.choice(KINDS)
        self.struck[kind] += 1
        return self._fail(kind, request)

    def deliver_late(self) -> None:
        """Requests that were under way all the time arrive."""
        late, self._late = self._late, []
        for request in late:
            self._pass_on(request)

    def _pass_on(self, request: httpx2.Request) -> httpx2.Response:
        answer = self.wire.handle_request(request)
        stream = answer.stream
        assert isinstance(stream, httpx2.SyncByteStream)
        body = b"".join(stream)
        self.orphans += orphans(request.content.decode(errors="replace"), body.decode(errors="replace"))
        refused = self.will.refused(body) if self.will is not None and request.method == "POST" else None
        if refused is not None:
            body = refused
            if not self.weather.calm:  # who reads before the answer arrives sees what it says no of
                self.meanwhile(True)
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, content=body)

    def _fail(self, kind: str, request: httpx2.Request) -> httpx2.Response:
        if kind == "refused":
            raise httpx2.ConnectError("refused", request=request)
        if kind == "throttled":
            pause = self.weather.random.choice(
                ({"Retry-After": "7"}, {"Retry-After": "90"}, {"Retry-After": "600"}, {})
            )
            return httpx2.Response(429, headers=pause, json={"error": {"code": "429", "message": "Too many requests"}})
        if kind == "busy":
            return httpx2.Response(503, text="Service Unavailable")
        if kind == "token gone" and "deltatoken" in request.url.query.decode():
            return httpx2.Response(410, json={"error": {"code": "410", "message": "The token is gone"}})
        if kind == "page of a proxy":
            return httpx2.Response(200, headers={"Content-Type": "text/html"}, text="<html>Sign in</html>")
        if kind == "frozen before":
            self.take_over()
            return self._pass_on(request)
        if kind == "killed before":
            self.weather.kill(f"before {request.method} {request.url.path}")
        if kind == "late":
            if request.method != "GET":
                self._late.append(request)
            raise httpx2.ReadTimeout("no answer", request=request)
        return self._fail_after(kind, request, self._pass_on(request))

    def _fail_after(self, kind: str, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        """The system has done what it was asked."""
        if kind == "lost":
            raise httpx2.ReadError("cut", request=request)
        if kind == "killed after":
            self.weather.kill(f"after {request.method} {request.url.path}")
        if kind == "busy after":
            return httpx2.Response(503, text="Service Unavailable")
        if kind == "twice":
            return self._pass_on(request)
        if kind == "token gone":
            return answer
        if kind == "frozen after":
            self.take_over()
            return answer
        if kind == "repeated":
            self._late.append(request)
            return answer
        body = answer.content[: self.weather.random.randrange(len(answer.content) + 1)]
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, content=body)


def make_moody(box: Sandbox, weather: Weather, struck: Counter[str]) -> None:
    """From now on a system refuses single requests for the moment, also those within a batch."""
    handle = box._service.handle

    def moody(call: Call, declared: dict[str, str] | None = None) -> Reply:
        if call.path != "$batch" and call.header("user-agent") != PERSON and weather.strikes(weather.request / 4):
            struck["part of a batch"] += 1
            status, headers = weather.random.choice(_MOODS)
            raise RefusalError(status, "Try again later", **headers)
        return handle(call, declared)

    box._service.handle = moody  # type: ignore[method-assign]


def orphans(asked: str, answered: str) -> list[str]:
    """The words of a system that misses a parent: one that a write points at, names by its key, or leaves out."""
    gone = re.findall(r"\w+ With Id = ([0-9a-f-]{36}) Does Not Exist", answered)
    pointed_at = {key for key in gone if re.search(rf'@odata\.bind": ?"/\w+\({key}\)', asked)}
    named = re.findall(
        r"[^\"]*is not found in the related table '(?:Customers|Sellable|Sales quotations)[^\"]*", answered
    )
    left_out = re.findall(r"Field '[^']*' must be filled in", answered)
    return [*(f"{key} is not there and was pointed at" for key in sorted(pointed_at)), *named, *left_out]


class FaultyHub:
    """Kills the process before or after statements and commits of an engine."""

    def __init__(self, engine: sa.Engine, weather: Weather) -> None:
        self.weather = weather
        sa.event.listen(engine, "before_cursor_execute", self._statement)
        sa.event.listen(engine, "after_cursor_execute", self._statement)
        self._commit = engine.dialect.do_commit
        engine.dialect.do_commit = self._faulty_commit  # type: ignore[assignment]

    def _strike(self, where: str) -> None:
        self.weather.check_alive()
        if self.weather.strikes(self.weather.statement):
            self.weather.kill(where)

    def _statement(self, *event: Any) -> None:
        self._strike(f"at {event[2][:60]}")

    def _faulty_commit(self, connection: Any) -> None:
        self._strike("before a commit")
        self._commit(connection)
        self._strike("after a commit")


class AtOnce(Executor):
    """Runs what is submitted before ``submit`` returns, so that a seed always gives the same run."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """The future is done already."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as problem:
            future.set_exception(problem)
        return future
