"""Refusals that speak of the moment and not of the data: a lock, a deadlock, a session that was lost.

Both systems wrap them into the classes and codes that they use for business logic, so that only the words, the name
of an inner exception or the number of an SQL error tell. The words are English, as the systems write them to a user of
that language (docs/assumptions.md). Sources: the vendor's "Troubleshoot Dataverse bulk operation errors" (1205, -2,
swallowed deadlock), "Service protection API limits" and "Web service error codes"; for Finance and Operations the
update conflict as its partners' release notes quote it; SQL Server's own texts for 1205, 1222, 40197, 40501 and 40613.
"""

from __future__ import annotations

import re

from replicator.connectors.odata.answers import Complaint

_quoted = re.compile(r"(?<!\w)'(?:[^']|'(?=\w))*'(?!\w)|\"[^\"]*\"")
"""What stands in quotes is the record's own text, and may hold any word. An apostrophe within a word is no quote."""
_exceptions = re.compile(r"\b\w*(?:UpdateConflict|Deadlock|TransientSqlConnection|Timeout)\w*(?:Exception)?\b")
_sql_numbers = frozenset({-2, 64, 233, 1204, 1205, 1222, 3960, 10053, 10054, 10060, 10928, 10929})
"""Timeouts, locks, deadlocks and lost connections; 40000 and up are those of the hosted database, and pass as well."""
_sql_number = re.compile(r"\bSql (?:Number|Error):? ?(-?\d+)", re.IGNORECASE)
_words = re.compile(
    r"""
    \bdeadlock
    | \bupdate\ conflict\b
    | \brerun\ the\ transaction\b
    | \block\ request\ time-?\ ?out\b
    | \btime-?\ ?out\ (?:period\ )?(?:expired|elapsed)\b | \btimeout\ has\ occurred\b
    | \b(?:locked|in\ use|used|held|edited|changed|modified)\ by\ (?:an)?other\ (?:\w+\ )?(?:user|process|session)
    | \b(?:locked|in\ use|held)\ by\ user\b | \b(?:cannot|could\ not)\ obtain\ (?:an?\ )?(?:exclusive\ )?lock\b
    | \banother\ (?:user|process|session)\ (?:has|is|was)\b
    | \bnumber\ seq\w+\b.{0,120}\b(?:lock|locked|busy|in\ use)\b | \block(?:ed)?\b.{0,120}\bnumber\ seq\w+\b
    | \bsession\b.{0,60}\b(?:lost|ended|expired|closed|terminated|no\ longer|not\ valid|invalid|timed\ out)\b
    | \b(?:lost|expired|invalid)\ session\b
    | \bconnection\b.{0,60}\b(?:lost|closed|broken|reset|forcibly|timed\ out)\b
    | \btransport-level\ error\b | \bcommunication\ link\ failure\b
    | \b(?:temporarily|currently)\ (?:unavailable|not\ available|busy|locked)\b | \b(?:system|server)\ is\ busy\b
    | \b(?:try|retry)(?:\ the\ \w+)?(?:\ again)?\ later\b
    | \bmaintenance\ mode\b
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def is_passing(words: Complaint) -> bool:
    """Whether a refusal speaks of the moment: the same write may succeed when it is tried again."""
    if _exceptions.search(words.types):
        return True
    said = _quoted.sub("''", words.everything)
    return _has_passing_number(said) or _words.search(said) is not None


def _has_passing_number(text: str) -> bool:
    numbers = [int(number) for number in _sql_number.findall(text)]
    return any(number in _sql_numbers or 40000 <= number < 50000 for number in numbers)
