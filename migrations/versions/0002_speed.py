"""find a record's changes, mark faster

Why: what happened to one record is looked up in the log by the record, however long the log is. And maps are never
deleted, so that a foreign key to them only slowed marks down. Expands.
"""

from alembic import op

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_index('ix_change_record', 'change', ['record_id', 'relation'], unique=False, schema='log')
    op.drop_constraint(op.f('fk_delivery_map_id'), 'delivery', schema='sync', type_='foreignkey')


def downgrade() -> None:
    op.create_foreign_key(
        op.f('fk_delivery_map_id'), 'delivery', 'map', ['map_id'], ['id'], source_schema='sync', referent_schema='sync'
    )
    op.drop_index('ix_change_record', table_name='change', schema='log')
