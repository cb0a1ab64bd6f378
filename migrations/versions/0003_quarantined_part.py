"""quarantined part

Why: a part that could not be taken in holds its root, so the quarantined row says which one that is. Expands: rows
quarantined before have none until they are read again.
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    comment = 'For a part: the key of the root it belongs to, where it could be read'
    op.add_column('quarantine', sa.Column('root_key', sa.Text(), nullable=True, comment=comment), schema='sync')
    op.create_index('ix_quarantine_root_key', 'quarantine', ['root_key'], unique=False, schema='sync',
                    postgresql_where=sa.text('root_key IS NOT NULL'))


def downgrade() -> None:
    op.drop_index('ix_quarantine_root_key', table_name='quarantine', schema='sync',
                  postgresql_where=sa.text('root_key IS NOT NULL'))
    op.drop_column('quarantine', 'root_key', schema='sync')
