"""The real commands with a fault proxy before each system: whatever the network does, nothing is lost or doubled."""

from __future__ import annotations

import datetime
import email.utils
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from replicator.mapping.compiled import Compiled
from tests.fixtures.commands import Process, in_hub, until, work_at
from tests.fixtures.postgres import name_of
from tests.fixtures.proxy import (
    Exchange,
    Fault,
    Hold,
    Only,
    Storm,
    batches,
    cut_answer,
    cut_off,
    drip_answer,
    looking_up,
    lose_answer,
    pages,
    pages_of,
    proxies,
    refuse,
    refuse_after,
    shorten_answer,
    slow,
    writing,
)
from tests.fixtures.trade import KINDS, LIMITS, Held, People, Trade, difference, start


@dataclass(frozen=True)
class Begun:
    """A trade that is in step, to begin from: the systems' state, and a hub to clone."""

    state: Path
    hub: str
    server_url: str
    compiled: Compiled

    def trade(self, folder: Path) -> Iterator[Trade]:
        """A trade of this test's own, and people who have changed something of every kind in it since."""
        shutil.copytree(self.state, folder / "state")
        with work_at(folder, self.server_url, self.hub) as place:
            systems = place.sandbox(state=folder / "state")
            with proxies(systems.urls) as both:
                trade = Trade(place, systems, both, self.compiled)
                trade.configure()
                People(systems, Random(1)).work(*KINDS * 3)
                yield trade


@pytest.fixture(scope="module")
def begun(
    server_url: str, template: str, compiled: Compiled, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Begun]:
    """The start of the trade, delivered once."""
    folder = tmp_path_factory.mktemp("begun")
    start(folder / "load")
    with work_at(folder, server_url, template) as place:
        systems = place.sandbox(load=folder / "load", state=folder / "state")
        with proxies(systems.urls) as both:
            trade = Trade(place, systems, both, compiled)
            trade.configure()
            trade.once_more()
            assert systems.count("ops", "CDSSalesQuotationHeaders") > 0
        place.close()
        yield Begun(folder / "state", name_of(place.environment["HUB_URL"]), server_url, compiled)


@dataclass(frozen=True)
class Calm:
    """What a run without faults ends with, and how many batches of writes it sends to each system."""

    held: Held
    batches: dict[str, int]


