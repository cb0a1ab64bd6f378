"""remember what a person asked for, and pair a moved part in both aggregates

Why: a wish to try again was forgotten at the first pause that a system asked for. And a line that moved from a quote
that is left alone could not be paired in its new quote, which stopped all deliveries to the system. Expands only.
"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'

PAIRS = 'link_ops_cds_sales_quotation_lines__quote_line'


def upgrade() -> None:
    """A column with a value for existing rows; an index that allows more than the one it replaces."""
    op.add_column('delivery', sa.Column('asked', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='A person asked for it; kept until the write succeeds'), schema='sync')
    op.execute("update sync.delivery set asked = true where operation = 'retry'")
    op.drop_index(f'uq_{PAIRS}_common', PAIRS, schema='sync')
    op.create_index(f'uq_{PAIRS}_common', PAIRS, ['common_id', 'root_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))


def downgrade() -> None:
    """Pairs of parts that their old root still holds are parted."""
    op.execute(f"""
        update sync.{PAIRS} l set ended_at = now()
        from common.quote_line c where c.id = l.common_id and c.quote_id <> l.root_id and l.ended_at is null
    """)
    op.drop_index(f'uq_{PAIRS}_common', PAIRS, schema='sync')
    op.create_index(f'uq_{PAIRS}_common', PAIRS, ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.drop_column('delivery', 'asked', schema='sync')
