"""Bad input at the command line: one message with what, which and what next, the documented exit code, no traceback."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.fixtures.commands import Result, Systems, Workplace

SCHEMA = Path(__file__).resolve().parents[2] / "schema"


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems with an account in sales, and a configuration that names them."""
    systems = workplace.sandbox()
    systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "DE"})
    workplace.configure(systems.urls)
    return systems


def told_as_error(result: Result, code: int, *words: str) -> None:
    """An error with these words, with what to do next, and nothing else."""
    assert result.code == code, result.told
    assert "Traceback" not in result.told
    for part in ("error: ", "next: ", *words):
        assert part in result.err, result.told


def told_as_problem(result: Result, *words: str) -> None:
    """A problem of one entity set, while the rest went on."""
    assert result.code in (3, 4), result.told
    assert "Traceback" not in result.told
    [line] = [line for line in result.told.splitlines() if line.startswith("problem") and words[0] in line][:1]
    for part in ("; next: ", *words):
        assert part in line, result.told


def write(place: Workplace, text: str) -> None:
    (place.folder / "replicator.yaml").write_text(text, encoding="utf-8")


def test_bad_yaml_names_file_and_line(workplace: Workplace) -> None:
    write(workplace, "hub:\n  folder: hub\n folder: x\n")
    told_as_error(workplace.run("plan"), 1, "replicator.yaml:3: not valid YAML", "init")


def test_an_unknown_key_names_file_line_and_key(workplace: Workplace) -> None:
    write(workplace, "hub:\n  folder: hub\n  ulr: x\n")
    told_as_error(workplace.tell("plan"), 1, "replicator.yaml:3: hub.ulr: unknown key; did you mean 'url'?", "init")


def test_a_configuration_that_is_not_there_is_named(workplace: Workplace) -> None:
    told_as_error(workplace.tell("once", "--config", "nowhere.yaml"), 1, "nowhere.yaml", "init")


def test_a_system_that_is_not_configured_is_named(workplace: Workplace) -> None:
    write(workplace, "systems: {sales: {kind: dataverse, url: 'http://127.0.0.1:1'}}\n")
    told_as_error(workplace.tell("once"), 1, "'ops' is not configured")


def test_a_system_that_the_schema_does_not_know_is_named(workplace: Workplace) -> None:
    workplace.configure({"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"})
    path = workplace.folder / "replicator.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("  ops: {", "  shop: {kind: finops, url: 'http://127.0.0.1:1'}\n  ops: {"), encoding="utf-8"
    )
    told_as_error(workplace.tell("once"), 1, "'shop'", "schema/")


RECORDS = {
    "{code: 7, company: usmf}": "organization.0.code: 7 does not fit 'code', which is text",
    "{code: USMF, company: usmf-main}": "organization.0.company: 'usmf-main' has 9 characters, at most 4 fit 'company'",
    "{code: USMF, company: usmf, is_default: 'yes'}": "organization.0.is_default: 'yes' does not fit 'is_default'",
    "{code: USMF}": "organization.0: organization needs 'company'",
    "{company: usmf}": "organization.0: organization needs 'code'",
    "{code: USMF, company: usmf, colour: red}": "organization.0.colour: organization has no plain field 'colour'",
    "{code: USMF, company: a}, {code: usmf, company: b}": "organization.1: another organization has the same code",
}


@pytest.mark.parametrize("record", list(RECORDS))
def test_a_record_of_the_configuration_that_does_not_fit_is_told_with_its_line(
    workplace: Workplace, record: str
) -> None:
    workplace.configure({"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"})
    written = "    - {code: USMF, name: Main company, company: usmf, is_default: true}"
    replace(workplace.folder / "replicator.yaml", written, f"    [{record}]")
    told_as_error(workplace.tell("once"), 1, f"replicator.yaml:7: records.{RECORDS[record]}")


def test_every_name_that_the_configuration_gets_wrong_is_told_at_once(workplace: Workplace) -> None:
    more = "delete_budgets:\n  sales.quotedetail: {count: 1}\n"
    workplace.configure({"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"}, more=more)
    replace(workplace.folder / "replicator.yaml", "  organization:", "  company:")
    told_as_error(
        workplace.tell("once"), 1, "replicator.yaml:10: delete_budgets.sales.quotedetail: there is no such entity set",
        "replicator.yaml:6: records.company: there is no entity 'company'",
    )  # fmt: skip


def test_a_server_that_is_too_old_is_told(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator.hub.server_version.OLDEST", 99)
    told_as_error(workplace.tell("status"), 1, "the hub's server is PostgreSQL ", "at least 99 is needed", "HUB_URL")


@pytest.mark.parametrize("command", ["once", "status", "migrate", "retry --all"])
def test_a_hub_that_cannot_be_reached_is_a_passing_failure(workplace: Workplace, command: str) -> None:
    result = workplace.tell(*command.split(), HUB_URL="postgresql://hub@127.0.0.1:1/hub")
    told_as_error(result, 4, "the hub at postgresql://hub@127.0.0.1:1/hub cannot be reached", "HUB_URL")


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "mysql://h/d",
        "postgresql://h:port/d",
    ],
)
def test_a_hub_url_that_is_none_is_told(workplace: Workplace, url: str) -> None:
    told_as_error(workplace.tell("status", HUB_URL=url), 1, "hub")


