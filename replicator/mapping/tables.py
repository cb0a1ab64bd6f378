"""The hub's tables as the model makes them: mirrors, common tables, crosswalks and before-images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from replicator.mapping.key_comparison import fold, key_expressions, mirror_key
from replicator.mapping.language import CommonEntity, CommonField
from replicator.mapping.literals import constant, types
from replicator.mapping.schema import EntitySet, Map, Schema, column_name

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
ETAG = "etag"
DIGEST = "digest"
OF_THE_MIRROR = frozenset({ETAG, DIGEST})
"""Columns of a mirror that are no field of its records: neither compared nor kept in images."""


@dataclass(frozen=True)
class Tables:
    """All tables that follow from a Schema, and where each is found."""

    metadata: sa.MetaData
    common: dict[str, sa.Table]
    mirrors: dict[tuple[str, str], sa.Table]
    links: dict[tuple[str, str, str], sa.Table]
    images: dict[str, sa.Table]
    """Before-images by the full name of the captured table."""

    def mirror(self, entity_set: EntitySet) -> sa.Table:
        return self.mirrors[entity_set.system, entity_set.name]

    def link(self, entity_set: EntitySet, entity: str) -> sa.Table | None:
        """The crosswalk between a mirror and a common table, where some map joins them."""
        return self.links.get((entity_set.system, entity_set.name, entity))

    def link_of(self, mapping: Map) -> sa.Table:
        return self.links[mapping.system, mapping.entity_set.name, mapping.entity.entity]

    def image(self, table: sa.Table) -> sa.Table:
        return self.images[table.fullname]

    @property
    def captured(self) -> Sequence[sa.Table]:
        """The tables whose changes the log records."""
        return [*self.common.values(), *self.mirrors.values()]


def common_column(entity: CommonEntity, field: str) -> str:
    """The column of a field: a reference ``owner`` is the column ``owner_id``."""
    return f"{field}_id" if entity.fields[field].reference else field


def common_key(entity: CommonEntity) -> list[str]:
    """The columns of an entity's business key."""
    return [common_column(entity, field) for field in entity.key]


def build(schema: Schema) -> Tables:
    """The tables of ``schema``, in one MetaData."""
    metadata = sa.MetaData(naming_convention=NAMING)
    common = {name: _common_table(metadata, entity) for name, entity in schema.entities.items()}
    mirrors = {key: _mirror_table(metadata, schema, entity_set) for key, entity_set in schema.entity_sets.items()}
    links: dict[tuple[str, str, str], sa.Table] = {}
    for mapping in schema.maps:
        key = (mapping.system, mapping.entity_set.name, mapping.entity.entity)
        if key not in links:
            links[key] = _link_table(metadata, mapping, part=schema.root_map(mapping) is not None)
    images = {table.fullname: _image_table(metadata, table) for table in [*common.values(), *mirrors.values()]}
    return Tables(metadata, common, mirrors, links, images)


def _identity() -> sa.Column[int]:
    comment = "The hub's own number of the record"
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment=comment)


def _common_table(metadata: sa.MetaData, entity: CommonEntity) -> sa.Table:
    table = sa.Table(entity.entity, metadata, _identity(), schema="common", comment=entity.description)
    for name, field in entity.fields.items():
        column = common_column(entity, name)
        comment = _common_comment(name, field)
        nullable = not field.required
        if field.reference:
            target = sa.ForeignKey(f"common.{field.reference}.id", deferrable=True, initially="DEFERRED")
            table.append_column(sa.Column(column, sa.BigInteger, target, nullable=nullable, comment=comment))
        else:
            default = None if field.default is None else sa.literal(field.default).compile(
                compile_kwargs={"literal_binds": True}
            ).string  # fmt: skip
            table.append_column(
                sa.Column(column, types[field.type], nullable=nullable, comment=comment,
                          server_default=None if default is None else sa.text(default))
            )  # fmt: skip
        if field.values:
            allowed = sa.column(column).in_([constant(value) for value in field.values])
            table.append_constraint(sa.CheckConstraint(allowed, name=f"{column}_known"))
        if field.length:
            short = sa.func.char_length(sa.column(column)) <= constant(field.length)
            table.append_constraint(sa.CheckConstraint(short, name=f"{column}_length"))
    sa.Index(f"uq_{entity.entity}_key", *key_expressions(table, common_key(entity)), unique=True)
    for name, field in entity.fields.items():
        if field.reference and name != entity.key[0]:
            sa.Index(None, table.c[common_column(entity, name)])
    return table


