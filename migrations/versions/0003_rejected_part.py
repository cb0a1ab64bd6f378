"""rejected part

Why: a part that could not be taken in holds its whole, so the row put aside says which one that is. Expands: rows put
aside before have none until they are read again.
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    comment = 'For a part: the key of the whole it belongs to, where it could be read'
    op.add_column('rejected', sa.Column('whole', sa.Text(), nullable=True, comment=comment), schema='sync')
    op.create_index('ix_rejected_whole', 'rejected', ['whole'], unique=False, schema='sync',
                    postgresql_where=sa.text('whole IS NOT NULL'))


def downgrade() -> None:
    op.drop_index('ix_rejected_whole', table_name='rejected', schema='sync',
                  postgresql_where=sa.text('whole IS NOT NULL'))
    op.drop_column('rejected', 'whole', schema='sync')