def test_a_wrong_password_of_the_hub_is_told_without_showing_it(workplace: Workplace) -> None:
    parts = urlsplit(workplace.environment["HUB_URL"])
    url = urlunsplit(parts._replace(netloc="nobody:Sesam@" + parts.netloc.rpartition("@")[2]))
    result = workplace.tell("status", HUB_URL=url)
    told_as_error(result, 4, "nobody")
    assert "Sesam" not in result.told


def test_a_password_among_the_options_of_the_url_is_not_shown_either(workplace: Workplace) -> None:
    result = workplace.tell("status", HUB_URL="postgresql://hub@127.0.0.1:1/hub?password=Sesam&sslmode=disable")
    told_as_error(result, 4, "postgresql://hub@127.0.0.1:1/hub?sslmode=disable")
    assert "Sesam" not in result.told


def test_the_embedded_hub_is_stopped_without_the_secrets_of_the_systems(workplace: Workplace) -> None:
    sales = "{kind: dataverse, url: 'https://sales.test', auth: {kind: bearer, token: {env: NO_SUCH_VARIABLE}}}"
    write(workplace, f"systems: {{sales: {sales}}}\n")
    told_as_error(workplace.tell("plan", HUB_URL=""), 1, "NO_SUCH_VARIABLE")
    assert workplace.tell("hub", "down", HUB_URL="").code == 0


def test_an_empty_hub_is_told_with_the_command_that_fills_it(bare_workplace: Workplace) -> None:
    told_as_error(bare_workplace.tell("status"), 1, "empty", "replicator migrate")


@pytest.fixture
def own_schema(workplace: Workplace, systems: Systems) -> Path:
    """A copy of the schema that the configuration names."""
    folder = workplace.folder / "own"
    shutil.copytree(SCHEMA, folder)
    workplace.configure(systems.urls, more="schema: own\n")
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_hub_from_another_schema_is_told_with_the_command_that_mends_it(
    workplace: Workplace, own_schema: Path
) -> None:
    replace(
        own_schema / "ops" / "CustomersV3.yaml",
        "{copy: currency.code, default: USD,",
        "{copy: currency.code, default: EUR,",
    )
    told_as_error(workplace.tell("once"), 1, "another schema", "replicator migrate")
    assert workplace.tell("migrate").code == 0
    assert workplace.tell("status").code == 3, "nothing was read yet"


def test_a_wrong_schema_is_told_with_file_and_line(workplace: Workplace, own_schema: Path) -> None:
    replace(own_schema / "ops" / "CustomersV3.yaml", "CreditLimit: credit_limit", "CreditLimitt: credit_limit")
    told_as_error(workplace.tell("once"), 1, "own/ops/CustomersV3.yaml:", "CreditLimitt", "check-schema")


