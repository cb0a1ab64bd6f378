"""The replicator's own state, in schema ``sync``.

Why: what it has read, marked, delivered and been told; the same whatever ``schema/`` says.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = 'replicator_0002'
down_revision = 'replicator_0001'

TABLES = (
    "alert",
    "consumer",
    "decision",
    "delivery",
    "entity_set",
    "hub",
    "lease",
    "map",
    "pause",
    "plan",
    "proposed_delete",
    "refetch",
    "quarantine",
    "read_cost",
    "run",
    "snapshot",
    "swept",
    "system",
    "accepted",
    "base",
    "conflict",
    "planned",
    "orphan",
)


class PostgresType(sa.types.UserDefinedType):
    """A type of PostgreSQL that SQLAlchemy does not know."""

    def __init__(self, name):
        self.name = name

    def get_col_spec(self, **_):
        return self.name


def upgrade() -> None:
    op.create_table('alert',
    sa.Column('cause', sa.Text(), nullable=False, comment='The id in sync.causes'),
    sa.Column('title', sa.Text(), nullable=False, comment='What was told'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When the trouble began'),
    sa.Column('records', sa.BigInteger(), nullable=False, comment='How many records are concerned now'),
    sa.Column('told_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When somebody was last told of it'),
    sa.Column('told_records', sa.BigInteger(), nullable=True, comment='And of how many records'),
    sa.Column('cleared_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was over; null while it lasts'),
    sa.PrimaryKeyConstraint('cause', name=op.f('pk_alert')),
    schema='sync',
    comment='Of which causes people have been told, so that nobody is told twice'
    )
    op.create_table('consumer',
    sa.Column('name', sa.Text(), nullable=False, comment='Who reads the log; replicator is the only one'),
    sa.Column('snapshot', PostgresType('pg_snapshot'), nullable=False, comment='Everything visible in it has been read'),
    sa.Column('cluster', sa.Text(), nullable=False, comment='The place the snapshot belongs to: sync.here'),
    sa.Column('reread_since', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='The hub was restored: nothing is written before everything was read whole since then, and merged'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it last read on'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_consumer')),
    schema='sync',
    comment='How far the log has been read'
    )
    op.create_table('decision',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the decision'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was made'),
    sa.Column('by', sa.Text(), nullable=False, comment='A database role, or whom the console knows'),
    sa.Column('action', sa.Text(), nullable=False, comment='retry, skip, approve, resolve, pause, ...'),
    sa.Column('what', sa.Text(), nullable=False, comment='The flow, entity set, cause, conflict or scope'),
    sa.Column('record', sa.Text(), nullable=True, comment='The record, where it was a single one'),
    sa.Column('records', sa.BigInteger(), nullable=False, comment='How many records it concerned'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why, in the words of who decided'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decision')),
    schema='sync',
    comment='What people decided, and who; kept for good'
    )
    op.create_index('ix_decision_at', 'decision', ['at'], unique=False, schema='sync')
    op.create_table('delivery',
    sa.Column('map_id', sa.SmallInteger(), autoincrement=False, nullable=False, comment='The map in sync.map'),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='Inbound: id in the mirror; outbound: id in common'),
    sa.Column('state', postgresql.ENUM('pending', 'in_flight', 'blocked', 'not_eligible', 'failed', 'unknown', 'rejected', 'reported', 'held', 'observed', 'skipped', name='delivery_state', schema='sync'), server_default='pending', nullable=False, comment='How it stands; no row is in step'),
    sa.Column('marked', sa.Integer(), server_default='1', nullable=False, comment='Raised by every mark'),
    sa.Column('claimed', sa.Integer(), nullable=True, comment='What marked was when the record was claimed'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was first marked'),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False, comment='Failures in a row since it was last marked'),
    sa.Column('tried_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was last decided or sent'),
    sa.Column('next_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Not before this time'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record'),
    sa.Column('operation', sa.Text(), nullable=True, comment='What was to be done: create, update, delete; of a skipped record how it stood, as was held'),
    sa.Column('reason', sa.Text(), nullable=True, comment="In words; for a rejection the system's own"),
    sa.Column('code', sa.Text(), nullable=True, comment='The kind of the failure: a word of the hub, or the code of the target or database'),
    sa.Column('field', sa.Text(), nullable=True, comment='The field that is to blame, where it is a single one'),
    sa.Column('waits_for', postgresql.ARRAY(sa.Text()), nullable=True, comment='Blocked: each missing parent'),
    sa.Column('asked', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='A person asked for it; kept until the write succeeds'),
    sa.Column('identity', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='The keys of records under creation, stored before the first request'),
    sa.PrimaryKeyConstraint('map_id', 'record_id', name=op.f('pk_delivery')),
    schema='sync',
    comment='One row per map and record while there is something to do or something wrong; in step is no row'
    )
    op.create_index('ix_delivery_blocked', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'blocked'"))
    op.create_index('ix_delivery_next', 'delivery', ['map_id', 'next_at'], unique=False, schema='sync', postgresql_where=sa.text('next_at IS NOT NULL'))
    op.create_index('ix_delivery_pending', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'pending'"))
    op.create_index('ix_delivery_unknown', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'unknown'"))
    op.create_table('entity_set',
    sa.Column('system', sa.Text(), nullable=False, comment='The system that has it'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='As the system calls it'),
    sa.Column('token', sa.Text(), nullable=True, comment='Where the next read of changes starts'),
    sa.Column('whole_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was last read whole'),
    sa.Column('read_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was last read at all'),
    sa.Column('quiet_reads', sa.Integer(), server_default='0', nullable=False, comment='The last reads that brought nothing'),
    sa.Column('export', sa.Text(), nullable=True, comment='By which export of the system it is read for the first time'),
    sa.Column('hinted_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When its system last said that something changed in it'),
    sa.Column('problem', sa.Text(), nullable=True, comment='Why the last read failed'),
    sa.Column('problem_since', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a read first failed; null after one that did not'),
    sa.Column('made_of', sa.Text(), nullable=True, comment='The mirror and its columns that it was read into; of others it is read whole'),
    sa.PrimaryKeyConstraint('system', 'entity_set', name=op.f('pk_entity_set')),
    schema='sync',
    comment='How far each entity set has been read'
    )
    op.create_table('hub',
    sa.Column('schema_hash', sa.Text(), nullable=False, comment='Of all that the generated objects are made from; a program that would make others refuses to work'),
    sa.Column('version', sa.Text(), nullable=False, comment='The program that made the generated objects'),
    sa.Column('product_hash', sa.Text(), nullable=False, comment="Of the program's own SQL and revisions, whatever schema/ says"),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When they were made'),
    sa.PrimaryKeyConstraint('schema_hash', name=op.f('pk_hub')),
    schema='sync',
    comment='What the hub was compiled from; one row'
    )
    op.create_table('lease',
    sa.Column('name', sa.Text(), nullable=False, comment='What is led; replicator is the only one'),
    sa.Column('holder', sa.Text(), nullable=False, comment='The host and process that leads, or led last'),
    sa.Column('epoch', sa.BigInteger(), nullable=False, comment='Raised by every takeover'),
    sa.Column('expires_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Until then nobody else may lead'),
    sa.Column('goes_on', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='Whether it was to work until it is stopped: a daemon, and no single command'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_lease')),
    schema='sync',
    comment='Which daemon leads'
    )
    op.create_table('map',
    sa.Column('id', sa.SmallInteger(), sa.Identity(always=True), nullable=False, comment='Stays the same for as long as the map has this name'),
    sa.Column('name', sa.Text(), nullable=False, comment='source > target, as status shows it'),
    sa.Column('direction', sa.Text(), nullable=False, comment='in: from a system to common; out: from common to a system'),
    sa.Column('system', sa.Text(), nullable=False, comment='The system at its other end'),
    sa.Column('source', sa.Text(), nullable=False, comment='The table its records come from'),
    sa.Column('target', sa.Text(), nullable=False, comment='The table that holds what they become'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='Dependency rank: lower goes first'),
    sa.Column('root', sa.Text(), nullable=True, comment='For a part: the map of its root'),
    sa.Column('hash', sa.Text(), nullable=False, comment='Of the compiled view; a new one marks every record'),
    sa.Column('marked_hash', sa.Text(), nullable=True, comment='The hash for which every record was last marked'),
    sa.Column('opened_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the first delivery was let through; until then updates are counted'),
    sa.Column('in_use', sa.Boolean(), server_default=sa.text('true'), nullable=False, comment='Whether schema/ still has it'),
    sa.Column('view_name', sa.Text(), server_default='', nullable=False, comment='Its view in schema desired'),
    sa.Column('entity', sa.Text(), server_default='', nullable=False, comment='The entity of the common model'),
    sa.Column('entity_set', sa.Text(), server_default='', nullable=False, comment='The entity set of the system'),
    sa.Column('leaves_out', sa.Text(), nullable=True, comment='Which records it leaves out without showing them, in words'),
    sa.Column('mode', sa.Text(), server_default='apply', nullable=False, comment='apply, or observe: nothing is sent'),
    sa.Column('last_success_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a record last arrived by it'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_map')),
    sa.UniqueConstraint('name', name=op.f('uq_map_name')),
    schema='sync',
    comment='The maps of schema/, by id'
    )
    op.create_table('orphan',
    sa.Column('system', sa.Text(), nullable=False, comment='The system that holds the record'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='The entity set that it is in'),
    sa.Column('record_id', sa.BigInteger(), autoincrement=False, nullable=False, comment='id in the mirror'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was noticed'),
    sa.Column('decided_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a person decided to leave it as it is; null: nobody did'),
    sa.Column('decided_by', sa.Text(), nullable=True, comment='A database role, or whom the console knows'),
    sa.PrimaryKeyConstraint('system', 'entity_set', 'record_id', name=op.f('pk_orphan')),
    schema='sync',
    comment='Records of targets that a restored hub found and does not know: it may have written them itself'
    )
    op.create_table('pause',
    sa.Column('scope', sa.Text(), nullable=False, comment='A flow, a system, or a direction: in or out'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it began'),
    sa.Column('by', sa.Text(), nullable=False, comment='A database role, or whom the console knows'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why, in the words of who paused it'),
    sa.PrimaryKeyConstraint('scope', name=op.f('pk_pause')),
    schema='sync',
    comment='What stands still on purpose: changes go on being marked, nothing is merged or delivered'
    )
    op.create_table('plan',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the plan, for run --plan'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was made'),
    sa.Column('by', sa.Text(), nullable=False, comment='The database role that saved it'),
    sa.Column('entity', sa.Text(), nullable=True, comment='The entity it was restricted to'),
    sa.Column('run_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was run'),
    sa.Column('stays', sa.BigInteger(), server_default='0', nullable=False, comment='Records and conflicts that would not be in step after it, and entity sets that could not be looked at'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_plan')),
    schema='sync',
    comment='Saved plans: the writes that were to be made at that moment'
    )
    op.create_table('proposed_delete',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the proposal'),
    sa.Column('system', sa.Text(), nullable=False, comment='The system that shows the record no more'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='The entity set that it was in'),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='id in the mirror'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record'),
    sa.Column('state', sa.Text(), nullable=False, comment='proposed, held, approved, rejected, withdrawn or done'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why it is held'),
    sa.Column('proposed_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When its absence was first seen'),
    sa.Column('decided_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a person decided'),
    sa.Column('decided_by', sa.Text(), nullable=True, comment='A database role, or whom the console knows'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_proposed_delete')),
    schema='sync',
    comment='Records that a system no longer shows: deleted within the budget, held over it'
    )
    op.create_index('ix_proposed_delete_record', 'proposed_delete', ['system', 'entity_set', 'record_id'], unique=False, schema='sync')
    op.create_table('refetch',
    sa.Column('system', sa.Text(), nullable=False, comment='The system to be read'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='The entity set to be read'),
    sa.Column('record_id', sa.BigInteger(), autoincrement=False, nullable=False, comment='id in the mirror; 0: all'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was asked for'),
    sa.PrimaryKeyConstraint('system', 'entity_set', 'record_id', name=op.f('pk_refetch')),
    schema='sync',
    comment='Records that the next read of their entity set fetches by key, and sets that it reads whole'
    )
    op.create_table('quarantine',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the row'),
    sa.Column('system', sa.Text(), nullable=False, comment='The system it was read from'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='The entity set it was read from'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record, where it could be read'),
    sa.Column('key', sa.Text(), nullable=True, comment="The system's key fields, where they could be read"),
    sa.Column('root_key', sa.Text(), nullable=True, comment='For a part: the key of the root it belongs to, where it could be read'),
    sa.Column('field', sa.Text(), nullable=True, comment='The field that does not fit, where it is a single one'),
    sa.Column('reason', sa.Text(), nullable=False, comment='What does not fit, in words'),
    sa.Column('row', sa.Text(), nullable=True, comment='The row as JSON, control characters escaped'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was read'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quarantine')),
    schema='sync',
    comment='Rows of snapshots that could not be taken in, with the reason; replaced by the next read of the row'
    )
    op.create_index('ix_quarantine_key', 'quarantine', ['system', 'entity_set', 'key'], unique=False, schema='sync')
    op.create_index('ix_quarantine_root_key', 'quarantine', ['root_key'], unique=False, schema='sync', postgresql_where=sa.text('root_key IS NOT NULL'))
    op.create_table('run',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the window'),
    sa.Column('kind', sa.Text(), nullable=False, comment='window: one window of the log read'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was read'),
    sa.Column('changes', sa.BigInteger(), nullable=False, comment='Rows of the log in it'),
    sa.Column('records', sa.BigInteger(), nullable=False, comment='Distinct records among them'),
    sa.Column('marks', sa.BigInteger(), nullable=False, comment='Deliveries that were marked because of them'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run')),
    schema='sync',
    comment='Windows of the log: changes read, distinct records among them, marks made'
    )
    op.create_table('read_cost',
    sa.Column('system', sa.Text(), nullable=False, comment='The system that was read'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='What was read of it'),
    sa.Column('day', sa.Date(), nullable=False, comment="In the hub's time zone"),
    sa.Column('reads', sa.BigInteger(), nullable=False, comment='How often it was read, also where that failed'),
    sa.Column('requests', sa.BigInteger(), nullable=False, comment='Requests for it, those for credentials apart'),
    sa.Column('rows', sa.BigInteger(), nullable=False, comment='Rows that were shown, if only by key and etag'),
    sa.Column('received', sa.BigInteger(), nullable=False, comment='Bytes that came, as they went over the wire'),
    sa.Column('changed', sa.BigInteger(), nullable=False, comment='Records that were new, other ones or gone'),
    sa.PrimaryKeyConstraint('system', 'entity_set', 'day', name=op.f('pk_read_cost')),
    schema='sync',
    comment='What reading each entity set cost, by day'
    )
    op.create_table('snapshot',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the read'),
    sa.Column('system', sa.Text(), nullable=False, comment='The system that was read'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='What was read of it'),
    sa.Column('kind', sa.Text(), nullable=False, comment='whole, changed or swept'),
    sa.Column('started_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Before the first request'),
    sa.Column('finished_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the mirror was written'),
    sa.Column('rows', sa.BigInteger(), nullable=True, comment='Rows read'),
    sa.Column('inserted', sa.BigInteger(), nullable=True, comment='Records that the mirror did not have'),
    sa.Column('updated', sa.BigInteger(), nullable=True, comment='Records that differed from the mirror'),
    sa.Column('deleted', sa.BigInteger(), nullable=True, comment='Records that were gone, and within the budget'),
    sa.Column('held', sa.BigInteger(), nullable=True, comment="Proposed deletes held for a person's decision"),
    sa.Column('quarantined', sa.BigInteger(), nullable=True, comment='Rows that could not be taken in'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_snapshot')),
    schema='sync',
    comment='The reads that changed something'
    )
    op.create_table('swept',
    sa.Column('system', sa.Text(), nullable=False, comment='The system that was swept'),
    sa.Column('entity_set', sa.Text(), nullable=False, comment='What was swept of it'),
    sa.Column('key', sa.Text(), nullable=False, comment="The record's own key in one text, as keys are compared"),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version that it had'),
    schema='sync',
    comment='Etags from before an export, until it is here; empty but for then',
    prefixes=['UNLOGGED']
    )
    op.create_table('system',
    sa.Column('name', sa.Text(), nullable=False, comment='The system, by its name in the configuration'),
    sa.Column('requests', sa.BigInteger(), nullable=False, comment='Requests sent since the replicator started'),
    sa.Column('budget_left', sa.BigInteger(), nullable=True, comment='Requests that the system said are left; null: it never did'),
    sa.Column('paused_until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='The system asked for a pause until then'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When this was written'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_system')),
    schema='sync',
    comment="What the replicator knows of each system's patience"
    )
    op.create_table('accepted',
    sa.Column('map_id', sa.SmallInteger(), nullable=False, comment='The map in sync.map'),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='Inbound: id in the mirror; outbound: id in common'),
    sa.Column('field', sa.Text(), nullable=False, comment='Column of the target'),
    sa.Column('sent', sa.Text(), nullable=True, comment='The value that was to be stored, as text'),
    sa.Column('stored', sa.Text(), nullable=True, comment='The value that the target made of it, as text'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the target answered'),
    sa.ForeignKeyConstraint(['map_id'], ['sync.map.id'], name=op.f('fk_accepted_map_id')),
    sa.PrimaryKeyConstraint('map_id', 'record_id', 'field', name=op.f('pk_accepted')),
    schema='sync',
    comment='Amended: what was sent and what the target made of it; in step while both stay as they are'
    )
    op.create_table('base',
    sa.Column('map_id', sa.SmallInteger(), nullable=False, comment='The inbound map'),
    sa.Column('record_id', sa.BigInteger(), autoincrement=False, nullable=False, comment='id in the mirror'),
    sa.Column('field', sa.Text(), nullable=False, comment='Column of the common table'),
    sa.Column('common_id', sa.BigInteger(), nullable=False, comment='The common record it was paired with then'),
    sa.Column('common', sa.Text(), nullable=True, comment='What common held'),
    sa.Column('side', sa.Text(), nullable=True, comment="What the system held, in common's terms; another value where it was amended"),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When they last agreed'),
    sa.ForeignKeyConstraint(['map_id'], ['sync.map.id'], name=op.f('fk_base_map_id')),
    sa.PrimaryKeyConstraint('map_id', 'record_id', 'field', name=op.f('pk_base')),
    schema='sync',
    comment='Fields that either side may change: the last values on which a system and common agreed'
    )
    op.create_table('conflict',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False, comment='Number of the conflict, for sync.resolve'),
    sa.Column('map_id', sa.SmallInteger(), nullable=False, comment='The inbound map'),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='id in the mirror'),
    sa.Column('common_id', sa.BigInteger(), nullable=False, comment='id in common'),
    sa.Column('entity', sa.Text(), nullable=False, comment='The entity of the common model'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record'),
    sa.Column('field', sa.Text(), nullable=False, comment='Column of the common table'),
    sa.Column('system', sa.Text(), nullable=False, comment='The system whose change met another one in common'),
    sa.Column('base', sa.Text(), nullable=True, comment='The value before both changes; null where the two never agreed'),
    sa.Column('held', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='What common and each linked system held, by name, as text'),
    sa.Column('state', sa.Text(), server_default='open', nullable=False, comment='open or decided'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was noticed'),
    sa.Column('decided_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was decided, or the values came to agree'),
    sa.Column('decided_by', sa.Text(), nullable=True, comment="policy, a person's role, or change: the values came to agree by themselves"),
    sa.Column('decision', sa.Text(), nullable=True, comment='Whose value was taken: a system, common, or value for one that was given'),
    sa.Column('decided', sa.Text(), nullable=True, comment='The value that was taken'),
    sa.CheckConstraint("state in ('open', 'decided')", name=op.f('ck_conflict_state_known')),
    sa.ForeignKeyConstraint(['map_id'], ['sync.map.id'], name=op.f('fk_conflict_map_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_conflict')),
    schema='sync',
    comment='Fields that were changed on both sides: every value, and what was decided'
    )
    op.create_index('ix_conflict_common', 'conflict', ['common_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'open'"))
    op.create_index('uq_conflict_open', 'conflict', ['map_id', 'record_id', 'field'], unique=True, schema='sync', postgresql_where=sa.text("state = 'open'"))
    op.create_table('planned',
    sa.Column('plan_id', sa.BigInteger(), nullable=False, comment='The plan in sync.plan'),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='Its place in the order of writes'),
    sa.Column('request', sa.Integer(), nullable=False, comment='Writes of one number go in one request'),
    sa.Column('flow', sa.Text(), nullable=False, comment='The flow, by its name in sync.status'),
    sa.Column('operation', sa.Text(), nullable=False, comment='create, update or delete'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record'),
    sa.Column('key', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='The key in the target'),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='By field: the value there now, and the one to be written'),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='Of all that; a write whose world has moved has another'),
    sa.Column('outcome', sa.Text(), nullable=True, comment='sent, or moved: why it was refused when the plan was run'),
    sa.ForeignKeyConstraint(['plan_id'], ['sync.plan.id'], name=op.f('fk_planned_plan_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('plan_id', 'place', name=op.f('pk_planned')),
    schema='sync',
    comment='The writes of saved plans'
    )


def downgrade() -> None:
    op.execute("drop table " + ", ".join(f"sync.{name}" for name in TABLES))
    op.execute("drop type sync.delivery_state")
