"""Tables for operators

Why: pauses, decisions, saved plans, single records to read again, alerts and the systems' budgets are state of the hub;
records can be skipped, and flows observed. It only expands.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'


STATES = ("pending", "in_flight", "blocked", "not_eligible", "failed", "unknown", "rejected", "reported", "held")
NEW_STATES = (*STATES, "observed", "skipped")
INDEXED = ("pending", "unknown", "blocked")


def set_states(states) -> None:
    """Exchange the type: a value that is added to it could not be used before the transaction ends."""
    for state in INDEXED:
        op.drop_index(f"ix_delivery_{state}", "delivery", schema="sync")
    op.execute("alter table sync.delivery alter state drop default")
    op.execute("alter type sync.delivery_state rename to delivery_state_before")
    op.execute("create type sync.delivery_state as enum (" + ", ".join(f"'{state}'" for state in states) + ")")
    op.execute("alter table sync.delivery alter state type sync.delivery_state using state::text::sync.delivery_state")
    op.execute("alter table sync.delivery alter state set default 'pending'")
    op.execute("drop type sync.delivery_state_before")
    for state in INDEXED:
        where = sa.text(f"state = '{state}'")
        op.create_index(f"ix_delivery_{state}", "delivery", ["map_id", "record_id"], schema="sync", postgresql_where=where)


def upgrade() -> None:
    set_states(NEW_STATES)
    op.create_table('alert',
    sa.Column('cause', sa.Text(), nullable=False, comment='The id in sync.causes'),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('records', sa.BigInteger(), nullable=False),
    sa.Column('told_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When somebody was last told of it'),
    sa.Column('told_records', sa.BigInteger(), nullable=True, comment='And of how many records'),
    sa.Column('cleared_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('cause', name=op.f('pk_alert')),
    schema='sync',
    comment='Of which causes people have been told, so that nobody is told twice'
    )
    op.create_table('decision',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('by', sa.Text(), nullable=False, comment='A database role, or whom the console knows'),
    sa.Column('action', sa.Text(), nullable=False, comment='retry, skip, approve, resolve, pause, ...'),
    sa.Column('what', sa.Text(), nullable=False, comment='The flow, entity set, cause, conflict or scope'),
    sa.Column('record', sa.Text(), nullable=True, comment='The record, where it was a single one'),
    sa.Column('records', sa.BigInteger(), nullable=False, comment='How many records it concerned'),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decision')),
    schema='sync',
    comment='What people decided, and who; kept for good'
    )
    op.create_index('ix_decision_at', 'decision', ['at'], unique=False, schema='sync')
    op.create_table('pause',
    sa.Column('scope', sa.Text(), nullable=False, comment='A flow, a system, or a direction: in or out'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('scope', name=op.f('pk_pause')),
    schema='sync',
    comment='What stands still on purpose: changes go on being marked, nothing is merged or delivered'
    )
    op.create_table('plan',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=True, comment='The entity it was restricted to'),
    sa.Column('run_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was run'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_plan')),
    schema='sync',
    comment='Saved plans: the writes that were to be made at that moment'
    )
    op.create_table('refetch',
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('entity_set', sa.Text(), nullable=False),
    sa.Column('record_id', sa.BigInteger(), autoincrement=False, nullable=False, comment='id in the mirror'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('system', 'entity_set', 'record_id', name=op.f('pk_refetch')),
    schema='sync',
    comment='Single records that the next read of their entity set fetches by key'
    )
    op.create_table('system',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('requests', sa.BigInteger(), nullable=False, comment='Requests sent since the replicator started'),
    sa.Column('budget_left', sa.BigInteger(), nullable=True, comment='Requests that the system said are left; null: it never did'),
    sa.Column('paused_until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='The system asked for a pause until then'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_system')),
    schema='sync',
    comment="What the replicator knows of each system's patience"
    )
    op.create_table('planned',
    sa.Column('plan_id', sa.BigInteger(), nullable=False),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False, comment='Its place in the order of writes'),
    sa.Column('request', sa.Integer(), nullable=False, comment='Writes of one number go in one request'),
    sa.Column('flow', sa.Text(), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False),
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
    op.add_column('map', sa.Column('view_name', sa.Text(), server_default='', nullable=False, comment='Its view in schema desired'), schema='sync')
    op.add_column('map', sa.Column('entity', sa.Text(), server_default='', nullable=False, comment='The entity of the common model'), schema='sync')
    op.add_column('map', sa.Column('entity_set', sa.Text(), server_default='', nullable=False, comment='The entity set of the system'), schema='sync')
    op.add_column('map', sa.Column('mode', sa.Text(), server_default='apply', nullable=False, comment='apply, or observe: nothing is sent'), schema='sync')


def downgrade() -> None:
    op.execute("update sync.delivery set state = 'pending' where state in ('observed', 'skipped')")
    set_states(STATES)
    op.drop_column('map', 'mode', schema='sync')
    op.drop_column('map', 'entity_set', schema='sync')
    op.drop_column('map', 'entity', schema='sync')
    op.drop_column('map', 'view_name', schema='sync')
    op.drop_table('planned', schema='sync')
    op.drop_table('system', schema='sync')
    op.drop_table('refetch', schema='sync')
    op.drop_table('plan', schema='sync')
    op.drop_table('pause', schema='sync')
    op.drop_index('ix_decision_at', table_name='decision', schema='sync')
    op.drop_table('decision', schema='sync')
    op.drop_table('alert', schema='sync')