def test_a_field_that_no_migration_has_made_is_told(workplace: Workplace, own_schema: Path) -> None:
    path = own_schema / "sales" / "pricelevels.yaml"
    replace(path, "  statecode: {type: integer}", "  statecode: {type: integer}\n  colour: {}")
    for command in ("migrate", "once"):
        told = "column log.sales_pricelevels.colour, column sales.pricelevels.colour"
        told_as_error(workplace.tell(command), 1, told, "no revision", "replicator revise -m")
    found = workplace.tell("check")
    assert found.code == 1, "the system does not have it either, so its records cannot be looked at"
    assert "column sales.pricelevels.colour" in found.told
    assert "replicator revise -m" in found.told


def test_a_system_that_cannot_be_reached_does_not_stop_the_other(workplace: Workplace, systems: Systems) -> None:
    workplace.configure(systems.urls | {"sales": "http://127.0.0.1:1"})
    systems.create("ops", "SellableReleasedProducts", {"dataAreaId": "usmf", "ProductNumber": "P-1", "ProductName": "P",
                                                       "CurrencyCode": "USD", "SalesUnitSymbol": "ea"})  # fmt: skip
    result = workplace.tell("once")
    assert result.code == 4
    told_as_problem(result, "sales", "127.0.0.1:1")
    assert result.out.count("cannot be reached") == 2, "what happened, and how it stands"
    flows = {flow["flow"]: flow for flow in workplace.tell("status", "--json").json["flows"]}
    assert flows["ops.SellableReleasedProducts > product"]["mirrored"] == 1
    status = workplace.tell("status").out
    assert status.count("cannot be reached") == 1
    [sets] = [line for line in status.splitlines() if "entity sets: " in line]
    assert {"accounts", "quotes", "uoms"} <= set(sets.partition(": ")[2].split(", "))


def test_a_wrong_token_is_told_and_does_not_stop_the_other_system(workplace: Workplace, systems: Systems) -> None:
    guarded = workplace.sandbox(options=["token=Sesam"])
    workplace.configure({"sales": systems.urls["sales"], "ops": guarded.urls["ops"]})
    result = workplace.tell("once")
    assert result.code == 3, result.told
    told_as_problem(result, "ops", "401")
    assert [line.partition(" ")[0] for line in result.out.splitlines() if " 401" in line] == ["problem", "not"]
    flows = {flow["flow"]: flow for flow in workplace.tell("status", "--json").json["flows"]}
    assert flows["sales.accounts > account"]["mirrored"] == 1


Answer = Callable[[str], tuple[int, str, bytes]]
"""From the address asked for to status, content type and body."""


