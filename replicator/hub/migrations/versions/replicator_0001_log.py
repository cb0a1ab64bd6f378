"""The log, and how keys are compared.

Why: what every solution's tables need: the schemas ``log`` and ``sync``, ``log.change``, and ``sync.fold``, on which their
indexes are built. The solution's first revision depends on this one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = 'replicator_0001'
down_revision = None
branch_labels = ('replicator',)

SCHEMAS = {
    "log": "What changed: written by triggers only",
    "sync": "How the replicator stands: its own state, and views for people",
}
# Keys are compared normalised, without outer blanks (BLANKS, by their codes: a dump must not hold bare line ends) and case,
# as the ERP does; indexes are built on it.
FOLD = """
create function sync.fold(value text) returns text language sql immutable strict parallel safe
return lower(normalize(btrim(value, ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)
    || chr(160) || chr(8203) || chr(8288) || chr(12288) || chr(65279)), NFC))
"""


class PostgresType(sa.types.UserDefinedType):
    """A type of PostgreSQL that SQLAlchemy does not know."""

    def __init__(self, name):
        self.name = name

    def get_col_spec(self, **_):
        return self.name


def upgrade() -> None:
    for name, comment in SCHEMAS.items():
        op.execute(f"create schema if not exists {name}")
        op.execute(f"comment on schema {name} is '{comment}'")
    op.execute("comment on table sync.alembic_version is 'Which revision the tables of the hub are at, by branch'")
    op.execute("comment on column sync.alembic_version.version_num is 'The last revision of a branch that was run'")
    op.execute(FOLD)
    op.execute(sa.schema.CreateSequence(sa.Sequence("change_seq", schema="log", cache=100)))
    op.create_table('change',
    sa.Column('seq', sa.BigInteger(), server_default=sa.text("nextval('log.change_seq')"), nullable=False, comment='The order in which changes were written, not that in which they were committed'),
    sa.Column('txid', PostgresType('xid8'), server_default=sa.text('pg_current_xact_id()'), nullable=False, comment='The transaction that wrote it; windows of the log go by this'),
    sa.Column('relation', PostgresType('regclass'), nullable=False, comment='The captured table'),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='id in the captured table'),
    sa.Column('operation', sa.CHAR(length=1), nullable=False, comment='I, U or D'),
    sa.Column('origin', sa.Text(), nullable=False, comment='snapshot:, merge: or deliver:<system>, or a database role'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the transaction began; the day of its partition'),
    schema='log',
    comment='One row per changed record, written by triggers only; where to look, not what to do',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_change_deleted', 'change', ['relation'], unique=False, schema='log', postgresql_where=sa.text("operation = 'D'"))
    op.create_index('ix_change_record', 'change', ['record_id', 'relation'], unique=False, schema='log')
    op.create_index('ix_change_txid', 'change', ['txid'], unique=False, schema='log')
    op.execute("create table log.change_default partition of log.change default")


def downgrade() -> None:
    op.execute("drop schema log cascade")
    op.execute("drop function sync.fold(text)")
    op.execute("comment on table sync.alembic_version is null")
    op.execute("comment on column sync.alembic_version.version_num is null")
