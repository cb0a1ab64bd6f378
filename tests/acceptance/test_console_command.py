"""The console as a process: by itself, and beside the daemon."""

from __future__ import annotations

import re

import httpx2
import psycopg
import pytest
import simplejson

from tests.fixtures.commands import Systems, Workplace, in_hub, until
from tests.fixtures.operators import token_of


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems, empty."""
    return workplace.sandbox()


def test_the_console_serves_until_it_is_told_to_stop(workplace: Workplace, systems: Systems) -> None:
    workplace.configure(systems.urls)
    process = workplace.start("console", "--listen", "127.0.0.1:0")
    url = process.line().removeprefix("console: ")
    answer = httpx2.get(url, trust_env=False)
    assert answer.status_code == 200
    assert "Nobody leads." in answer.text
    assert process.end() == 0
    assert not [line for line in process.err if "Traceback" in line]


def test_the_console_refuses_to_be_open_to_everybody(workplace: Workplace, systems: Systems) -> None:
    workplace.configure(systems.urls)
    result = workplace.tell("console", "--listen", "0.0.0.0:0")
    assert (result.code, "open to everybody" in result.err, "console.token" in result.err) == (1, True, True)
    result = workplace.tell("console", "--listen", "8080")
    assert (result.code, "not ADDRESS:PORT" in result.err) == (1, True)
    workplace.configure(systems.urls, more="console: {listen: '10.0.0.1:8080'}\n")
    assert "open to everybody" in workplace.tell("console").err
    assert "open to everybody" in workplace.tell("run").err


def test_the_console_has_no_more_rights_than_the_daemon_whatever_its_login_has(
    workplace: Workplace, systems: Systems
) -> None:
    workplace.configure(systems.urls)
    process = workplace.start("console", "--listen", "127.0.0.1:0")
    url = process.line().removeprefix("console: ")
    assert httpx2.get(f"{url}/plans", trust_env=False).status_code == 200
    with psycopg.connect(workplace.environment["HUB_URL"]) as connection:
        connection.execute("revoke select on sync.plan from replicator_reader, replicator_steward, replicator_daemon")
    answer = httpx2.get(f"{url}/plans", trust_env=False)
    assert (answer.status_code, "may not do that" in answer.text) == (503, True)
    assert process.end() == 0


def test_the_token_is_never_written_in_the_file_and_never_shown(workplace: Workplace, systems: Systems) -> None:
    workplace.configure(systems.urls, more="console: {token: sesame-open-sesame}\n")
    result = workplace.tell("console")
    assert (result.code, "a secret is not written in the file" in result.err) == (1, True)
    assert "sesame" not in result.told
    workplace.configure(systems.urls, more="console: {listen: '127.0.0.1:0', token: {env: CONSOLE_TOKEN}}\n")
    assert "CONSOLE_TOKEN" in workplace.tell("console").err
    assert "at least 16" in workplace.tell("console", CONSOLE_TOKEN="short").err
    workplace.environment["CONSOLE_TOKEN"] = "sesame-open-sesame"
    process = workplace.start("console")
    with httpx2.Client(base_url=process.line().removeprefix("console: "), trust_env=False) as client:
        door = client.get("/")
        assert door.status_code == 401
        data = {"name": "Ada", "token": "sesame-open-sesame", "form_token": token_of(door.text)}
        assert client.post("/login", data={**data, "token": "sesame-sesame"}).status_code == 401
        assert client.post("/login", data=data).status_code == 303
        assert "you are <strong>Ada</strong>" in client.get("/").text
    refused = process.logged("login")
    assert (refused["outcome"], refused["address"], refused["address_from"]) == ("refused", "127.0.0.1", None)
    assert process.end() == 0
    assert "sesame" not in "\n".join(process.err)


def test_the_daemon_serves_the_console_and_hears_of_decisions(workplace: Workplace, systems: Systems) -> None:
    workplace.configure(systems.urls, more="console: {listen: '127.0.0.1:0'}\n")
    process = workplace.start("run")
    url = process.logged("console")["url"]
    with httpx2.Client(base_url=url, trust_env=False) as client:
        until(lambda: "led by" in client.get("/").text, what="a leader on the overview")
        [token] = set(re.findall(r'name="form_token" value="([^"]+)"', client.get("/").text))
        answer = client.post("/decide/pause", data={"form_token": token, "scope": "out", "why": "upgrade"})
        assert answer.headers["Location"] == "/?did=pause&records=1"
        assert "<strong>out is paused</strong>" in client.get("/").text
    assert in_hub(workplace, "select by from sync.decision") == ["console"]
    assert process.end() == 0
    events = [simplejson.loads(line)["event"] for line in process.err]
    assert "decide" in events
    assert events[-1] == "stop"
