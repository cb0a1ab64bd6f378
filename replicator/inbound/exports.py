"""First reads by an export of the system's own, where its connector has one: faster than page by page, without etags.

Etags come from a sweep that is made *before* the export is asked for and kept until the export is here: a record that
changes in between is then held with an etag older than its values, so that the next sweep finds and fetches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlalchemy as sa

from replicator.connectors.protocol import Connector, FieldProblem, Page
from replicator.core.hub_handle import Handle
from replicator.errors import ExportEnded, Terminal
from replicator.hub.statements import statements
from replicator.hub.sync_tables_of_reading import swept
from replicator.inbound.sweep import LastSweep, Sweep
from replicator.mapping.key_comparison import KEY_SEPARATOR, in_one_text, key_expressions, mirror_key
from replicator.mapping.schema import EntitySet
from replicator.mapping.tables import ETAG

_sql = statements(__name__)
_GIVEN_UP = "given up: "
"""Kept instead of an export that can bring nothing: the set is then read page by page."""


class FirstRead:
    """The export of one entity set."""

    def __init__(self, hub: Handle, entity_set: EntitySet, connector: Connector) -> None:
        self.hub, self.entity_set, self.connector = hub, entity_set, connector
        self._names = {"system": entity_set.system, "entity_set": entity_set.name}

    def pages(self, kept: str | None, wait: Callable[[float], bool], *, again: bool) -> Iterator[Page] | None:
        """Its pages, of the export that is kept or of a new one; None where the set is read page by page.

        What was given up is tried ``again`` where somebody asks for the set.
        """
        if kept is not None and kept.startswith(_GIVEN_UP):
            if not again:
                return None
            kept = None
        export = kept or self.connector.new_export(self.entity_set.spec)
        try:
            if export is not None and kept is None:
                self._begin(export)
        except FieldProblem:  # of a key: page by page its record is quarantined
            return None
        return None if export is None else self._pages(export, wait)

    def _pages(self, export: str, wait: Callable[[float], bool]) -> Iterator[Page]:
        try:
            yield from self.connector.read_export(self.entity_set.spec, export, wait)
        except ExportEnded as problem:
            is_hopeless = isinstance(problem, Terminal)
            with self.hub.leading():
                self.forget(f"{_GIVEN_UP}{problem.message}" if is_hopeless else None)
            raise

    def _begin(self, export: str) -> None:
        """Keep the etags there are, and what the export is called, before it is asked for."""
        sweep = Sweep(self.hub, self.entity_set, self.connector)
        sweep.read(LastSweep())
        keys = _one_text(sweep.swept, self.entity_set)
        rows = sa.select(*(sa.literal(each) for each in self._names.values()), keys, sweep.swept.c[ETAG])
        with self.hub.leading():
            self.forget(export)
            self.hub.execute(sa.insert(swept).from_select(["system", "entity_set", "key", "etag"], rows))

    def give_etags(self, stage: sa.TableClause) -> None:
        """Give staged rows the etags that are kept, in the transaction that is open."""
        mine = sa.and_(swept.c.system == self.entity_set.system, swept.c.entity_set == self.entity_set.name)
        same = swept.c.key == _one_text(stage, self.entity_set)
        self.hub.execute(sa.update(stage).values({ETAG: swept.c.etag}).where(mine, same))

    def forget(self, export: str | None = None) -> None:
        """Keep this instead of the export, in the transaction that is open, and no etags."""
        self.hub.execute(_sql["keep_export"], self._names | {"export": export})
        self.hub.execute(_sql["forget_etags"], self._names)


def _one_text(table: sa.FromClause, entity_set: EntitySet) -> sa.ColumnElement[str]:
    """The key as one text, as keys are compared."""
    return in_one_text(key_expressions(table, mirror_key(entity_set)), KEY_SEPARATOR)
