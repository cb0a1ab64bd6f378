"""The replicator's own tables: the log and schema ``sync``. The same whatever ``schema/`` says."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql.base import ischema_names

from replicator.hub.states import NAMES
from replicator.mapping.dependency_paths import REGCLASS as REGCLASS
from replicator.mapping.tables import NAMING


class XID8(sa.types.UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class SNAPSHOT(sa.types.UserDefinedType[str]):
    """PostgreSQL's transaction snapshot."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "pg_snapshot"


# So that comparing a hub with the model knows the types, too.
ischema_names.update({"xid8": XID8, "pg_snapshot": SNAPSHOT, "regclass": REGCLASS})
metadata = sa.MetaData(naming_convention=NAMING)
_time = TIMESTAMP(timezone=True)
_now = sa.text("now()")

delivery_state = ENUM(*NAMES, name="delivery_state", schema="sync", metadata=metadata)

change = sa.Table(
    "change",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Sequence("change_seq", schema="log"),
              server_default=sa.text("nextval('log.change_seq')"), nullable=False,
              comment="The order in which changes were written, not that in which they were committed"),
    sa.Column("txid", XID8, server_default=sa.text("pg_current_xact_id()"), nullable=False,
              comment="The transaction that wrote it; windows of the log go by this"),
    sa.Column("relation", REGCLASS, nullable=False, comment="The captured table"),
    sa.Column("record_id", sa.BigInteger, nullable=False, comment="id in the captured table"),
    sa.Column("operation", sa.CHAR(1), nullable=False, comment="I, U or D"),
    sa.Column("origin", sa.Text, nullable=False, comment="snapshot:, merge: or deliver:<system>, or a database role"),
    sa.Column("at", _time, server_default=_now, nullable=False,
              comment="When the transaction began; the day of its partition"),
    schema="log",
    comment="One row per changed record, written by triggers only; where to look, not what to do",
    postgresql_partition_by="RANGE (at)",
)  # fmt: skip
sa.Index("ix_change_txid", change.c.txid)
sa.Index("ix_change_record", change.c.record_id, change.c.relation)
sa.Index("ix_change_deleted", change.c.relation, postgresql_where=change.c.operation == sa.literal_column("'D'"))

map_ = sa.Table(
    "map",
    metadata,
    sa.Column(
        "id",
        sa.SmallInteger,
        sa.Identity(always=True),
        primary_key=True,
        comment="Stays the same for as long as the map has this name",
    ),
    sa.Column("name", sa.Text, nullable=False, unique=True, comment="source > target, as status shows it"),
    sa.Column(
        "direction", sa.Text, nullable=False, comment="in: from a system to common; out: from common to a system"
    ),
    sa.Column("system", sa.Text, nullable=False, comment="The system at its other end"),
    sa.Column("source", sa.Text, nullable=False, comment="The table its records come from"),
    sa.Column("target", sa.Text, nullable=False, comment="The table that holds what they become"),
    sa.Column("rank", sa.SmallInteger, nullable=False, comment="Dependency rank: lower goes first"),
    sa.Column("root", sa.Text, comment="For a part: the map of its root"),
    sa.Column("hash", sa.Text, nullable=False, comment="Of the compiled view; a new one marks every record"),
    sa.Column("marked_hash", sa.Text, comment="The hash for which every record was last marked"),
    sa.Column("opened_at", _time, comment="When the first delivery was let through; until then updates are counted"),
    sa.Column("in_use", sa.Boolean, nullable=False, server_default=sa.true(), comment="Whether schema/ still has it"),
    sa.Column("view_name", sa.Text, nullable=False, server_default="", comment="Its view in schema desired"),
    sa.Column("entity", sa.Text, nullable=False, server_default="", comment="The entity of the common model"),
    sa.Column("entity_set", sa.Text, nullable=False, server_default="", comment="The entity set of the system"),
    sa.Column("leaves_out", sa.Text, comment="Which records it leaves out without showing them, in words"),
    sa.Column("mode", sa.Text, nullable=False, server_default="apply", comment="apply, or observe: nothing is sent"),
    sa.Column("last_success_at", _time, comment="When a record last arrived by it"),
    schema="sync",
    comment="The maps of schema/, by id",
)