@pytest.fixture(scope="module")
def calm(begun: Begun, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The run that nothing disturbs."""
    [found] = [_calm(trade) for trade in begun.trade(tmp_path_factory.mktemp("calm"))]
    assert min(found.batches.values()) > 1
    return found


def _calm(trade: Trade) -> Calm:
    assert trade.once_more() > 0
    counts = {name: proxy.count(writing) for name, proxy in trade.proxies.items()}
    assert trade.once_more() == 0
    return Calm(trade.held, counts)


@pytest.fixture
def trade(begun: Begun, tmp_path: Path) -> Iterator[Trade]:
    yield from begun.trade(tmp_path)


def ends_as(trade: Trade, calm: Calm) -> None:
    """The daemon brings both systems to where the calm run brought them; then there is nothing more to do."""
    daemon = trade.daemon()
    until(lambda: not any(proxy.still_planned for proxy in trade.proxies.values()), what="the faults")
    until(lambda: trade.held == calm.held, what="both systems as after the calm run")
    assert daemon.end() == 0
    assert trade.once_more() == 0
    assert difference(calm.held, trade.held) == []


def date_in_a_second(exchange: Exchange) -> None:
    """429 with the moment from which on the system may be asked again."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    refuse(429, email.utils.format_datetime(moment, usegmt=True))(exchange)


FAULTS: dict[str, Fault] = {
    "the connection is cut before the system has the request": cut_off,
    "the answer is lost after the system has done it": lose_answer,
    "half an answer under the length of the whole": cut_answer,
    "half an answer that claims to be all": shorten_answer,
    "an answer in drops": drip_answer,
    "503 before the system has done it": refuse(503),
    "503 after the system has done it": refuse_after(503),
    "429 with seconds": refuse(429, "1"),
    "429 with a date": date_in_a_second,
    "429 without a time": refuse(429),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_both_systems_end_as_if_it_had_not_been(trade: Trade, calm: Calm, fault: Fault) -> None:
    """It happens to two writing batches and to two reads of each system."""
    for proxy in trade.proxies.values():
        proxy.disturb(fault, times=2, only=writing)
        proxy.disturb(fault, times=2, only=pages)
    ends_as(trade, calm)


@pytest.mark.parametrize("only", [batches, pages], ids=["batches", "pages"])
def test_after_every_fault_one_after_the_other_nothing_is_lost_or_doubled(trade: Trade, calm: Calm, only: Only) -> None:
    for proxy in trade.proxies.values():
        for fault in FAULTS.values():
            proxy.disturb(fault, only=only)
    ends_as(trade, calm)


def test_after_a_storm_of_429_at_most_twice_the_requests_were_sent_that_the_writes_need(
    trade: Trade, calm: Calm
) -> None:
    trade.configure(f"{LIMITS}, parallel_requests: 2")
    storms = {name: Storm(1) for name in trade.proxies}
    for name, proxy in trade.proxies.items():
        proxy.disturb(storms[name], times=EVER, only=writing)
    daemon = trade.daemon()
    until(lambda: trade.held == calm.held, what="both systems as after the calm run")
    assert daemon.end() == 0
    assert all(storm.refused for storm in storms.values())
    sent = sum(proxy.count(writing) for proxy in trade.proxies.values())
    assert sent <= 2 * sum(calm.batches.values())
    assert trade.once_more() == 0


@pytest.mark.parametrize(("stormy", "other"), [("ops", "sales"), ("sales", "ops")])
def test_a_storm_that_wants_a_day_is_told_and_slows_neither_the_other_direction_nor_the_end(
    trade: Trade, calm: Calm, stormy: str, other: str
) -> None:
    trade.configure("parallel_requests: 2")
    trade.proxies[stormy].disturb(refuse(429, "86400"), times=EVER, only=writing)
    daemon = trade.daemon()
    until(lambda: of(other, trade.held) == of(other, calm.held), what=f"{other} as after the calm run")
    until(lambda: told(daemon, "asks for a pause of 86400 s, which is cut to 900 s"), what="a line about the storm")
    assert daemon.end(signal.SIGTERM, patience=30) == 0
    assert trade.proxies[stormy].count(writing) <= 2, "while the pause lasts, nothing is asked for"
    status = trade.place.tell("status", "--details")
    assert status.code == 3
    assert "asks for a pause of 86400 s, which is cut to 900 s" in status.out


EVER = 1_000_000


def of(system: str, held: Held) -> Held:
    """What one system holds of what it takes from the other."""
    return {(name, each): rows for (name, each), rows in held.items() if (name, each) in TAKEN[system]}


TAKEN = {
    "sales": {("sales", "products")},
    "ops": {("ops", "CustomersV3"), ("ops", "CDSContactPersonsV2"), ("ops", "CDSSalesQuotationHeaders")},
}


def told(daemon: Process, words: str) -> bool:
    return any(words in line for line in list(daemon.err))


def test_sigterm_ends_it_within_seconds_while_an_answer_does_not_come(trade: Trade, calm: Calm) -> None:
    trade.configure("timeout_seconds: 60")
    held_up = Hold("after")
    trade.proxies["ops"].disturb(held_up, only=writing)
    daemon = trade.daemon()
    held_up.wait()
    assert daemon.end(signal.SIGTERM, patience=30) == 0
    held_up.let_go()
    ends_as(trade, calm)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_says_that_it_waits_for_a_system_and_a_signal_ends_that(trade: Trade, number: signal.Signals) -> None:
    trade.configure("parallel_requests: 2")
    trade.proxies["ops"].disturb(refuse(429, "50"), times=EVER, only=writing)
    once = trade.place.start("once")
    until(lambda: once.line().startswith("waiting  "), what="a line that it waits")
    assert once.end(number, patience=30) == {signal.SIGINT: 1, signal.SIGTERM: 143}[number]
    assert in_hub(trade.place, "select count(*) from sync.lease where expires_at > now()") == [0], "the next may work"


def test_sigterm_lets_slow_writes_end_begins_nothing_new_and_leaves_what_was_not_sent_pending(trade: Trade) -> None:
    People(trade.systems, Random(1), accounts=[f"A-{n}" for n in range(50)]).work(*["new_account"] * 40)
    trade.configure("writes_per_request: 3")
    trade.proxies["ops"].disturb(slow(2), times=EVER, only=writing)
    daemon = trade.daemon()
    until(lambda: trade.proxies["ops"].count(writing) >= 4, what="four requests under way")
    begun = {name: len(proxy.requests) for name, proxy in trade.proxies.items()}
    assert daemon.end(signal.SIGTERM, patience=30) == 0
    later = [request for name, proxy in trade.proxies.items() for request in proxy.requests[begun[name] :]]
    assert len(later) <= 4, "what began while the signal was on its way: no more than may be under way at once"
    assert not any(looking_up(request) for request in later)
    assert daemon.logged("stop")["clean"] is True
    left = "select distinct state::text from sync.delivery where state <> 'not_eligible'"
    unknown = "select row_to_json(d)::text from sync.delivery d where state = 'unknown'"
    # What waits for a record that was not sent may have been looked at by then, and is blocked.
    assert {"pending"} <= set(in_hub(trade.place, left)) <= {"pending", "blocked"}, [
        *in_hub(trade.place, unknown), *daemon.err
    ]  # fmt: skip
    assert in_hub(trade.place, "select fresh from sync.leader") == [False], "the next one leads at once"
    trade.proxies["ops"].heal()
    assert trade.once_more() > 40
    assert trade.once_more() == 0


def test_what_a_read_left_out_as_just_written_is_read_again_also_when_that_fails_at_first(
    trade: Trade, calm: Calm
) -> None:
    """While a page of products is under way one of them is written, and then somebody changes it in sales."""
    trade.configure("writes_per_request: 4, timeout_seconds: 300, longest_pause_seconds: 1")  # it waits for the page
    sales, page = trade.proxies["sales"], Hold("delayed")
    sales.disturb(page, only=pages_of("products"))
    daemon = trade.daemon()
    page.wait()
    until(lambda: told(daemon, '"product > sales.products", "applied"'), what="the acknowledgement")
    written = next(write for write in sales.writes if "/products(" in write.address)
    key = re.findall(r"products\([^)]*\)", written.address)[0]
    trade.systems.change("sales", key, {"name": "Drift"})
    sales.disturb(cut_off, only=looking_up)
    page.let_go()
    until(lambda: not sales.still_planned, what="the look-up that fails")
    until(lambda: trade.held == calm.held, what="the drift put back")
    assert daemon.end() == 0


def test_a_daemon_that_froze_and_woke_after_another_took_over_does_no_harm(trade: Trade, calm: Calm) -> None:
    """It froze with a request on its way, which arrives only when the other one has done everything."""
    trade.configure("writes_per_request: 4, timeout_seconds: 300")
    late = Hold("late")
    trade.proxies["ops"].disturb(late, only=writing)
    frozen = trade.daemon()
    late.wait()
    freeze(frozen, trade)
    other = trade.daemon()
    until(lambda: trade.held == calm.held, what="the other one's work")
    late.let_go()
    frozen.popen.send_signal(signal.SIGCONT)
    until(lambda: told(frozen, "another replicator has taken over"), what="a line of the one that woke")
    until(lambda: trade.held == calm.held, what="both systems as after the calm run")
    assert [daemon.end() for daemon in (frozen, other)] == [0, 0]
    assert trade.once_more() == 0
    assert difference(calm.held, trade.held) == []


def freeze(daemon: Process, trade: Trade) -> None:
    """Freeze it at a moment when it has no transaction open: what an open one has locked would stay locked."""
    busy = (
        "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend' and state <> 'idle'"
    )

    def frozen() -> bool:
        daemon.popen.send_signal(signal.SIGSTOP)
        if in_hub(trade.place, busy):
            daemon.popen.send_signal(signal.SIGCONT)
            return False
        return True

    until(frozen, what="a moment without a transaction")
