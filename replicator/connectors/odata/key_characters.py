"""Characters in a text key that an address may not carry to the record: slashes, plus and the like.

The web server before Finance and Operations decodes a path before it takes it apart, so that some of them have to be
encoded twice: slash, backslash, plus ("D365 F&O, OData, Slashes, Pluses, and Double Encoding"; a filter needs it not).
That is known of single requests, and not of the parts of a batch. So another way is tried where the first one did not
reach a record that a filter shows, and what works is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.connectors.protocol import Stale

ways = ("/\\+", "", "%/\\+#&?*:<>")
"""Which characters are encoded twice, in the order in which it is tried."""
_unusual = re.compile(r"[^A-Za-z0-9._~-]")
"""What has to be encoded in an address: there are services that decode it not at all in a batch, and others twice."""


@dataclass(frozen=True)
class NotReached(Stale):
    """A write whose address led nowhere, though its key has characters that addresses lose."""


def unusual(key: Mapping[str, object]) -> str:
    """The characters of a key that an address may lose, each once."""
    texts = "".join(value for value in key.values() if isinstance(value, str))
    return "".join(dict.fromkeys(_unusual.findall(texts)))


def unreachable(key: Mapping[str, object]) -> str:
    """What to tell of a record that is there and that no address reaches."""
    shown = " ".join("blank" if character.isspace() else character for character in unusual(key))
    return (
        f"the record is there, and no address reaches it: its key holds {shown}, which this system does not take in "
        "the address of a record; change it there by hand, or give the record a key without"
    )
