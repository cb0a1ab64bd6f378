"""One word for one thing: what a word was replaced by is read nowhere any more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FORMER = {
    "quarantine": r"\bputs? aside\b|\bput_aside\b|\bsync\.rejected\b",
    "key conflict": r"\bclash(?:es|ed|ing)?\b",
    "unmatched": r"\bstrangers? (?:of|in) (?:a|the) target",
    "duplicate keys": r"\btwins?\b",
    "aggregate, root": r"\bwholes\b|\b(?:its|their) whole\b(?! entity)",
    "flow": r"\bname as map\b",
}
"""What to say now, and how it was said."""
READ = sorted(
    path
    for folder, pattern in (
        ("docs", "*.md"), ("schema", "*.sql"), ("schema", "*.yaml"), ("replicator", "*.sql"), ("replicator", "*.html"),
        ("replicator", "*.py"),
    )
    for path in (ROOT / folder).rglob(pattern)
    if not {"sandbox", "connectors", "mapping"} & set(path.parts)
) + [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]  # fmt: skip


@pytest.mark.parametrize("now", FORMER)
def test_a_former_word_is_read_nowhere(now: str) -> None:
    former = re.compile(FORMER[now], re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in READ
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if former.search(line)
    ]
    assert not found, f"say {now}:\n" + "\n".join(found)


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([a-z][a-z -]*) \| (?!meaning)", text, re.MULTILINE)
    assert len(words) > 30
    assert words == sorted({*words})
