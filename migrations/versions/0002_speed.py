"""find a record's changes

Why: what happened to one record is looked up in the log by the record, however long the log is. Expands.
"""

from alembic import op

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_index('ix_change_record', 'change', ['record_id', 'relation'], unique=False, schema='log')


def downgrade() -> None:
    op.drop_index('ix_change_record', table_name='change', schema='log')
