"""Seconds from a change in sales to its being visible in ops, with hints and without, the hub idle.

Both systems are simulated in another process, over HTTP; the daemon works in this one. The account that is changed was
in step before.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import httpx2
import sqlalchemy as sa

from benchmarks.hub import hub
from benchmarks.report import Line
from replicator.config import Configuration, HintsSettings
from replicator.connectors import connect
from replicator.connectors.dataverse import Dataverse
from replicator.connectors.dataverse_hints import Registration
from replicator.connectors.kinds import settings_of
from replicator.daemon import Daemon
from replicator.hints.hint_server import hearing
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.sandbox.sample import generate
from replicator.watcher import Watcher
from replicator.world import World

_SCHEMA = Path(__file__).resolve().parents[1] / "schema"
_KEY = "a-key-for-this-run-only"
_POLL = 60
_SAMPLES = 50
_PATIENCE = 120.0
_ORGANIZATION = {"code": "USMF", "company": "usmf", "name": "Contoso", "is_default": True}
_IN_STEP = "select sum(pending + in_flight) = 0 and sum(in_step) > 30 from sync.status"


def measure(server_url: str, records: int) -> list[Line]:
    """Half of the changes are there sooner than the first figure, 99 of 100 sooner than the second."""
    hints = HintsSettings.model_validate({"listen": "127.0.0.1:0", "url": "https://hub.example.com", "key": _KEY})
    configuration = Configuration.model_validate({
        "daemon": {"poll_seconds": _POLL}, "hints": hints, "records": {"organization": [_ORGANIZATION]},
        "first_updates": {"count": 1000, "share": 1},
    })  # fmt: skip
    with ExitStack() as stack:
        urls = stack.enter_context(_sandbox())
        engine = stack.enter_context(hub(server_url, "latency", model := compile_folder(_SCHEMA)))
        kinds = {"sales": "dataverse", "ops": "finops"}
        connectors = {name: connect(name, settings_of({"kind": kinds[name], "url": urls[name]})) for name in kinds}
        for connector in connectors.values():
            stack.callback(connector.close)
        server = stack.enter_context(hearing(engine, model.schema, hints, Watcher()))
        workers = stack.enter_context(ThreadPoolExecutor(4))
        world = World(configuration, model, engine, connectors, workers, Watcher(), Random(1))
        daemon = stack.enter_context(_at_work(Daemon(world, "latency")))
        _settle(daemon, engine)
        person = Person(stack.enter_context(httpx2.Client(trust_env=False)), urls)
        sales = connectors["sales"]
        assert isinstance(sales, Dataverse)
        list(_registration(sales, model, server.url).register(_KEY))
        waited = sorted(person.change(number) for number in range(_SAMPLES))
    half, nearly_all = statistics.median(waited), waited[int(0.99 * len(waited))]
    what = f"a change in sales until it is in ops, with a hint, polls each {_POLL} s"
    return [
        Line(f"{what}: half of {_SAMPLES} within", f"{half:.2f} s", half, 0.3),
        Line(f"{what}: 99 of 100 within", f"{nearly_all:.2f} s", nearly_all, 1.0),
    ]


def _registration(sales: Dataverse, model: Compiled, url: str) -> Registration:
    return Registration(sales.http, f"{url}/hints/sales", [each.spec for each in model.schema.sets_of("sales")])


class Person:
    """Changes an account in sales, and looks in ops."""

    def __init__(self, client: httpx2.Client, urls: Mapping[str, str]) -> None:
        self._client, self._sales, self._ops = client, f"{urls['sales']}/api/data/v9.2", f"{urls['ops']}/data"
        known = self._client.get(f"{self._ops}/CustomersV3?$select=CustomerAccount&$top=1").json()["value"]
        self._number = known[0]["CustomerAccount"]
        asked = f"{self._sales}/accounts?$select=accountid&$filter=accountnumber eq '{self._number}'"
        self._id = self._client.get(asked).json()["value"][0]["accountid"]

    def change(self, number: int) -> float:
        """Seconds until a change was there."""
        phone = f"+49 228 {number:04}"
        self._client.patch(f"{self._sales}/accounts({self._id})", json={"telephone1": phone}).raise_for_status()
        started = time.perf_counter()
        key = f"dataAreaId='usmf',CustomerAccount='{self._number}'"
        asked = f"{self._ops}/CustomersV3({key})?$select=PrimaryContactPhone&cross-company=true"
        while self._client.get(asked).json()["PrimaryContactPhone"] != phone:
            if time.perf_counter() - started > _PATIENCE:
                raise SystemExit(f"change {number} did not arrive")
            time.sleep(0.005)
        waited = time.perf_counter() - started
        time.sleep(1.5)  # idle again
        return waited


@contextmanager
def _sandbox() -> Iterator[Mapping[str, str]]:
    """The addresses of both systems."""
    with tempfile.TemporaryDirectory() as folder:
        generate(1, Path(folder))
        command = [sys.executable, "-m", "replicator", "sandbox", "--sales-port", "0", "--ops-port", "0", "--json"]
        with subprocess.Popen([*command, "--load", folder], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or lines[-1] != "}\n":
                lines.append(process.stdout.readline())
            yield json.loads("".join(lines))["urls"]
            process.terminate()


@contextmanager
def _at_work(daemon: Daemon) -> Iterator[Daemon]:
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        thread.join()


def _settle(daemon: Daemon, engine: sa.Engine) -> None:
    """Wait until all is in step that can be."""
    until = time.monotonic() + _PATIENCE
    quiet = 0
    while quiet < 3:
        if time.monotonic() > until:
            raise SystemExit("the sample never came to be in step")
        daemon.read_now()
        time.sleep(2)
        with engine.connect() as connection:
            quiet = quiet + 1 if connection.execute(sa.text(_IN_STEP)).scalar_one() else 0
