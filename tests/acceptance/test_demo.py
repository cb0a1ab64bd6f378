"""The demonstration runs to its end by itself and shows every case."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.commands import Workplace


def test_the_demonstration_plays_to_its_end_and_shows_every_case(tmp_path: Path) -> None:
    told = Workplace(tmp_path, None).run("demo", "--json", patience=280)
    assert told.code == 0, told.told
    assert "Traceback" not in told.told
    assert all(flow["in_step"] for flow in told.json["flows"])
    for words in ("blocked", "waits for", "not eligible", "rejected", "sent", "merged"):
        assert words in told.err
