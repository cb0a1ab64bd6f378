"""Rows of a system that do not fit their entity set: quarantined, with the reason; roots of such parts are marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Connector, FieldProblem, Row
from replicator.core.hub_handle import Handle
from replicator.core.mark import mark_roots
from replicator.hub.statements import statements
from replicator.hub.sync_tables import quarantine
from replicator.mapping.key_comparison import KEY_SEPARATOR, fold
from replicator.mapping.schema import EntitySet

_ROW_CHARACTERS = 10_000  # of a quarantined row that are kept
_sql = statements(__name__)


@dataclass(frozen=True)
class Bad:
    """A row that does not fit its entity set."""

    row: Row
    problem: FieldProblem


@dataclass(frozen=True)
class Quarantine:
    """What becomes of the rows of one entity set that do not fit it, within the caller's transaction."""

    hub: Handle
    entity_set: EntitySet
    connector: Connector

    def put(self, bad: Sequence[Bad], since: object | None = None) -> None:
        """Note rows that were not taken in, with the reason and the row itself: nothing is lost.

        They replace what earlier reads noted of the same keys. ``since`` is when this read began (default: just now).
        """
        if not bad:
            return
        root_key_of = self._root_key_reader()
        rows = [self._noted(found, root_key_of) for found in bad]
        mine = sa.and_(quarantine.c.system == self.entity_set.system, quarantine.c.entity_set == self.entity_set.name)
        earlier = sa.true() if since is None else quarantine.c.at < since
        same = quarantine.c.key == sa.any_(sa.literal([row["key"] for row in rows], sa.ARRAY(sa.Text)))
        before = self.hub.execute(sa.delete(quarantine).where(mine, same, earlier).returning(quarantine.c.root_key))
        self._mark([*before.scalars(), *(row["root_key"] for row in rows)])
        self.hub.execute(quarantine.insert().values(root_key=fold(sa.bindparam("root_key", type_=sa.Text))), rows)

    def _noted(self, found: Bad, root_key_of: Callable[[Row], str | None]) -> dict[str, str | None]:
        return {
            "system": self.entity_set.system,
            "entity_set": self.entity_set.name,
            "record": record_of(self.entity_set, found.row),
            "key": key_of(self.entity_set, found.row),
            "root_key": root_key_of(found.row),
            "field": found.problem.field,
            "reason": str(found.problem),
            "row": _as_text(found.row),
        }

    def forget(self, started: object, keys: Sequence[str] | None) -> None:
        """Drop what earlier reads quarantined: rows of these keys, read since, or all of them (None: a whole read)."""
        values = {"system": self.entity_set.system, "entity_set": self.entity_set.name, "started": started}
        if keys is None:
            gone = self.hub.execute(_sql["forget_all"], values)
        else:
            gone = self.hub.execute(_sql["forget_some"], values | {"keys": list(keys)})
        self._mark(list(gone.scalars()))

    def _mark(self, keys: Sequence[str | None]) -> None:
        known = sorted({key for key in keys if key is not None})
        if known:
            mark_roots(self.hub, self.entity_set, known)

    def _root_key_reader(self) -> Callable[[Row], str | None]:
        """From a row to the key of the root that it is a part of; None where it is no part, or that cannot be read."""
        parts = self.hub.compiled.schema.part_sets
        pointed = next((part.pointed for part in parts if part.entity_set is self.entity_set), None)
        if pointed is None:
            return lambda row: None
        spec = self.entity_set.spec
        fields = {own: spec.fields[own] for own, _ in pointed.fields}
        decode = self.connector.decoder(spec.model_copy(update={"fields": fields, "key": tuple(fields)}))

        def root_key_of(row: Row) -> str | None:
            try:
                key = decode(row)[: len(fields)]
            except FieldProblem:
                return None
            if any(part is None for part in key):
                return None
            return KEY_SEPARATOR.join(str(part).strip(" ") for part in key)

        return root_key_of


def record_of(entity_set: EntitySet, row: Row) -> str:
    """What people call the row, as far as it can be read."""
    known = [row.get(name) for name in dict.fromkeys((*entity_set.business_key[-1:], *entity_set.spec.key))]
    key = next((_storable(value) for value in known if value), "(no key)")
    label = " ".join(_storable(row[name]) for name in entity_set.spec.label if row.get(name))
    return f"{label} ({key})" if label else key


def key_of(entity_set: EntitySet, row: Row) -> str:
    """The row's own key as one text, as far as it can be read."""
    return KEY_SEPARATOR.join(_storable(row.get(name)) for name in entity_set.spec.key)


def _storable(value: object) -> str:
    """A text that a database can hold: NUL characters and lone surrogates escaped."""
    return str(value).replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _as_text(row: Row) -> str:
    """JSON in ASCII: NUL characters and lone surrogates appear escaped, so that a database can hold them."""
    text = simplejson.dumps(dict(row), use_decimal=True, default=str, ensure_ascii=True, allow_nan=True)
    return text[:_ROW_CHARACTERS]
