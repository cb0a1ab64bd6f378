"""find a record's changes, mark faster

Why: what happened to one record is looked up in the log by the record, however long the log is; so are records that were deleted. And maps are never
deleted, so that a foreign key to them only slowed marks down. Expands.
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    op.create_index('ix_change_record', 'change', ['record_id', 'relation'], unique=False, schema='log')
    op.create_index('ix_change_deleted', 'change', ['relation'], unique=False, schema='log',
                    postgresql_where=sa.text("operation = 'D'"))
    op.drop_constraint(op.f('fk_delivery_map_id'), 'delivery', schema='sync', type_='foreignkey')


def downgrade() -> None:
    op.create_foreign_key(
        op.f('fk_delivery_map_id'), 'delivery', 'map', ['map_id'], ['id'], source_schema='sync', referent_schema='sync'
    )
    op.drop_index('ix_change_deleted', table_name='change', schema='log')
    op.drop_index('ix_change_record', table_name='change', schema='log')