delivery = sa.Table(
    "delivery",
    metadata,
    # No foreign key: maps are never deleted, and asking for each of a million marks doubled their time.
    sa.Column("map_id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="The map in sync.map"),
    sa.Column(
        "record_id", sa.BigInteger, primary_key=True, comment="Inbound: id in the mirror; outbound: id in common"
    ),
    sa.Column(
        "state", delivery_state, nullable=False, server_default="pending", comment="How it stands; no row is in step"
    ),
    sa.Column("marked", sa.Integer, nullable=False, server_default="1", comment="Raised by every mark"),
    sa.Column("claimed", sa.Integer, comment="What marked was when the record was claimed"),
    sa.Column("since", _time, nullable=False, server_default=_now, comment="When it was first marked"),
    sa.Column(
        "attempts",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="Failures in a row since it was last marked",
    ),
    sa.Column("tried_at", _time, comment="When it was last decided or sent"),
    sa.Column("next_at", _time, comment="Not before this time"),
    sa.Column("record", sa.Text, comment="What people call the record"),
    sa.Column(
        "operation",
        sa.Text,
        comment="What was to be done: create, update, delete; of a skipped record how it stood, as was held",
    ),
    sa.Column("reason", sa.Text, comment="In words; for a rejection the system's own"),
    sa.Column(
        "code", sa.Text, comment="The kind of the failure: a word of the hub, or the code of the target or database"
    ),
    sa.Column("field", sa.Text, comment="The field that is to blame, where it is a single one"),
    sa.Column("waits_for", ARRAY(sa.Text), comment="Blocked: each missing parent"),
    sa.Column(
        "asked",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="A person asked for it; kept until the write succeeds",
    ),
    sa.Column("identity", JSONB, comment="The keys of records under creation, stored before the first request"),
    schema="sync",
    comment="One row per map and record while there is something to do or something wrong; in step is no row",
)
sa.Index(
    "ix_delivery_pending",
    delivery.c.map_id,
    delivery.c.record_id,
    postgresql_where=delivery.c.state == sa.literal_column("'pending'"),
)
sa.Index(
    "ix_delivery_unknown",
    delivery.c.map_id,
    delivery.c.record_id,
    postgresql_where=delivery.c.state == sa.literal_column("'unknown'"),
)
sa.Index(
    "ix_delivery_blocked",
    delivery.c.map_id,
    delivery.c.record_id,
    postgresql_where=delivery.c.state == sa.literal_column("'blocked'"),
)
sa.Index("ix_delivery_next", delivery.c.map_id, delivery.c.next_at, postgresql_where=delivery.c.next_at.is_not(None))

consumer = sa.Table(
    "consumer",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="Who reads the log; replicator is the only one"),
    sa.Column("snapshot", SNAPSHOT, nullable=False, comment="Everything visible in it has been read"),
    sa.Column("cluster", sa.Text, nullable=False, comment="The place the snapshot belongs to: sync.here"),
    sa.Column(
        "reread_since",
        _time,
        comment="The hub was restored: nothing is written before everything was read whole since then, and merged",
    ),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it last read on"),
    schema="sync",
    comment="How far the log has been read",
)

entity_set = sa.Table(
    "entity_set",
    metadata,
    sa.Column("system", sa.Text, primary_key=True, comment="The system that has it"),
    sa.Column("entity_set", sa.Text, primary_key=True, comment="As the system calls it"),
    sa.Column("token", sa.Text, comment="Where the next read of changes starts"),
    sa.Column("whole_at", _time, comment="When it was last read whole"),
    sa.Column("read_at", _time, comment="When it was last read at all"),
    sa.Column(
        "quiet_reads", sa.Integer, nullable=False, server_default="0", comment="The last reads that brought nothing"
    ),
    sa.Column("export", sa.Text, comment="By which export of the system it is read for the first time"),
    sa.Column("hinted_at", _time, comment="When its system last said that something changed in it"),
    sa.Column("problem", sa.Text, comment="Why the last read failed"),
    sa.Column("problem_since", _time, comment="When a read first failed; null after one that did not"),
    sa.Column(
        "made_of", sa.Text, comment="The mirror and its columns that it was read into; of others it is read whole"
    ),
    schema="sync",
    comment="How far each entity set has been read",
)

snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the read"),
    sa.Column("system", sa.Text, nullable=False, comment="The system that was read"),
    sa.Column("entity_set", sa.Text, nullable=False, comment="What was read of it"),
    sa.Column("kind", sa.Text, nullable=False, comment="whole, changed or swept"),
    sa.Column("started_at", _time, nullable=False, comment="Before the first request"),
    sa.Column("finished_at", _time, comment="When the mirror was written"),
    sa.Column("rows", sa.BigInteger, comment="Rows read"),
    sa.Column("inserted", sa.BigInteger, comment="Records that the mirror did not have"),
    sa.Column("updated", sa.BigInteger, comment="Records that differed from the mirror"),
    sa.Column("deleted", sa.BigInteger, comment="Records that were gone, and within the budget"),
    sa.Column("held", sa.BigInteger, comment="Proposed deletes held for a person's decision"),
    sa.Column("quarantined", sa.BigInteger, comment="Rows that could not be taken in"),
    schema="sync",
    comment="The reads that changed something",
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the row"),
    sa.Column("system", sa.Text, nullable=False, comment="The system it was read from"),
    sa.Column("entity_set", sa.Text, nullable=False, comment="The entity set it was read from"),
    sa.Column("record", sa.Text, comment="What people call the record, where it could be read"),
    sa.Column("key", sa.Text, comment="The system's key fields, where they could be read"),
    sa.Column("root_key", sa.Text, comment="For a part: the key of the root it belongs to, where it could be read"),
    sa.Column("field", sa.Text, comment="The field that does not fit, where it is a single one"),
    sa.Column("reason", sa.Text, nullable=False, comment="What does not fit, in words"),
    sa.Column("row", sa.Text, comment="The row as JSON, control characters escaped"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it was read"),
    schema="sync",
    comment="Rows of snapshots that could not be taken in, with the reason; replaced by the next read of the row",
)
sa.Index("ix_quarantine_key", quarantine.c.system, quarantine.c.entity_set, quarantine.c.key)
sa.Index("ix_quarantine_root_key", quarantine.c.root_key, postgresql_where=quarantine.c.root_key.is_not(None))

proposed_delete = sa.Table(
    "proposed_delete",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the proposal"),
    sa.Column("system", sa.Text, nullable=False, comment="The system that shows the record no more"),
    sa.Column("entity_set", sa.Text, nullable=False, comment="The entity set that it was in"),
    sa.Column("record_id", sa.BigInteger, nullable=False, comment="id in the mirror"),
    sa.Column("record", sa.Text, comment="What people call the record"),
    sa.Column("state", sa.Text, nullable=False, comment="proposed, held, approved, rejected, withdrawn or done"),
    sa.Column("reason", sa.Text, comment="Why it is held"),
    sa.Column("proposed_at", _time, nullable=False, server_default=_now, comment="When its absence was first seen"),
    sa.Column("decided_at", _time, comment="When a person decided"),
    sa.Column("decided_by", sa.Text, comment="A database role, or whom the console knows"),
    schema="sync",
    comment="Records that a system no longer shows: deleted within the budget, held over it",
)
sa.Index(
    "ix_proposed_delete_record", proposed_delete.c.system, proposed_delete.c.entity_set, proposed_delete.c.record_id
)

orphan = sa.Table(
    "orphan",
    metadata,
    sa.Column("system", sa.Text, primary_key=True, comment="The system that holds the record"),
    sa.Column("entity_set", sa.Text, primary_key=True, comment="The entity set that it is in"),
    sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="id in the mirror"),
    sa.Column("since", _time, nullable=False, server_default=_now, comment="When it was noticed"),
    sa.Column("decided_at", _time, comment="When a person decided to leave it as it is; null: nobody did"),
    sa.Column("decided_by", sa.Text, comment="A database role, or whom the console knows"),
    schema="sync",
    comment="Records of targets that a restored hub found and does not know: it may have written them itself",
)

accepted = sa.Table(
    "accepted",
    metadata,
    sa.Column("map_id", sa.SmallInteger, sa.ForeignKey(map_.c.id), primary_key=True, comment="The map in sync.map"),
    sa.Column(
        "record_id", sa.BigInteger, primary_key=True, comment="Inbound: id in the mirror; outbound: id in common"
    ),
    sa.Column("field", sa.Text, primary_key=True, comment="Column of the target"),
    sa.Column("sent", sa.Text, comment="The value that was to be stored, as text"),
    sa.Column("stored", sa.Text, comment="The value that the target made of it, as text"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When the target answered"),
    schema="sync",
    comment="Amended: what was sent and what the target made of it; in step while both stay as they are",
)

base = sa.Table(
    "base",
    metadata,
    sa.Column("map_id", sa.SmallInteger, sa.ForeignKey(map_.c.id), primary_key=True, comment="The inbound map"),
    sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="id in the mirror"),
    sa.Column("field", sa.Text, primary_key=True, comment="Column of the common table"),
    sa.Column("common_id", sa.BigInteger, nullable=False, comment="The common record it was paired with then"),
    sa.Column("common", sa.Text, comment="What common held"),
    sa.Column("side", sa.Text, comment="What the system held, in common's terms; another value where it was amended"),
    sa.Column("at", _time, server_default=_now, nullable=False, comment="When they last agreed"),
    schema="sync",
    comment="Fields that either side may change: the last values on which a system and common agreed",
)

