"""Targets with a will of their own, drawn from a seed: they number by themselves, say nothing, or say no and do it.

Or they say that they did what they did not. What they draw, they draw from a source of their own: a seed without them
is lived through as before.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from random import Random

from replicator.sandbox.odata_http import Call, Reply
from replicator.sandbox.system import Sandbox

LINES = "CDSSalesQuotationLines"
_KEY = ("dataAreaId", "LineCreationSequenceNumber", "SalesQuotationNumber")
FIRST_OWN_NUMBERS = (1, 100_001)
"""Those of sales begin with 1: the same number may stand for different lines, or for none."""
KINDS = ("own number", "silent", "not kept", "saved and refused")
_CREATED = re.compile(rb"HTTP/1\.1 201 Created.*?(?=\r\n--)", re.DOTALL)
_NO = b'{"error": {"code": "0x80040265", "message": "An unexpected error occurred."}}'
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n" + _NO


class Will:
    """How one system takes creates; also in calm weather, for it is its nature. ``refusals`` are so many at most."""

    def __init__(self, random: Random, box: Sandbox, struck: Counter[str], *, of_ops: bool) -> None:
        self.random, self.struck = random, struck
        self.active = False
        self.numbers = of_ops and random.random() < 0.5
        self.silent = self.numbers and random.random() < 0.3
        self.refusals = random.choice((0, 1, 3))
        self.forgets = of_ops and random.random() < 0.1
        self._numbers = itertools.count(random.choice(FIRST_OWN_NUMBERS))
        self._box, self._handle = box, box._service.handle
        if self.numbers or self.forgets:
            box._service.handle = self._take  # type: ignore[method-assign]

    def _take(self, call: Call, declared: dict[str, str] | None = None) -> Reply:
        """A new line gets the next number whatever it was sent with, or is not kept although the answer shows it."""
        if not (self.active and call.method == "POST" and call.path.endswith(LINES)):
            return self._handle(call, declared)
        line = json.loads(call.body)
        if self.numbers:
            self.struck["own number"] += 1
            line["LineCreationSequenceNumber"] = self._next()
        reply = self._handle(replace(call, body=json.dumps(line).encode()), declared)
        if self.forgets:
            self.struck["not kept"] += 1
            self._box.delete(LINES, *(line[name] for name in _KEY))
        if self.silent:
            self.struck["silent"] += 1
            return replace(reply, text="")
        return reply

    def _next(self) -> int:
        """A number that no line has."""
        taken = {line["LineCreationSequenceNumber"] for line in self._box.records(LINES)}
        return next(number for number in self._numbers if number not in taken)

    def refused(self, body: bytes) -> bytes | None:
        """The answer to a batch as one that says no of creates that were done; mostly None: it stays as it is."""
        if not (self.active and self.refusals and _CREATED.search(body)) or self.random.random() < 0.5:
            return None
        self.refusals -= 1
        self.struck["saved and refused"] += 1
        return _CREATED.sub(_REFUSAL, body)