def _common_comment(name: str, field: CommonField) -> str:
    """What the field is, and what the column cannot show by its type."""
    points = f"a record of common.{field.reference}" if field.reference else ""
    values = f"one of {', '.join(field.values)}" if field.values else ""
    longest = f"at most {field.length} characters" if field.length else ""
    words = field.description or name.replace("_", " ").capitalize()
    return "; ".join(each for each in (words, points, values, longest) if each)


def _mirror_table(metadata: sa.MetaData, schema: Schema, entity_set: EntitySet) -> sa.Table:
    spec = entity_set.spec
    table = sa.Table(entity_set.table_name, metadata, _identity(), schema=entity_set.system, comment=spec.description)
    for name, field in spec.fields.items():
        comment = f"{name}: {field.description}" if field.description else name
        nullable = name not in spec.key
        table.append_column(sa.Column(column_name(name), types[field.holds], nullable=nullable, comment=comment))
    table.append_column(sa.Column(ETAG, sa.Text, comment="The version the system gave this image"))
    table.append_column(
        sa.Column(DIGEST, sa.LargeBinary, comment="Of the bytes of the row that a read made this image of; else null")
    )
    sa.Index(f"ix_{table.name}_{DIGEST}", table.c[DIGEST], postgresql_where=table.c[DIGEST].is_not(None))
    sa.Index(f"uq_{table.name}_key", *key_expressions(table, mirror_key(entity_set)), unique=True)
    if spec.business_key:
        columns = [column_name(field) for field in spec.business_key]
        sa.Index(f"ix_{table.name}_business_key", *key_expressions(table, columns))
    for name, field in spec.fields.items():
        if field.type == "reference":
            column = table.c[column_name(name)]
            sa.Index(f"ix_{table.name}_{column.name}", fold(column))
    if any(mapping.to for mapping in spec.maps):  # only inbound maps follow them
        for name in spec.references:
            columns = [own for each in schema.pointed(entity_set, name) for own, _ in each.columns]
            if columns != mirror_key(entity_set)[: len(columns)]:
                sa.Index(f"ix_{table.name}_{column_name(name)}", *key_expressions(table, columns))
    return table


def _link_table(metadata: sa.MetaData, mapping: Map, *, part: bool) -> sa.Table:
    name = f"link_{mapping.system}_{mapping.entity_set.table_name}__{mapping.entity.entity}"
    table = sa.Table(
        name,
        metadata,
        sa.Column("mirror_id", sa.BigInteger, nullable=False, comment="id in the mirror"),
        sa.Column("common_id", sa.BigInteger, nullable=False, comment="id in the common table"),
        sa.Column("ended_at", TIMESTAMP(timezone=True), comment="When the pair was parted; null while it lives"),
        schema="sync",
        comment=f"Which record of {mapping.entity_set} is which common {mapping.entity.entity}",
    )
    if part:
        table.append_column(
            sa.Column("root_id", sa.BigInteger, comment="The common record of the root this part was written with")
        )
        sa.Index(f"ix_{name}_root", table.c.root_id)
    live = table.c.ended_at.is_(None)
    sa.Index(f"uq_{name}_mirror", table.c.mirror_id, unique=True, postgresql_where=live)
    # A part that moved is paired in both wholes, until the old one lets go of it.
    once = (table.c.common_id, table.c.root_id) if part else (table.c.common_id,)
    sa.Index(f"uq_{name}_common", *once, unique=True, postgresql_where=live)
    return table


def _image_table(metadata: sa.MetaData, captured: sa.Table) -> sa.Table:
    name = f"{captured.schema}_{captured.name}"
    table = sa.Table(
        name,
        metadata,
        sa.Column("seq", sa.BigInteger, nullable=False, comment="log.change.seq of the change this was before"),
        sa.Column("at", TIMESTAMP(timezone=True), nullable=False, comment="log.change.at of that change"),
        *(
            sa.Column(each.name, each.type, comment=each.comment)
            for each in captured.columns
            if each.name not in OF_THE_MIRROR
        ),
        schema="log",
        comment=f"Rows of {captured.fullname} as they were before each update and delete",
        postgresql_partition_by="RANGE (at)",
    )
    sa.Index(f"ix_{name}_seq", table.c.seq)
    return table