conflict = sa.Table(
    "conflict",
    metadata,
    sa.Column(
        "id",
        sa.BigInteger,
        sa.Identity(always=True),
        primary_key=True,
        comment="Number of the conflict, for sync.resolve",
    ),
    sa.Column("map_id", sa.SmallInteger, sa.ForeignKey(map_.c.id), nullable=False, comment="The inbound map"),
    sa.Column("record_id", sa.BigInteger, nullable=False, comment="id in the mirror"),
    sa.Column("common_id", sa.BigInteger, nullable=False, comment="id in common"),
    sa.Column("entity", sa.Text, nullable=False, comment="The entity of the common model"),
    sa.Column("record", sa.Text, comment="What people call the record"),
    sa.Column("field", sa.Text, nullable=False, comment="Column of the common table"),
    sa.Column("system", sa.Text, nullable=False, comment="The system whose change met another one in common"),
    sa.Column("base", sa.Text, comment="The value before both changes; null where the two never agreed"),
    sa.Column("held", JSONB, nullable=False, comment="What common and each linked system held, by name, as text"),
    sa.Column("state", sa.Text, nullable=False, server_default="open", comment="open or decided"),
    sa.Column("since", _time, nullable=False, server_default=_now, comment="When it was noticed"),
    sa.Column("decided_at", _time, comment="When it was decided, or the values came to agree"),
    sa.Column(
        "decided_by", sa.Text, comment="policy, a person's role, or change: the values came to agree by themselves"
    ),
    sa.Column("decision", sa.Text, comment="Whose value was taken: a system, common, or value for one that was given"),
    sa.Column("decided", sa.Text, comment="The value that was taken"),
    sa.CheckConstraint("state in ('open', 'decided')", name="state_known"),
    schema="sync",
    comment="Fields that were changed on both sides: every value, and what was decided",
)
sa.Index(
    "uq_conflict_open",
    conflict.c.map_id,
    conflict.c.record_id,
    conflict.c.field,
    unique=True,
    postgresql_where=conflict.c.state == sa.literal_column("'open'"),
)
sa.Index("ix_conflict_common", conflict.c.common_id, postgresql_where=conflict.c.state == sa.literal_column("'open'"))

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="What is led; replicator is the only one"),
    sa.Column("holder", sa.Text, nullable=False, comment="The host and process that leads, or led last"),
    sa.Column("epoch", sa.BigInteger, nullable=False, comment="Raised by every takeover"),
    sa.Column("expires_at", _time, nullable=False, comment="Until then nobody else may lead"),
    sa.Column(
        "goes_on",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Whether it was to work until it is stopped: a daemon, and no single command",
    ),
    schema="sync",
    comment="Which daemon leads",
)

hub = sa.Table(
    "hub",
    metadata,
    sa.Column(
        "schema_hash",
        sa.Text,
        primary_key=True,
        comment="Of all that the generated objects are made from; a program that would make others refuses to work",
    ),
    sa.Column("version", sa.Text, nullable=False, comment="The program that made the generated objects"),
    sa.Column(
        "product_hash", sa.Text, nullable=False, comment="Of the program's own SQL and revisions, whatever schema/ says"
    ),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When they were made"),
    schema="sync",
    comment="What the hub was compiled from; one row",
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the window"),
    sa.Column("kind", sa.Text, nullable=False, comment="window: one window of the log read"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it was read"),
    sa.Column("changes", sa.BigInteger, nullable=False, comment="Rows of the log in it"),
    sa.Column("records", sa.BigInteger, nullable=False, comment="Distinct records among them"),
    sa.Column("marks", sa.BigInteger, nullable=False, comment="Deliveries that were marked because of them"),
    schema="sync",
    comment="Windows of the log: changes read, distinct records among them, marks made",
)
