"""Last success

Why: the status says when a record last arrived by each flow; a whole set can be asked for again. It only expands.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'

TABLE = "Records that the next read of their entity set fetches by key, and sets that it reads whole"
TABLE_BEFORE = "Single records that the next read of their entity set fetches by key"


def upgrade() -> None:
    op.add_column('map', sa.Column('last_success_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a record last arrived by it'), schema='sync')
    op.alter_column('refetch', 'record_id', comment='id in the mirror; 0: all', existing_comment='id in the mirror', existing_type=sa.BigInteger(), existing_nullable=False, schema='sync')
    op.create_table_comment('refetch', TABLE, existing_comment=TABLE_BEFORE, schema='sync')


def downgrade() -> None:
    op.create_table_comment('refetch', TABLE_BEFORE, existing_comment=TABLE, schema='sync')
    op.alter_column('refetch', 'record_id', comment='id in the mirror', existing_comment='id in the mirror; 0: all', existing_type=sa.BigInteger(), existing_nullable=False, schema='sync')
    op.drop_column('map', 'last_success_at', schema='sync')