@pytest.fixture
def odd_system() -> Iterator[Callable[[Answer], str]]:
    """A system that answers everything as the test says."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = answer(f"http://{self.headers['Host']}{self.path}")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Retry-After", "300")  # longer than 'once' waits
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


JSON = "application/json"
NONSENSE = {
    "a page for people": (lambda _: (200, "text/html", b"<html>Sign in</html>"), "text/html"),
    "JSON cut short": (lambda _: (200, JSON, b'{"value": [{"a": 1}'), "JSON"),
    "JSON of another shape": (lambda _: (200, JSON, b"[]"), ""),
    "JSON nested without end": (lambda _: (200, JSON, b'{"value": ' + b"[" * 9999 + b"]" * 9999 + b"}"), "too deeply"),
    "an answer without records": (lambda _: (200, JSON, b'{"d": []}'), "no list of records"),
    "a link to another host": (
        lambda _: (200, JSON, b'{"value": [], "@odata.nextLink": "http://elsewhere.test/x"}'),
        "elsewhere.test",
    ),
    "a page of a proxy": (lambda _: (503, "text/html", b"<html>Maintenance</html>"), "503: text/html instead of JSON"),
    "a request to wait": (lambda _: (429, JSON, b"{}"), "asks for a pause"),
    "a page link that loops": (lambda url: (200, JSON, f'{{"value": [], "@odata.nextLink": "{url}"}}'.encode()), ""),
}


@pytest.mark.parametrize(("answer", "words"), NONSENSE.values(), ids=NONSENSE.keys())
def test_a_system_that_answers_nonsense_is_told_and_does_not_stop_the_other(
    workplace: Workplace, systems: Systems, odd_system: Callable[[Answer], str], answer: Answer, words: str
) -> None:
    workplace.configure({"sales": systems.urls["sales"], "ops": odd_system(answer)})
    result = workplace.tell("once", "--json")
    told_as_problem(result, "ops", words)
    flows = {flow["flow"]: flow for flow in result.json["flows"]}
    assert flows["sales.accounts > account"]["mirrored"] == 1
    assert flows["account > ops.CustomersV3"]["last_snapshot"] is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("/pricelevels?", "/pricepoints?", id="an entity set"),
        pytest.param("/pricelevels?%24select=", "/pricelevels?%24select=colour%2C", id="a field"),
    ],
)
def test_what_a_system_does_not_have_is_named_and_stops_only_what_needs_it(
    workplace: Workplace, systems: Systems, odd_system: Callable[[Answer], str], old: str, new: str
) -> None:
    """The real system is asked for something it does not have, in place of the price lists."""

    def misunderstood(url: str) -> tuple[int, str, bytes]:
        path = "/" + url.split("/", 3)[3].replace("$", "%24").replace(old, new)
        answer = systems.client.get(systems.urls["sales"] + path)
        return answer.status_code, answer.headers["content-type"], answer.content

    workplace.configure({"sales": odd_system(misunderstood), "ops": systems.urls["ops"]})
    result = workplace.tell("once", "--json")
    told_as_problem(result, "sales.pricelevels", new.partition("=")[2].removesuffix("%2C") or "pricepoints")
    assert [row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")] == ["A-1"]
    assert [row["entity_set"] for row in result.json["problems"]] == ["pricelevels"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9" * 6000, "99...9 is out of range"),
        ("1e99999999999999999999", "Infinity is not a finite number"),
        ("NaN", "NaN is not a finite number"),
    ],
    ids=["thousands of digits", "an exponent without bounds", "not a number"],
)
def test_a_number_that_no_field_can_hold_keeps_no_other_record_from_arriving(
    workplace: Workplace, systems: Systems, odd_system: Callable[[Answer], str], number: str, words: str
) -> None:
    systems.create(
        "sales",
        "accounts",
        {"accountnumber": "A-2", "name": "Odd Shop", "address1_country": "DE", "creditlimit": 271828},
    )

    def odd_number(url: str) -> tuple[int, str, bytes]:
        answer = systems.client.get(systems.urls["sales"] + "/" + url.split("/", 3)[3])
        return answer.status_code, answer.headers["content-type"], answer.content.replace(b"271828", number.encode())

    workplace.configure({"sales": odd_system(odd_number), "ops": systems.urls["ops"]})
    assert workplace.tell("once").code == 3
    assert [row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")] == ["A-1"]
    told = " ".join(workplace.tell("status").out.split())
    assert "creditlimit: " in told
    assert words in told


@pytest.mark.parametrize("command", ["once", "check"])
def test_systems_that_were_mixed_up_make_one_suspect_url_and_kind(
    workplace: Workplace, systems: Systems, command: str
) -> None:
    workplace.configure({"sales": systems.urls["ops"], "ops": systems.urls["sales"]})
    result = workplace.tell(command)
    assert result.code in (1, 3)
    troubles = [line for line in result.told.splitlines() if ": 404" in line]
    assert troubles
    assert all("check the system's url and kind" in line for line in troubles)


def test_a_port_in_use_is_named(workplace: Workplace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told_as_error(workplace.tell("sandbox", "--sales-port", port, "--ops-port", "0"), 1, port, "sales")


@pytest.mark.parametrize("option", ["speed=1", "recalculate=perhaps", "token"])
def test_a_wrong_option_of_the_sandbox_is_named(workplace: Workplace, option: str) -> None:
    result = workplace.tell("sandbox", "--sales-port", "0", "--ops-port", "0", "--option", option)
    assert result.code == 1
    assert option.partition("=")[0] in result.err
    assert "Traceback" not in result.err


def test_a_snapshot_that_cannot_be_read_is_named_with_its_line(workplace: Workplace) -> None:
    folder = workplace.folder / "data" / "sales"
    folder.mkdir(parents=True)
    (folder / "accounts.jsonl").write_text('{"accountnumber": "A-1"}\n{"accountnumber":\n', encoding="utf-8")
    result = workplace.tell("sandbox", "--sales-port", "0", "--ops-port", "0", "--load", str(folder.parent))
    told_as_error(result, 1, "accounts.jsonl:2")
