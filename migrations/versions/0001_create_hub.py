"""create hub

Why: the first hub: the log, the replicator's state, the common model and the mirrors of sales and ops.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None


SCHEMAS = {
    "common": "The common data model: what both systems agree on",
    "log": "What changed: written by triggers only",
    "ops": "Mirrors of the entity sets of ops: the last image known of each record",
    "sales": "Mirrors of the entity sets of sales: the last image known of each record",
    "sync": "How the replicator stands: its own state, and views for people",
}
PARTITIONED = (
    "change",
    "common_account",
    "common_contact",
    "common_currency",
    "common_organization",
    "common_product",
    "common_quote",
    "common_quote_line",
    "common_unit",
    "ops_cds_contact_persons_v2",
    "ops_cds_sales_quotation_headers",
    "ops_cds_sales_quotation_lines",
    "ops_customers_v3",
    "ops_sellable_released_products",
    "sales_accounts",
    "sales_contacts",
    "sales_pricelevels",
    "sales_products",
    "sales_quotedetails",
    "sales_quotes",
    "sales_transactioncurrencies",
    "sales_uoms",
    "sales_uomschedules",
)
STATE = (
    "consumer",
    "entity_set",
    "hub",
    "lease",
    "map",
    "proposed_delete",
    "rejected",
    "run",
    "snapshot",
    "accepted",
    "delivery",
    "link_ops_cds_contact_persons_v2__contact",
    "link_ops_cds_sales_quotation_headers__quote",
    "link_ops_cds_sales_quotation_lines__quote_line",
    "link_ops_customers_v3__account",
    "link_ops_sellable_released_products__product",
    "link_sales_accounts__account",
    "link_sales_contacts__account",
    "link_sales_contacts__contact",
    "link_sales_products__product",
    "link_sales_quotedetails__quote_line",
    "link_sales_quotes__quote",
    "link_sales_transactioncurrencies__currency",
    "link_sales_uoms__unit",
)
# Keys are compared normalised, without outer blanks and case, as the ERP does; indexes are built on it.
FOLD = """
create function sync.fold(value text) returns text language sql immutable strict parallel safe
return lower(normalize(btrim(value), NFC))
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
    op.execute(FOLD)
    op.execute("create sequence log.change_seq cache 100")
    op.create_table('change',
    sa.Column('seq', sa.BigInteger(), server_default=sa.text("nextval('log.change_seq')"), nullable=False),
    sa.Column('txid', PostgresType('xid8'), server_default=sa.text('pg_current_xact_id()'), nullable=False),
    sa.Column('relation', PostgresType('regclass'), nullable=False, comment='The captured table'),
    sa.Column('record_id', sa.BigInteger(), nullable=False),
    sa.Column('operation', sa.CHAR(length=1), nullable=False, comment='I, U or D'),
    sa.Column('origin', sa.Text(), nullable=False, comment='snapshot:, merge: or deliver:<system>, or a database role'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    schema='log',
    comment='One row per changed record, written by triggers only; where to look, not what to do',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_change_seq', 'change', ['seq'], unique=False, schema='log')
    op.create_index('ix_change_txid', 'change', ['txid'], unique=False, schema='log')
    op.create_table('consumer',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('snapshot', PostgresType('pg_snapshot'), nullable=False, comment='Everything visible in it has been read'),
    sa.Column('cluster', sa.Text(), nullable=False, comment='The system identifier the snapshot belongs to'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_consumer')),
    schema='sync',
    comment='How far the log has been read'
    )
    op.create_table('entity_set',
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('entity_set', sa.Text(), nullable=False),
    sa.Column('token', sa.Text(), nullable=True, comment='Where the next read of changes starts'),
    sa.Column('whole_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was last read whole'),
    sa.Column('read_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When it was last read at all'),
    sa.Column('problem', sa.Text(), nullable=True, comment='Why the last read failed'),
    sa.Column('problem_since', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('system', 'entity_set', name=op.f('pk_entity_set')),
    schema='sync',
    comment='How far each entity set has been read'
    )
    op.create_table('hub',
    sa.Column('schema_hash', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False, comment='The program that made the generated objects'),
    sa.Column('objects_hash', sa.Text(), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('schema_hash', name=op.f('pk_hub')),
    schema='sync',
    comment='What the hub was compiled from; one row'
    )
    op.create_table('lease',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('holder', sa.Text(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False, comment='Raised by every takeover'),
    sa.Column('expires_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_lease')),
    schema='sync',
    comment='Which daemon leads'
    )
    op.create_table('map',
    sa.Column('id', sa.SmallInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('direction', sa.Text(), nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False, comment='The table its records come from'),
    sa.Column('target', sa.Text(), nullable=False, comment='The table that holds what they become'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='Dependency rank: lower goes first'),
    sa.Column('root', sa.Text(), nullable=True, comment='For a part: the map of its whole'),
    sa.Column('hash', sa.Text(), nullable=False, comment='Of the compiled view; a new one marks every record'),
    sa.Column('marked_hash', sa.Text(), nullable=True, comment='The hash for which every record was last marked'),
    sa.Column('opened_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the first delivery was let through; until then updates are counted'),
    sa.Column('in_use', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_map')),
    sa.UniqueConstraint('name', name=op.f('uq_map_name')),
    schema='sync',
    comment='The maps of schema/, by id'
    )
    op.create_table('proposed_delete',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('entity_set', sa.Text(), nullable=False),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='id in the mirror'),
    sa.Column('record', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False, comment='proposed, held, approved, rejected, withdrawn or done'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why it is held'),
    sa.Column('proposed_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('decided_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_proposed_delete')),
    schema='sync',
    comment='Records that a system no longer shows: deleted within the budget, held over it'
    )
    op.create_index('ix_proposed_delete_record', 'proposed_delete', ['system', 'entity_set', 'record_id'], unique=False, schema='sync')
    op.create_table('rejected',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('entity_set', sa.Text(), nullable=False),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record, where it could be read'),
    sa.Column('key', sa.Text(), nullable=True, comment="The system's key fields, where they could be read"),
    sa.Column('field', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('row', sa.Text(), nullable=True, comment='The row as JSON, control characters escaped'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_rejected')),
    schema='sync',
    comment='Rows of snapshots that could not be taken in, with the reason; replaced by the next read of the row'
    )
    op.create_index('ix_rejected_key', 'rejected', ['system', 'entity_set', 'key'], unique=False, schema='sync')
    op.create_table('run',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='window: one window of the log read'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changes', sa.BigInteger(), nullable=False),
    sa.Column('records', sa.BigInteger(), nullable=False),
    sa.Column('marks', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run')),
    schema='sync',
    comment='Windows of the log: changes read, distinct records among them, marks made'
    )
    op.create_table('snapshot',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('entity_set', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='whole or changed'),
    sa.Column('started_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('finished_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('rows', sa.BigInteger(), nullable=True, comment='Rows read'),
    sa.Column('inserted', sa.BigInteger(), nullable=True),
    sa.Column('updated', sa.BigInteger(), nullable=True),
    sa.Column('deleted', sa.BigInteger(), nullable=True),
    sa.Column('held', sa.BigInteger(), nullable=True, comment="Proposed deletes held for a person's decision"),
    sa.Column('rejected', sa.BigInteger(), nullable=True, comment='Rows that could not be taken in'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_snapshot')),
    schema='sync',
    comment='The reads that changed something'
    )
    op.create_table('accepted',
    sa.Column('map_id', sa.SmallInteger(), nullable=False),
    sa.Column('record_id', sa.BigInteger(), nullable=False),
    sa.Column('field', sa.Text(), nullable=False, comment='Column of the target'),
    sa.Column('sent', sa.Text(), nullable=True),
    sa.Column('stored', sa.Text(), nullable=True),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['map_id'], ['sync.map.id'], name=op.f('fk_accepted_map_id')),
    sa.PrimaryKeyConstraint('map_id', 'record_id', 'field', name=op.f('pk_accepted')),
    schema='sync',
    comment='Amended: what was sent and what the target made of it; in step while both stay as they are'
    )
    op.create_table('delivery',
    sa.Column('map_id', sa.SmallInteger(), nullable=False),
    sa.Column('record_id', sa.BigInteger(), nullable=False, comment='Inbound: id in the mirror; outbound: id in common'),
    sa.Column('state', postgresql.ENUM('pending', 'in_flight', 'blocked', 'not_eligible', 'failed', 'unknown', 'rejected', 'reported', 'held', name='delivery_state', schema='sync'), server_default='pending', nullable=False),
    sa.Column('marked', sa.Integer(), server_default='1', nullable=False, comment='Raised by every mark'),
    sa.Column('claimed', sa.Integer(), nullable=True, comment='What marked was when the record was claimed'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was first marked'),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('tried_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('next_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Not before this time'),
    sa.Column('record', sa.Text(), nullable=True, comment='What people call the record'),
    sa.Column('operation', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True, comment="In words; for a rejection the system's own"),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('field', sa.Text(), nullable=True),
    sa.Column('waits_for', postgresql.ARRAY(sa.Text()), nullable=True, comment='Blocked: each missing parent'),
    sa.Column('identity', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='The keys of records under creation, stored before the first request'),
    sa.ForeignKeyConstraint(['map_id'], ['sync.map.id'], name=op.f('fk_delivery_map_id')),
    sa.PrimaryKeyConstraint('map_id', 'record_id', name=op.f('pk_delivery')),
    schema='sync',
    comment='One row per map and record while there is something to do or something wrong; in step is no row'
    )
    op.create_index('ix_delivery_blocked', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'blocked'"))
    op.create_index('ix_delivery_next', 'delivery', ['map_id', 'next_at'], unique=False, schema='sync', postgresql_where=sa.text('next_at IS NOT NULL'))
    op.create_index('ix_delivery_pending', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'pending'"))
    op.create_index('ix_delivery_unknown', 'delivery', ['map_id', 'record_id'], unique=False, schema='sync', postgresql_where=sa.text("state = 'unknown'"))
    op.create_table('currency',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('decimals', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('char_length(code) <= 5', name=op.f('ck_currency_code_length')),
    sa.CheckConstraint('char_length(name) <= 100', name=op.f('ck_currency_name_length')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_currency')),
    schema='common',
    comment='A currency that both systems know, by its ISO code.'
    )
    op.create_index('uq_currency_key', 'currency', [sa.literal_column('sync.fold(code)')], unique=True, schema='common')
    op.create_table('organization',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('company', sa.Text(), nullable=False, comment='The company (dataAreaId) in ops'),
    sa.Column('is_default', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='Records of sales belong here'),
    sa.CheckConstraint('char_length(code) <= 20', name=op.f('ck_organization_code_length')),
    sa.CheckConstraint('char_length(company) <= 4', name=op.f('ck_organization_company_length')),
    sa.CheckConstraint('char_length(name) <= 100', name=op.f('ck_organization_name_length')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_organization')),
    schema='common',
    comment='A legal entity. The configuration lists them (`records:`) and says which company of ops each one is.'
    )
    op.create_index('uq_organization_key', 'organization', [sa.literal_column('sync.fold(code)')], unique=True, schema='common')
    op.create_table('unit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('code', sa.Text(), nullable=False, comment='The symbol in ops and the name in sales'),
    sa.CheckConstraint('char_length(code) <= 100', name=op.f('ck_unit_code_length')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_unit')),
    schema='common',
    comment='A unit of measure that products are sold in.'
    )
    op.create_index('uq_unit_key', 'unit', [sa.literal_column('sync.fold(code)')], unique=True, schema='common')
    op.create_table('common_account',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('organization_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('middle_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('gender', sa.Text(), nullable=True),
    sa.Column('marital_status', sa.Text(), nullable=True),
    sa.Column('birth_date', sa.Date(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('phone_2', sa.Text(), nullable=True),
    sa.Column('phone_3', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('email_2', sa.Text(), nullable=True),
    sa.Column('website', sa.Text(), nullable=True),
    sa.Column('ticker', sa.Text(), nullable=True),
    sa.Column('allows_email', sa.Boolean(), nullable=True),
    sa.Column('allows_phone', sa.Boolean(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('credit_limit', sa.Numeric(), nullable=True),
    sa.Column('currency_id', sa.BigInteger(), nullable=True),
    sa.Column('employee_count', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('mailing_street', sa.Text(), nullable=True),
    sa.Column('mailing_street_2', sa.Text(), nullable=True),
    sa.Column('mailing_city', sa.Text(), nullable=True),
    sa.Column('mailing_postal_code', sa.Text(), nullable=True),
    sa.Column('mailing_state', sa.Text(), nullable=True),
    sa.Column('mailing_country', sa.Text(), nullable=True),
    sa.Column('shipping_street', sa.Text(), nullable=True),
    sa.Column('shipping_street_2', sa.Text(), nullable=True),
    sa.Column('shipping_city', sa.Text(), nullable=True),
    sa.Column('shipping_postal_code', sa.Text(), nullable=True),
    sa.Column('shipping_state', sa.Text(), nullable=True),
    sa.Column('shipping_country', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of common.account as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_account_id', 'common_account', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_account_seq', 'common_account', ['seq'], unique=False, schema='log')
    op.create_table('common_contact',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('organization_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('account_id', sa.BigInteger(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('middle_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('gender', sa.Text(), nullable=True),
    sa.Column('marital_status', sa.Text(), nullable=True),
    sa.Column('birth_date', sa.Date(), nullable=True),
    sa.Column('job_title', sa.Text(), nullable=True),
    sa.Column('department', sa.Text(), nullable=True),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('government_id', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('home_phone', sa.Text(), nullable=True),
    sa.Column('mobile_phone', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('email_2', sa.Text(), nullable=True),
    sa.Column('website', sa.Text(), nullable=True),
    sa.Column('allows_email', sa.Boolean(), nullable=True),
    sa.Column('allows_phone', sa.Boolean(), nullable=True),
    sa.Column('allows_mail', sa.Boolean(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('street', sa.Text(), nullable=True),
    sa.Column('street_2', sa.Text(), nullable=True),
    sa.Column('city', sa.Text(), nullable=True),
    sa.Column('postal_code', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('country', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of common.contact as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_contact_id', 'common_contact', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_contact_seq', 'common_contact', ['seq'], unique=False, schema='log')
    op.create_table('common_currency',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('decimals', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of common.currency as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_currency_id', 'common_currency', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_currency_seq', 'common_currency', ['seq'], unique=False, schema='log')
    op.create_table('common_organization',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('company', sa.Text(), nullable=True),
    sa.Column('is_default', sa.Boolean(), nullable=True),
    schema='log',
    comment='Rows of common.organization as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_organization_id', 'common_organization', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_organization_seq', 'common_organization', ['seq'], unique=False, schema='log')
    op.create_table('common_product',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('organization_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=True),
    sa.Column('unit_id', sa.BigInteger(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('cost', sa.Numeric(), nullable=True),
    sa.Column('currency_id', sa.BigInteger(), nullable=True),
    sa.Column('is_stocked', sa.Boolean(), nullable=True),
    sa.Column('quantity_decimals', sa.BigInteger(), nullable=True),
    sa.Column('maintained', sa.Boolean(), nullable=True),
    schema='log',
    comment='Rows of common.product as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_product_id', 'common_product', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_product_seq', 'common_product', ['seq'], unique=False, schema='log')
    op.create_table('common_quote',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('organization_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('account_id', sa.BigInteger(), nullable=True),
    sa.Column('currency_id', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('requested_delivery_date', sa.Date(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('total_amount', sa.Numeric(), nullable=True),
    sa.Column('total_discount_amount', sa.Numeric(), nullable=True),
    sa.Column('discount_amount', sa.Numeric(), nullable=True),
    sa.Column('shipping_street', sa.Text(), nullable=True),
    sa.Column('shipping_street_2', sa.Text(), nullable=True),
    sa.Column('shipping_city', sa.Text(), nullable=True),
    sa.Column('shipping_postal_code', sa.Text(), nullable=True),
    sa.Column('shipping_state', sa.Text(), nullable=True),
    sa.Column('shipping_country', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of common.quote as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_quote_id', 'common_quote', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_quote_seq', 'common_quote', ['seq'], unique=False, schema='log')
    op.create_table('common_quote_line',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('quote_id', sa.BigInteger(), nullable=True),
    sa.Column('sequence', sa.BigInteger(), nullable=True),
    sa.Column('product_id', sa.BigInteger(), nullable=True),
    sa.Column('product_number', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=True),
    sa.Column('unit_id', sa.BigInteger(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('amount', sa.Numeric(), nullable=True),
    sa.Column('discount_amount', sa.Numeric(), nullable=True),
    sa.Column('requested_delivery_date', sa.Date(), nullable=True),
    schema='log',
    comment='Rows of common.quote_line as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_quote_line_id', 'common_quote_line', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_quote_line_seq', 'common_quote_line', ['seq'], unique=False, schema='log')
    op.create_table('common_unit',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of common.unit as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_common_unit_id', 'common_unit', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_common_unit_seq', 'common_unit', ['seq'], unique=False, schema='log')
    op.create_table('ops_cds_contact_persons_v2',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('data_area_id', sa.Text(), nullable=True),
    sa.Column('contact_person_party_number', sa.Text(), nullable=True),
    sa.Column('associated_contact_type', sa.Text(), nullable=True),
    sa.Column('associated_contact_number', sa.Text(), nullable=True),
    sa.Column('contact_person_party_type', sa.Text(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('middle_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('gender', sa.Text(), nullable=True),
    sa.Column('marital_status', sa.Text(), nullable=True),
    sa.Column('employment_department', sa.Text(), nullable=True),
    sa.Column('employment_profession', sa.Text(), nullable=True),
    sa.Column('government_identification_number', sa.Text(), nullable=True),
    sa.Column('notes', sa.Text(), nullable=True),
    sa.Column('primary_email_address', sa.Text(), nullable=True),
    sa.Column('primary_phone_number', sa.Text(), nullable=True),
    sa.Column('primary_url', sa.Text(), nullable=True),
    sa.Column('primary_address_street', sa.Text(), nullable=True),
    sa.Column('primary_address_city', sa.Text(), nullable=True),
    sa.Column('primary_address_zip_code', sa.Text(), nullable=True),
    sa.Column('primary_address_state_id', sa.Text(), nullable=True),
    sa.Column('primary_address_country_region_iso_code', sa.Text(), nullable=True),
    sa.Column('is_receiving_direct_mail', sa.Boolean(), nullable=True),
    sa.Column('is_inactive', sa.Boolean(), nullable=True),
    sa.Column('is_contact_person_externally_maintained', sa.Boolean(), nullable=True),
    schema='log',
    comment='Rows of ops.cds_contact_persons_v2 as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_ops_cds_contact_persons_v2_id', 'ops_cds_contact_persons_v2', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_ops_cds_contact_persons_v2_seq', 'ops_cds_contact_persons_v2', ['seq'], unique=False, schema='log')
    op.create_table('ops_cds_sales_quotation_headers',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('data_area_id', sa.Text(), nullable=True),
    sa.Column('sales_quotation_number', sa.Text(), nullable=True),
    sa.Column('sales_quotation_name', sa.Text(), nullable=True),
    sa.Column('requesting_customer_account_number', sa.Text(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('customers_reference', sa.Text(), nullable=True),
    sa.Column('requested_shipping_date', sa.Date(), nullable=True),
    sa.Column('quotation_total_amount', sa.Numeric(), nullable=True),
    sa.Column('delivery_address_name', sa.Text(), nullable=True),
    sa.Column('delivery_address_description', sa.Text(), nullable=True),
    sa.Column('delivery_address_street', sa.Text(), nullable=True),
    sa.Column('delivery_address_street_number', sa.Text(), nullable=True),
    sa.Column('delivery_address_city', sa.Text(), nullable=True),
    sa.Column('delivery_address_zip_code', sa.Text(), nullable=True),
    sa.Column('delivery_address_state_id', sa.Text(), nullable=True),
    sa.Column('delivery_address_country_region_iso_code', sa.Text(), nullable=True),
    sa.Column('is_delivery_address_order_specific', sa.Boolean(), nullable=True),
    schema='log',
    comment='Rows of ops.cds_sales_quotation_headers as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_ops_cds_sales_quotation_headers_id', 'ops_cds_sales_quotation_headers', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_ops_cds_sales_quotation_headers_seq', 'ops_cds_sales_quotation_headers', ['seq'], unique=False, schema='log')
    op.create_table('ops_cds_sales_quotation_lines',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('data_area_id', sa.Text(), nullable=True),
    sa.Column('sales_quotation_number', sa.Text(), nullable=True),
    sa.Column('line_creation_sequence_number', sa.BigInteger(), nullable=True),
    sa.Column('product_number', sa.Text(), nullable=True),
    sa.Column('requested_sales_quantity', sa.Numeric(), nullable=True),
    sa.Column('sales_unit_symbol', sa.Text(), nullable=True),
    sa.Column('sales_price', sa.Numeric(), nullable=True),
    sa.Column('total_discount_amount', sa.Numeric(), nullable=True),
    sa.Column('requested_receipt_date', sa.Date(), nullable=True),
    schema='log',
    comment='Rows of ops.cds_sales_quotation_lines as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_ops_cds_sales_quotation_lines_id', 'ops_cds_sales_quotation_lines', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_ops_cds_sales_quotation_lines_seq', 'ops_cds_sales_quotation_lines', ['seq'], unique=False, schema='log')
    op.create_table('ops_customers_v3',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('data_area_id', sa.Text(), nullable=True),
    sa.Column('customer_account', sa.Text(), nullable=True),
    sa.Column('party_number', sa.Text(), nullable=True),
    sa.Column('party_type', sa.Text(), nullable=True),
    sa.Column('organization_name', sa.Text(), nullable=True),
    sa.Column('organization_number_of_employees', sa.BigInteger(), nullable=True),
    sa.Column('person_first_name', sa.Text(), nullable=True),
    sa.Column('person_middle_name', sa.Text(), nullable=True),
    sa.Column('person_last_name', sa.Text(), nullable=True),
    sa.Column('customer_group_id', sa.Text(), nullable=True),
    sa.Column('sales_currency_code', sa.Text(), nullable=True),
    sa.Column('credit_limit', sa.Numeric(), nullable=True),
    sa.Column('language_id', sa.Text(), nullable=True),
    sa.Column('site_id', sa.Text(), nullable=True),
    sa.Column('warehouse_id', sa.Text(), nullable=True),
    sa.Column('sales_memo', sa.Text(), nullable=True),
    sa.Column('is_externally_maintained', sa.Boolean(), nullable=True),
    sa.Column('on_hold_status', sa.Text(), nullable=True),
    sa.Column('primary_contact_phone', sa.Text(), nullable=True),
    sa.Column('primary_contact_fax', sa.Text(), nullable=True),
    sa.Column('primary_contact_email', sa.Text(), nullable=True),
    sa.Column('primary_contact_url', sa.Text(), nullable=True),
    sa.Column('address_description', sa.Text(), nullable=True),
    sa.Column('address_location_roles', sa.Text(), nullable=True),
    sa.Column('address_street', sa.Text(), nullable=True),
    sa.Column('address_city', sa.Text(), nullable=True),
    sa.Column('address_zip_code', sa.Text(), nullable=True),
    sa.Column('address_state', sa.Text(), nullable=True),
    sa.Column('address_country_region_iso_code', sa.Text(), nullable=True),
    sa.Column('delivery_address_description', sa.Text(), nullable=True),
    sa.Column('delivery_address_street', sa.Text(), nullable=True),
    sa.Column('delivery_address_city', sa.Text(), nullable=True),
    sa.Column('delivery_address_zip_code', sa.Text(), nullable=True),
    sa.Column('delivery_address_state', sa.Text(), nullable=True),
    sa.Column('delivery_address_country_region_iso_code', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of ops.customers_v3 as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_ops_customers_v3_id', 'ops_customers_v3', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_ops_customers_v3_seq', 'ops_customers_v3', ['seq'], unique=False, schema='log')
    op.create_table('ops_sellable_released_products',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('data_area_id', sa.Text(), nullable=True),
    sa.Column('product_number', sa.Text(), nullable=True),
    sa.Column('product_name', sa.Text(), nullable=True),
    sa.Column('product_description', sa.Text(), nullable=True),
    sa.Column('product_type', sa.Text(), nullable=True),
    sa.Column('sales_price', sa.Numeric(), nullable=True),
    sa.Column('unit_cost', sa.Numeric(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('sales_unit_symbol', sa.Text(), nullable=True),
    sa.Column('sales_unit_decimal_precision', sa.BigInteger(), nullable=True),
    sa.Column('is_stocked_product', sa.Boolean(), nullable=True),
    sa.Column('is_sales_stopped', sa.Boolean(), nullable=True),
    schema='log',
    comment='Rows of ops.sellable_released_products as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_ops_sellable_released_products_id', 'ops_sellable_released_products', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_ops_sellable_released_products_seq', 'ops_sellable_released_products', ['seq'], unique=False, schema='log')
    op.create_table('sales_accounts',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('accountid', sa.Uuid(), nullable=True),
    sa.Column('accountnumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('telephone1', sa.Text(), nullable=True),
    sa.Column('telephone2', sa.Text(), nullable=True),
    sa.Column('telephone3', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('emailaddress1', sa.Text(), nullable=True),
    sa.Column('emailaddress2', sa.Text(), nullable=True),
    sa.Column('websiteurl', sa.Text(), nullable=True),
    sa.Column('tickersymbol', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('creditlimit', sa.Numeric(), nullable=True),
    sa.Column('numberofemployees', sa.BigInteger(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('donotemail', sa.Boolean(), nullable=True),
    sa.Column('donotphone', sa.Boolean(), nullable=True),
    sa.Column('address1_line1', sa.Text(), nullable=True),
    sa.Column('address1_line2', sa.Text(), nullable=True),
    sa.Column('address1_city', sa.Text(), nullable=True),
    sa.Column('address1_postalcode', sa.Text(), nullable=True),
    sa.Column('address1_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address1_country', sa.Text(), nullable=True),
    sa.Column('address2_line1', sa.Text(), nullable=True),
    sa.Column('address2_line2', sa.Text(), nullable=True),
    sa.Column('address2_city', sa.Text(), nullable=True),
    sa.Column('address2_postalcode', sa.Text(), nullable=True),
    sa.Column('address2_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address2_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.accounts as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_accounts_id', 'sales_accounts', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_accounts_seq', 'sales_accounts', ['seq'], unique=False, schema='log')
    op.create_table('sales_contacts',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('contactid', sa.Uuid(), nullable=True),
    sa.Column('msdynce_contactnumber', sa.Text(), nullable=True),
    sa.Column('msdynce_isactivecustomer', sa.Boolean(), nullable=True),
    sa.Column('parentcustomerid', sa.Uuid(), nullable=True),
    sa.Column('firstname', sa.Text(), nullable=True),
    sa.Column('middlename', sa.Text(), nullable=True),
    sa.Column('lastname', sa.Text(), nullable=True),
    sa.Column('fullname', sa.Text(), nullable=True),
    sa.Column('jobtitle', sa.Text(), nullable=True),
    sa.Column('department', sa.Text(), nullable=True),
    sa.Column('accountrolecode', sa.BigInteger(), nullable=True),
    sa.Column('governmentid', sa.Text(), nullable=True),
    sa.Column('gendercode', sa.BigInteger(), nullable=True),
    sa.Column('familystatuscode', sa.BigInteger(), nullable=True),
    sa.Column('birthdate', sa.Date(), nullable=True),
    sa.Column('telephone1', sa.Text(), nullable=True),
    sa.Column('telephone2', sa.Text(), nullable=True),
    sa.Column('mobilephone', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('emailaddress1', sa.Text(), nullable=True),
    sa.Column('emailaddress2', sa.Text(), nullable=True),
    sa.Column('websiteurl', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('creditlimit', sa.Numeric(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('donotemail', sa.Boolean(), nullable=True),
    sa.Column('donotphone', sa.Boolean(), nullable=True),
    sa.Column('donotpostalmail', sa.Boolean(), nullable=True),
    sa.Column('address1_line1', sa.Text(), nullable=True),
    sa.Column('address1_line2', sa.Text(), nullable=True),
    sa.Column('address1_city', sa.Text(), nullable=True),
    sa.Column('address1_postalcode', sa.Text(), nullable=True),
    sa.Column('address1_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address1_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.contacts as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_contacts_id', 'sales_contacts', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_contacts_seq', 'sales_contacts', ['seq'], unique=False, schema='log')
    op.create_table('sales_pricelevels',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('pricelevelid', sa.Uuid(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.pricelevels as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_pricelevels_id', 'sales_pricelevels', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_pricelevels_seq', 'sales_pricelevels', ['seq'], unique=False, schema='log')
    op.create_table('sales_products',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('productid', sa.Uuid(), nullable=True),
    sa.Column('productnumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('producttypecode', sa.BigInteger(), nullable=True),
    sa.Column('defaultuomid', sa.Uuid(), nullable=True),
    sa.Column('defaultuomscheduleid', sa.Uuid(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('pricelevelid', sa.Uuid(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('currentcost', sa.Numeric(), nullable=True),
    sa.Column('isstockitem', sa.Boolean(), nullable=True),
    sa.Column('quantitydecimal', sa.BigInteger(), nullable=True),
    sa.Column('msdynce_ismaintainedexternally', sa.Boolean(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('statuscode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.products as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_products_id', 'sales_products', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_products_seq', 'sales_products', ['seq'], unique=False, schema='log')
    op.create_table('sales_quotedetails',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('quotedetailid', sa.Uuid(), nullable=True),
    sa.Column('quoteid', sa.Uuid(), nullable=True),
    sa.Column('sequencenumber', sa.BigInteger(), nullable=True),
    sa.Column('productid', sa.Uuid(), nullable=True),
    sa.Column('productdescription', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=True),
    sa.Column('uomid', sa.Uuid(), nullable=True),
    sa.Column('priceperunit', sa.Numeric(), nullable=True),
    sa.Column('extendedamount', sa.Numeric(), nullable=True),
    sa.Column('manualdiscountamount', sa.Numeric(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('requestdeliveryby', sa.Date(), nullable=True),
    schema='log',
    comment='Rows of sales.quotedetails as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_quotedetails_id', 'sales_quotedetails', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_quotedetails_seq', 'sales_quotedetails', ['seq'], unique=False, schema='log')
    op.create_table('sales_quotes',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('quoteid', sa.Uuid(), nullable=True),
    sa.Column('quotenumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('customerid', sa.Uuid(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('pricelevelid', sa.Uuid(), nullable=True),
    sa.Column('requestdeliveryby', sa.Date(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('totalamount', sa.Numeric(), nullable=True),
    sa.Column('totaldiscountamount', sa.Numeric(), nullable=True),
    sa.Column('discountamount', sa.Numeric(), nullable=True),
    sa.Column('freightamount', sa.Numeric(), nullable=True),
    sa.Column('shipto_line1', sa.Text(), nullable=True),
    sa.Column('shipto_line2', sa.Text(), nullable=True),
    sa.Column('shipto_city', sa.Text(), nullable=True),
    sa.Column('shipto_postalcode', sa.Text(), nullable=True),
    sa.Column('shipto_stateorprovince', sa.Text(), nullable=True),
    sa.Column('shipto_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.quotes as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_quotes_id', 'sales_quotes', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_quotes_seq', 'sales_quotes', ['seq'], unique=False, schema='log')
    op.create_table('sales_transactioncurrencies',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('isocurrencycode', sa.Text(), nullable=True),
    sa.Column('currencyname', sa.Text(), nullable=True),
    sa.Column('currencyprecision', sa.BigInteger(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    schema='log',
    comment='Rows of sales.transactioncurrencies as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_transactioncurrencies_id', 'sales_transactioncurrencies', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_transactioncurrencies_seq', 'sales_transactioncurrencies', ['seq'], unique=False, schema='log')
    op.create_table('sales_uoms',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('uomid', sa.Uuid(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('uomscheduleid', sa.Uuid(), nullable=True),
    schema='log',
    comment='Rows of sales.uoms as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_uoms_id', 'sales_uoms', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_uoms_seq', 'sales_uoms', ['seq'], unique=False, schema='log')
    op.create_table('sales_uomschedules',
    sa.Column('seq', sa.BigInteger(), nullable=False, comment='log.change.seq of the change this was before'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('id', sa.BigInteger(), nullable=True),
    sa.Column('uomscheduleid', sa.Uuid(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    schema='log',
    comment='Rows of sales.uomschedules as they were before each update and delete',
    postgresql_partition_by='RANGE (at)'
    )
    op.create_index('ix_sales_uomschedules_id', 'sales_uomschedules', ['id', 'seq'], unique=False, schema='log')
    op.create_index('ix_sales_uomschedules_seq', 'sales_uomschedules', ['seq'], unique=False, schema='log')
    op.create_table('cds_contact_persons_v2',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('data_area_id', sa.Text(), nullable=False, comment='dataAreaId'),
    sa.Column('contact_person_party_number', sa.Text(), nullable=False, comment='ContactPersonPartyNumber'),
    sa.Column('associated_contact_type', sa.Text(), nullable=False, comment='AssociatedContactType'),
    sa.Column('associated_contact_number', sa.Text(), nullable=False, comment='AssociatedContactNumber'),
    sa.Column('contact_person_party_type', sa.Text(), nullable=True, comment='ContactPersonPartyType'),
    sa.Column('first_name', sa.Text(), nullable=True, comment='FirstName'),
    sa.Column('middle_name', sa.Text(), nullable=True, comment='MiddleName'),
    sa.Column('last_name', sa.Text(), nullable=True, comment='LastName'),
    sa.Column('gender', sa.Text(), nullable=True, comment='Gender'),
    sa.Column('marital_status', sa.Text(), nullable=True, comment='MaritalStatus'),
    sa.Column('employment_department', sa.Text(), nullable=True, comment='EmploymentDepartment'),
    sa.Column('employment_profession', sa.Text(), nullable=True, comment='EmploymentProfession'),
    sa.Column('government_identification_number', sa.Text(), nullable=True, comment='GovernmentIdentificationNumber'),
    sa.Column('notes', sa.Text(), nullable=True, comment='Notes'),
    sa.Column('primary_email_address', sa.Text(), nullable=True, comment='PrimaryEmailAddress'),
    sa.Column('primary_phone_number', sa.Text(), nullable=True, comment='PrimaryPhoneNumber'),
    sa.Column('primary_url', sa.Text(), nullable=True, comment='PrimaryUrl'),
    sa.Column('primary_address_street', sa.Text(), nullable=True, comment='PrimaryAddressStreet'),
    sa.Column('primary_address_city', sa.Text(), nullable=True, comment='PrimaryAddressCity'),
    sa.Column('primary_address_zip_code', sa.Text(), nullable=True, comment='PrimaryAddressZipCode'),
    sa.Column('primary_address_state_id', sa.Text(), nullable=True, comment='PrimaryAddressStateId'),
    sa.Column('primary_address_country_region_iso_code', sa.Text(), nullable=True, comment='PrimaryAddressCountryRegionISOCode'),
    sa.Column('is_receiving_direct_mail', sa.Boolean(), nullable=True, comment='IsReceivingDirectMail'),
    sa.Column('is_inactive', sa.Boolean(), nullable=True, comment='IsInactive'),
    sa.Column('is_contact_person_externally_maintained', sa.Boolean(), nullable=True, comment='IsContactPersonExternallyMaintained'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_cds_contact_persons_v2')),
    schema='ops',
    comment='Contact persons of ops. The customer is a part of the key.'
    )
    op.create_index('ix_cds_contact_persons_v2_business_key', 'cds_contact_persons_v2', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(contact_person_party_number)'), sa.literal_column('sync.fold(associated_contact_number)')], unique=False, schema='ops')
    op.create_index('uq_cds_contact_persons_v2_key', 'cds_contact_persons_v2', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(contact_person_party_number)'), sa.literal_column('sync.fold(associated_contact_type)'), sa.literal_column('sync.fold(associated_contact_number)')], unique=True, schema='ops')
    op.create_table('cds_sales_quotation_headers',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('data_area_id', sa.Text(), nullable=False, comment='dataAreaId'),
    sa.Column('sales_quotation_number', sa.Text(), nullable=False, comment='SalesQuotationNumber'),
    sa.Column('sales_quotation_name', sa.Text(), nullable=True, comment='SalesQuotationName'),
    sa.Column('requesting_customer_account_number', sa.Text(), nullable=True, comment='RequestingCustomerAccountNumber'),
    sa.Column('currency_code', sa.Text(), nullable=True, comment='CurrencyCode'),
    sa.Column('customers_reference', sa.Text(), nullable=True, comment='CustomersReference'),
    sa.Column('requested_shipping_date', sa.Date(), nullable=True, comment='RequestedShippingDate'),
    sa.Column('quotation_total_amount', sa.Numeric(), nullable=True, comment='QuotationTotalAmount'),
    sa.Column('delivery_address_name', sa.Text(), nullable=True, comment='DeliveryAddressName'),
    sa.Column('delivery_address_description', sa.Text(), nullable=True, comment='DeliveryAddressDescription'),
    sa.Column('delivery_address_street', sa.Text(), nullable=True, comment='DeliveryAddressStreet'),
    sa.Column('delivery_address_street_number', sa.Text(), nullable=True, comment='DeliveryAddressStreetNumber'),
    sa.Column('delivery_address_city', sa.Text(), nullable=True, comment='DeliveryAddressCity'),
    sa.Column('delivery_address_zip_code', sa.Text(), nullable=True, comment='DeliveryAddressZipCode'),
    sa.Column('delivery_address_state_id', sa.Text(), nullable=True, comment='DeliveryAddressStateId'),
    sa.Column('delivery_address_country_region_iso_code', sa.Text(), nullable=True, comment='DeliveryAddressCountryRegionISOCode'),
    sa.Column('is_delivery_address_order_specific', sa.Boolean(), nullable=True, comment='IsDeliveryAddressOrderSpecific'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_cds_sales_quotation_headers')),
    schema='ops',
    comment='Sales quotations of ops.'
    )
    op.create_index('uq_cds_sales_quotation_headers_key', 'cds_sales_quotation_headers', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(sales_quotation_number)')], unique=True, schema='ops')
    op.create_table('cds_sales_quotation_lines',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('data_area_id', sa.Text(), nullable=False, comment='dataAreaId'),
    sa.Column('sales_quotation_number', sa.Text(), nullable=False, comment='SalesQuotationNumber'),
    sa.Column('line_creation_sequence_number', sa.BigInteger(), nullable=False, comment='LineCreationSequenceNumber'),
    sa.Column('product_number', sa.Text(), nullable=True, comment='ProductNumber'),
    sa.Column('requested_sales_quantity', sa.Numeric(), nullable=True, comment='RequestedSalesQuantity'),
    sa.Column('sales_unit_symbol', sa.Text(), nullable=True, comment='SalesUnitSymbol'),
    sa.Column('sales_price', sa.Numeric(), nullable=True, comment='SalesPrice'),
    sa.Column('total_discount_amount', sa.Numeric(), nullable=True, comment='TotalDiscountAmount'),
    sa.Column('requested_receipt_date', sa.Date(), nullable=True, comment='RequestedReceiptDate'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_cds_sales_quotation_lines')),
    schema='ops',
    comment='Lines of sales quotations.'
    )
    op.create_index('uq_cds_sales_quotation_lines_key', 'cds_sales_quotation_lines', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(sales_quotation_number)'), 'line_creation_sequence_number'], unique=True, schema='ops')
    op.create_table('customers_v3',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('data_area_id', sa.Text(), nullable=False, comment='dataAreaId'),
    sa.Column('customer_account', sa.Text(), nullable=False, comment='CustomerAccount'),
    sa.Column('party_number', sa.Text(), nullable=True, comment='PartyNumber'),
    sa.Column('party_type', sa.Text(), nullable=True, comment='PartyType'),
    sa.Column('organization_name', sa.Text(), nullable=True, comment='OrganizationName'),
    sa.Column('organization_number_of_employees', sa.BigInteger(), nullable=True, comment='OrganizationNumberOfEmployees'),
    sa.Column('person_first_name', sa.Text(), nullable=True, comment='PersonFirstName'),
    sa.Column('person_middle_name', sa.Text(), nullable=True, comment='PersonMiddleName'),
    sa.Column('person_last_name', sa.Text(), nullable=True, comment='PersonLastName'),
    sa.Column('customer_group_id', sa.Text(), nullable=True, comment='CustomerGroupId'),
    sa.Column('sales_currency_code', sa.Text(), nullable=True, comment='SalesCurrencyCode'),
    sa.Column('credit_limit', sa.Numeric(), nullable=True, comment='CreditLimit'),
    sa.Column('language_id', sa.Text(), nullable=True, comment='LanguageId'),
    sa.Column('site_id', sa.Text(), nullable=True, comment='SiteId'),
    sa.Column('warehouse_id', sa.Text(), nullable=True, comment='WarehouseId'),
    sa.Column('sales_memo', sa.Text(), nullable=True, comment='SalesMemo'),
    sa.Column('is_externally_maintained', sa.Boolean(), nullable=True, comment='IsExternallyMaintained'),
    sa.Column('on_hold_status', sa.Text(), nullable=True, comment='CustVendorBlocked: No, Invoice, All, ...'),
    sa.Column('primary_contact_phone', sa.Text(), nullable=True, comment='PrimaryContactPhone'),
    sa.Column('primary_contact_fax', sa.Text(), nullable=True, comment='PrimaryContactFax'),
    sa.Column('primary_contact_email', sa.Text(), nullable=True, comment='PrimaryContactEmail'),
    sa.Column('primary_contact_url', sa.Text(), nullable=True, comment='PrimaryContactURL'),
    sa.Column('address_description', sa.Text(), nullable=True, comment='AddressDescription'),
    sa.Column('address_location_roles', sa.Text(), nullable=True, comment='AddressLocationRoles'),
    sa.Column('address_street', sa.Text(), nullable=True, comment='AddressStreet'),
    sa.Column('address_city', sa.Text(), nullable=True, comment='AddressCity'),
    sa.Column('address_zip_code', sa.Text(), nullable=True, comment='AddressZipCode'),
    sa.Column('address_state', sa.Text(), nullable=True, comment='AddressState'),
    sa.Column('address_country_region_iso_code', sa.Text(), nullable=True, comment='AddressCountryRegionISOCode'),
    sa.Column('delivery_address_description', sa.Text(), nullable=True, comment='DeliveryAddressDescription'),
    sa.Column('delivery_address_street', sa.Text(), nullable=True, comment='DeliveryAddressStreet'),
    sa.Column('delivery_address_city', sa.Text(), nullable=True, comment='DeliveryAddressCity'),
    sa.Column('delivery_address_zip_code', sa.Text(), nullable=True, comment='DeliveryAddressZipCode'),
    sa.Column('delivery_address_state', sa.Text(), nullable=True, comment='DeliveryAddressState'),
    sa.Column('delivery_address_country_region_iso_code', sa.Text(), nullable=True, comment='DeliveryAddressCountryRegionISOCode'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_customers_v3')),
    schema='ops',
    comment='Customers of ops. Organizations and persons alike; sales masters them.'
    )
    op.create_index('uq_customers_v3_key', 'customers_v3', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(customer_account)')], unique=True, schema='ops')
    op.create_table('sellable_released_products',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('data_area_id', sa.Text(), nullable=False, comment='dataAreaId'),
    sa.Column('product_number', sa.Text(), nullable=False, comment='ProductNumber'),
    sa.Column('product_name', sa.Text(), nullable=True, comment='ProductName'),
    sa.Column('product_description', sa.Text(), nullable=True, comment='ProductDescription'),
    sa.Column('product_type', sa.Text(), nullable=True, comment='ProductType'),
    sa.Column('sales_price', sa.Numeric(), nullable=True, comment='SalesPrice'),
    sa.Column('unit_cost', sa.Numeric(), nullable=True, comment='UnitCost'),
    sa.Column('currency_code', sa.Text(), nullable=True, comment='CurrencyCode'),
    sa.Column('sales_unit_symbol', sa.Text(), nullable=True, comment='SalesUnitSymbol'),
    sa.Column('sales_unit_decimal_precision', sa.BigInteger(), nullable=True, comment='SalesUnitDecimalPrecision'),
    sa.Column('is_stocked_product', sa.Boolean(), nullable=True, comment='IsStockedProduct'),
    sa.Column('is_sales_stopped', sa.Boolean(), nullable=True, comment='IsSalesStopped'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sellable_released_products')),
    schema='ops',
    comment='Released products that can be sold, mastered by ops.'
    )
    op.create_index('uq_sellable_released_products_key', 'sellable_released_products', [sa.literal_column('sync.fold(data_area_id)'), sa.literal_column('sync.fold(product_number)')], unique=True, schema='ops')
    op.create_table('accounts',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('accountid', sa.Uuid(), nullable=False),
    sa.Column('accountnumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('telephone1', sa.Text(), nullable=True),
    sa.Column('telephone2', sa.Text(), nullable=True),
    sa.Column('telephone3', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('emailaddress1', sa.Text(), nullable=True),
    sa.Column('emailaddress2', sa.Text(), nullable=True),
    sa.Column('websiteurl', sa.Text(), nullable=True),
    sa.Column('tickersymbol', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('creditlimit', sa.Numeric(), nullable=True),
    sa.Column('numberofemployees', sa.BigInteger(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('donotemail', sa.Boolean(), nullable=True),
    sa.Column('donotphone', sa.Boolean(), nullable=True),
    sa.Column('address1_line1', sa.Text(), nullable=True),
    sa.Column('address1_line2', sa.Text(), nullable=True),
    sa.Column('address1_city', sa.Text(), nullable=True),
    sa.Column('address1_postalcode', sa.Text(), nullable=True),
    sa.Column('address1_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address1_country', sa.Text(), nullable=True),
    sa.Column('address2_line1', sa.Text(), nullable=True),
    sa.Column('address2_line2', sa.Text(), nullable=True),
    sa.Column('address2_city', sa.Text(), nullable=True),
    sa.Column('address2_postalcode', sa.Text(), nullable=True),
    sa.Column('address2_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address2_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts')),
    schema='sales',
    comment='Customers that are organizations, mastered by sales.'
    )
    op.create_index('ix_accounts_business_key', 'accounts', [sa.literal_column('sync.fold(accountnumber)')], unique=False, schema='sales')
    op.create_index(op.f('ix_accounts_transactioncurrencyid'), 'accounts', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index('uq_accounts_key', 'accounts', ['accountid'], unique=True, schema='sales')
    op.create_table('contacts',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('contactid', sa.Uuid(), nullable=False),
    sa.Column('msdynce_contactnumber', sa.Text(), nullable=True),
    sa.Column('msdynce_isactivecustomer', sa.Boolean(), nullable=True),
    sa.Column('parentcustomerid', sa.Uuid(), nullable=True),
    sa.Column('firstname', sa.Text(), nullable=True),
    sa.Column('middlename', sa.Text(), nullable=True),
    sa.Column('lastname', sa.Text(), nullable=True),
    sa.Column('fullname', sa.Text(), nullable=True, comment='Calculated by sales'),
    sa.Column('jobtitle', sa.Text(), nullable=True),
    sa.Column('department', sa.Text(), nullable=True),
    sa.Column('accountrolecode', sa.BigInteger(), nullable=True),
    sa.Column('governmentid', sa.Text(), nullable=True),
    sa.Column('gendercode', sa.BigInteger(), nullable=True),
    sa.Column('familystatuscode', sa.BigInteger(), nullable=True),
    sa.Column('birthdate', sa.Date(), nullable=True),
    sa.Column('telephone1', sa.Text(), nullable=True),
    sa.Column('telephone2', sa.Text(), nullable=True),
    sa.Column('mobilephone', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('emailaddress1', sa.Text(), nullable=True),
    sa.Column('emailaddress2', sa.Text(), nullable=True),
    sa.Column('websiteurl', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('creditlimit', sa.Numeric(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('donotemail', sa.Boolean(), nullable=True),
    sa.Column('donotphone', sa.Boolean(), nullable=True),
    sa.Column('donotpostalmail', sa.Boolean(), nullable=True),
    sa.Column('address1_line1', sa.Text(), nullable=True),
    sa.Column('address1_line2', sa.Text(), nullable=True),
    sa.Column('address1_city', sa.Text(), nullable=True),
    sa.Column('address1_postalcode', sa.Text(), nullable=True),
    sa.Column('address1_stateorprovince', sa.Text(), nullable=True),
    sa.Column('address1_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_contacts')),
    schema='sales',
    comment='Persons known to sales. An active customer becomes a person account, a person whose parent is an account becomes a contact of it; the others stay out.'
    )
    op.create_index('ix_contacts_business_key', 'contacts', [sa.literal_column('sync.fold(msdynce_contactnumber)')], unique=False, schema='sales')
    op.create_index(op.f('ix_contacts_parentcustomerid'), 'contacts', ['parentcustomerid'], unique=False, schema='sales')
    op.create_index(op.f('ix_contacts_transactioncurrencyid'), 'contacts', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index('uq_contacts_key', 'contacts', ['contactid'], unique=True, schema='sales')
    op.create_table('pricelevels',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('pricelevelid', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_pricelevels')),
    schema='sales',
    comment='Price lists of sales. A product needs one of its currency.'
    )
    op.create_index('ix_pricelevels_business_key', 'pricelevels', [sa.literal_column('sync.fold(name)')], unique=False, schema='sales')
    op.create_index(op.f('ix_pricelevels_transactioncurrencyid'), 'pricelevels', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index('uq_pricelevels_key', 'pricelevels', ['pricelevelid'], unique=True, schema='sales')
    op.create_table('products',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('productid', sa.Uuid(), nullable=False),
    sa.Column('productnumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('producttypecode', sa.BigInteger(), nullable=True),
    sa.Column('defaultuomid', sa.Uuid(), nullable=True),
    sa.Column('defaultuomscheduleid', sa.Uuid(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('pricelevelid', sa.Uuid(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('currentcost', sa.Numeric(), nullable=True),
    sa.Column('isstockitem', sa.Boolean(), nullable=True),
    sa.Column('quantitydecimal', sa.BigInteger(), nullable=True),
    sa.Column('msdynce_ismaintainedexternally', sa.Boolean(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('statuscode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_products')),
    schema='sales',
    comment='Products as sales shows them; ops masters those that are maintained externally.'
    )
    op.create_index('ix_products_business_key', 'products', [sa.literal_column('sync.fold(productnumber)')], unique=False, schema='sales')
    op.create_index(op.f('ix_products_defaultuomid'), 'products', ['defaultuomid'], unique=False, schema='sales')
    op.create_index(op.f('ix_products_defaultuomscheduleid'), 'products', ['defaultuomscheduleid'], unique=False, schema='sales')
    op.create_index(op.f('ix_products_pricelevelid'), 'products', ['pricelevelid'], unique=False, schema='sales')
    op.create_index(op.f('ix_products_transactioncurrencyid'), 'products', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index('uq_products_key', 'products', ['productid'], unique=True, schema='sales')
    op.create_table('quotedetails',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('quotedetailid', sa.Uuid(), nullable=False),
    sa.Column('quoteid', sa.Uuid(), nullable=True),
    sa.Column('sequencenumber', sa.BigInteger(), nullable=True),
    sa.Column('productid', sa.Uuid(), nullable=True),
    sa.Column('productdescription', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=True),
    sa.Column('uomid', sa.Uuid(), nullable=True),
    sa.Column('priceperunit', sa.Numeric(), nullable=True),
    sa.Column('extendedamount', sa.Numeric(), nullable=True),
    sa.Column('manualdiscountamount', sa.Numeric(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('requestdeliveryby', sa.Date(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quotedetails')),
    schema='sales',
    comment='Lines of quotes.'
    )
    op.create_index(op.f('ix_quotedetails_productid'), 'quotedetails', ['productid'], unique=False, schema='sales')
    op.create_index(op.f('ix_quotedetails_quoteid'), 'quotedetails', ['quoteid'], unique=False, schema='sales')
    op.create_index(op.f('ix_quotedetails_transactioncurrencyid'), 'quotedetails', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index(op.f('ix_quotedetails_uomid'), 'quotedetails', ['uomid'], unique=False, schema='sales')
    op.create_index('uq_quotedetails_key', 'quotedetails', ['quotedetailid'], unique=True, schema='sales')
    op.create_table('quotes',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('quoteid', sa.Uuid(), nullable=False),
    sa.Column('quotenumber', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('customerid', sa.Uuid(), nullable=True),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=True),
    sa.Column('pricelevelid', sa.Uuid(), nullable=True),
    sa.Column('requestdeliveryby', sa.Date(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('totalamount', sa.Numeric(), nullable=True),
    sa.Column('totaldiscountamount', sa.Numeric(), nullable=True),
    sa.Column('discountamount', sa.Numeric(), nullable=True),
    sa.Column('freightamount', sa.Numeric(), nullable=True),
    sa.Column('shipto_line1', sa.Text(), nullable=True),
    sa.Column('shipto_line2', sa.Text(), nullable=True),
    sa.Column('shipto_city', sa.Text(), nullable=True),
    sa.Column('shipto_postalcode', sa.Text(), nullable=True),
    sa.Column('shipto_stateorprovince', sa.Text(), nullable=True),
    sa.Column('shipto_country', sa.Text(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quotes')),
    schema='sales',
    comment='Quotes, mastered by sales.'
    )
    op.create_index('ix_quotes_business_key', 'quotes', [sa.literal_column('sync.fold(quotenumber)')], unique=False, schema='sales')
    op.create_index(op.f('ix_quotes_customerid'), 'quotes', ['customerid'], unique=False, schema='sales')
    op.create_index(op.f('ix_quotes_pricelevelid'), 'quotes', ['pricelevelid'], unique=False, schema='sales')
    op.create_index(op.f('ix_quotes_transactioncurrencyid'), 'quotes', ['transactioncurrencyid'], unique=False, schema='sales')
    op.create_index('uq_quotes_key', 'quotes', ['quoteid'], unique=True, schema='sales')
    op.create_table('transactioncurrencies',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('transactioncurrencyid', sa.Uuid(), nullable=False),
    sa.Column('isocurrencycode', sa.Text(), nullable=True),
    sa.Column('currencyname', sa.Text(), nullable=True),
    sa.Column('currencyprecision', sa.BigInteger(), nullable=True),
    sa.Column('statecode', sa.BigInteger(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_transactioncurrencies')),
    schema='sales',
    comment='Currencies known to sales.'
    )
    op.create_index('ix_transactioncurrencies_business_key', 'transactioncurrencies', [sa.literal_column('sync.fold(isocurrencycode)')], unique=False, schema='sales')
    op.create_index('uq_transactioncurrencies_key', 'transactioncurrencies', ['transactioncurrencyid'], unique=True, schema='sales')
    op.create_table('uoms',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('uomid', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('uomscheduleid', sa.Uuid(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_uoms')),
    schema='sales',
    comment='Units of measure known to sales.'
    )
    op.create_index('ix_uoms_business_key', 'uoms', [sa.literal_column('sync.fold(name)')], unique=False, schema='sales')
    op.create_index(op.f('ix_uoms_uomscheduleid'), 'uoms', ['uomscheduleid'], unique=False, schema='sales')
    op.create_index('uq_uoms_key', 'uoms', ['uomid'], unique=True, schema='sales')
    op.create_table('uomschedules',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('uomscheduleid', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True, comment='The version the system gave this image'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_uomschedules')),
    schema='sales',
    comment='Unit groups of sales. Products need one; it is looked up by name.'
    )
    op.create_index('ix_uomschedules_business_key', 'uomschedules', [sa.literal_column('sync.fold(name)')], unique=False, schema='sales')
    op.create_index('uq_uomschedules_key', 'uomschedules', ['uomscheduleid'], unique=True, schema='sales')
    op.create_table('link_ops_cds_contact_persons_v2__contact',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of ops.CDSContactPersonsV2 is which common contact'
    )
    op.create_index('uq_link_ops_cds_contact_persons_v2__contact_common', 'link_ops_cds_contact_persons_v2__contact', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_ops_cds_contact_persons_v2__contact_mirror', 'link_ops_cds_contact_persons_v2__contact', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_ops_cds_sales_quotation_headers__quote',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of ops.CDSSalesQuotationHeaders is which common quote'
    )
    op.create_index('uq_link_ops_cds_sales_quotation_headers__quote_common', 'link_ops_cds_sales_quotation_headers__quote', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_ops_cds_sales_quotation_headers__quote_mirror', 'link_ops_cds_sales_quotation_headers__quote', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_ops_cds_sales_quotation_lines__quote_line',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    sa.Column('root_id', sa.BigInteger(), nullable=True, comment='The common record of the whole this part was written with'),
    schema='sync',
    comment='Which record of ops.CDSSalesQuotationLines is which common quote_line'
    )
    op.create_index('ix_link_ops_cds_sales_quotation_lines__quote_line_root', 'link_ops_cds_sales_quotation_lines__quote_line', ['root_id'], unique=False, schema='sync')
    op.create_index('uq_link_ops_cds_sales_quotation_lines__quote_line_common', 'link_ops_cds_sales_quotation_lines__quote_line', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_ops_cds_sales_quotation_lines__quote_line_mirror', 'link_ops_cds_sales_quotation_lines__quote_line', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_ops_customers_v3__account',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of ops.CustomersV3 is which common account'
    )
    op.create_index('uq_link_ops_customers_v3__account_common', 'link_ops_customers_v3__account', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_ops_customers_v3__account_mirror', 'link_ops_customers_v3__account', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_ops_sellable_released_products__product',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of ops.SellableReleasedProducts is which common product'
    )
    op.create_index('uq_link_ops_sellable_released_products__product_common', 'link_ops_sellable_released_products__product', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_ops_sellable_released_products__product_mirror', 'link_ops_sellable_released_products__product', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_accounts__account',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.accounts is which common account'
    )
    op.create_index('uq_link_sales_accounts__account_common', 'link_sales_accounts__account', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_accounts__account_mirror', 'link_sales_accounts__account', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_contacts__account',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.contacts is which common account'
    )
    op.create_index('uq_link_sales_contacts__account_common', 'link_sales_contacts__account', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_contacts__account_mirror', 'link_sales_contacts__account', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_contacts__contact',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.contacts is which common contact'
    )
    op.create_index('uq_link_sales_contacts__contact_common', 'link_sales_contacts__contact', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_contacts__contact_mirror', 'link_sales_contacts__contact', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_products__product',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.products is which common product'
    )
    op.create_index('uq_link_sales_products__product_common', 'link_sales_products__product', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_products__product_mirror', 'link_sales_products__product', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_quotedetails__quote_line',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.quotedetails is which common quote_line'
    )
    op.create_index('uq_link_sales_quotedetails__quote_line_common', 'link_sales_quotedetails__quote_line', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_quotedetails__quote_line_mirror', 'link_sales_quotedetails__quote_line', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_quotes__quote',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.quotes is which common quote'
    )
    op.create_index('uq_link_sales_quotes__quote_common', 'link_sales_quotes__quote', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_quotes__quote_mirror', 'link_sales_quotes__quote', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_transactioncurrencies__currency',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.transactioncurrencies is which common currency'
    )
    op.create_index('uq_link_sales_transactioncurrencies__currency_common', 'link_sales_transactioncurrencies__currency', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_transactioncurrencies__currency_mirror', 'link_sales_transactioncurrencies__currency', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('link_sales_uoms__unit',
    sa.Column('mirror_id', sa.BigInteger(), nullable=False),
    sa.Column('common_id', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the pair was parted; null while it lives'),
    schema='sync',
    comment='Which record of sales.uoms is which common unit'
    )
    op.create_index('uq_link_sales_uoms__unit_common', 'link_sales_uoms__unit', ['common_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('uq_link_sales_uoms__unit_mirror', 'link_sales_uoms__unit', ['mirror_id'], unique=True, schema='sync', postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('account',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('organization_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('middle_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('gender', sa.Text(), nullable=True),
    sa.Column('marital_status', sa.Text(), nullable=True),
    sa.Column('birth_date', sa.Date(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('phone_2', sa.Text(), nullable=True),
    sa.Column('phone_3', sa.Text(), nullable=True),
    sa.Column('fax', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('email_2', sa.Text(), nullable=True),
    sa.Column('website', sa.Text(), nullable=True),
    sa.Column('ticker', sa.Text(), nullable=True),
    sa.Column('allows_email', sa.Boolean(), nullable=True),
    sa.Column('allows_phone', sa.Boolean(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('credit_limit', sa.Numeric(), nullable=True),
    sa.Column('currency_id', sa.BigInteger(), nullable=True),
    sa.Column('employee_count', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('mailing_street', sa.Text(), nullable=True),
    sa.Column('mailing_street_2', sa.Text(), nullable=True),
    sa.Column('mailing_city', sa.Text(), nullable=True),
    sa.Column('mailing_postal_code', sa.Text(), nullable=True),
    sa.Column('mailing_state', sa.Text(), nullable=True),
    sa.Column('mailing_country', sa.Text(), nullable=True, comment='ISO 3166 two-letter code'),
    sa.Column('shipping_street', sa.Text(), nullable=True),
    sa.Column('shipping_street_2', sa.Text(), nullable=True),
    sa.Column('shipping_city', sa.Text(), nullable=True),
    sa.Column('shipping_postal_code', sa.Text(), nullable=True),
    sa.Column('shipping_state', sa.Text(), nullable=True),
    sa.Column('shipping_country', sa.Text(), nullable=True, comment='ISO 3166 two-letter code'),
    sa.CheckConstraint("gender IN ('Male', 'Female')", name=op.f('ck_account_gender_known')),
    sa.CheckConstraint("kind IN ('Organization', 'Person')", name=op.f('ck_account_kind_known')),
    sa.CheckConstraint("marital_status IN ('Single', 'Married', 'Divorced', 'Widowed')", name=op.f('ck_account_marital_status_known')),
    sa.CheckConstraint("status IN ('Active', 'Inactive')", name=op.f('ck_account_status_known')),
    sa.CheckConstraint('char_length(email) <= 100', name=op.f('ck_account_email_length')),
    sa.CheckConstraint('char_length(email_2) <= 100', name=op.f('ck_account_email_2_length')),
    sa.CheckConstraint('char_length(fax) <= 50', name=op.f('ck_account_fax_length')),
    sa.CheckConstraint('char_length(first_name) <= 50', name=op.f('ck_account_first_name_length')),
    sa.CheckConstraint('char_length(last_name) <= 50', name=op.f('ck_account_last_name_length')),
    sa.CheckConstraint('char_length(mailing_city) <= 80', name=op.f('ck_account_mailing_city_length')),
    sa.CheckConstraint('char_length(mailing_country) <= 2', name=op.f('ck_account_mailing_country_length')),
    sa.CheckConstraint('char_length(mailing_postal_code) <= 20', name=op.f('ck_account_mailing_postal_code_length')),
    sa.CheckConstraint('char_length(mailing_state) <= 50', name=op.f('ck_account_mailing_state_length')),
    sa.CheckConstraint('char_length(mailing_street) <= 250', name=op.f('ck_account_mailing_street_length')),
    sa.CheckConstraint('char_length(mailing_street_2) <= 250', name=op.f('ck_account_mailing_street_2_length')),
    sa.CheckConstraint('char_length(middle_name) <= 50', name=op.f('ck_account_middle_name_length')),
    sa.CheckConstraint('char_length(name) <= 160', name=op.f('ck_account_name_length')),
    sa.CheckConstraint('char_length(number) <= 20', name=op.f('ck_account_number_length')),
    sa.CheckConstraint('char_length(phone) <= 50', name=op.f('ck_account_phone_length')),
    sa.CheckConstraint('char_length(phone_2) <= 50', name=op.f('ck_account_phone_2_length')),
    sa.CheckConstraint('char_length(phone_3) <= 50', name=op.f('ck_account_phone_3_length')),
    sa.CheckConstraint('char_length(shipping_city) <= 80', name=op.f('ck_account_shipping_city_length')),
    sa.CheckConstraint('char_length(shipping_country) <= 2', name=op.f('ck_account_shipping_country_length')),
    sa.CheckConstraint('char_length(shipping_postal_code) <= 20', name=op.f('ck_account_shipping_postal_code_length')),
    sa.CheckConstraint('char_length(shipping_state) <= 50', name=op.f('ck_account_shipping_state_length')),
    sa.CheckConstraint('char_length(shipping_street) <= 250', name=op.f('ck_account_shipping_street_length')),
    sa.CheckConstraint('char_length(shipping_street_2) <= 250', name=op.f('ck_account_shipping_street_2_length')),
    sa.CheckConstraint('char_length(ticker) <= 10', name=op.f('ck_account_ticker_length')),
    sa.CheckConstraint('char_length(website) <= 200', name=op.f('ck_account_website_length')),
    sa.ForeignKeyConstraint(['currency_id'], ['common.currency.id'], name=op.f('fk_account_currency_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['organization_id'], ['common.organization.id'], name=op.f('fk_account_organization_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_account')),
    schema='common',
    comment='A customer, an organization or a person. Persons are contacts that buy for themselves.'
    )
    op.create_index(op.f('ix_account_currency_id'), 'account', ['currency_id'], unique=False, schema='common')
    op.create_index('uq_account_key', 'account', ['organization_id', sa.literal_column('sync.fold(number)')], unique=True, schema='common')
    op.create_table('product',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('organization_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('unit_id', sa.BigInteger(), nullable=False),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('cost', sa.Numeric(), nullable=True),
    sa.Column('currency_id', sa.BigInteger(), nullable=False),
    sa.Column('is_stocked', sa.Boolean(), nullable=True),
    sa.Column('quantity_decimals', sa.BigInteger(), nullable=True),
    sa.Column('maintained', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='Released in ops; only such products may be quoted to it'),
    sa.CheckConstraint("kind IN ('Item', 'Service')", name=op.f('ck_product_kind_known')),
    sa.CheckConstraint('char_length(name) <= 255', name=op.f('ck_product_name_length')),
    sa.CheckConstraint('char_length(number) <= 70', name=op.f('ck_product_number_length')),
    sa.ForeignKeyConstraint(['currency_id'], ['common.currency.id'], name=op.f('fk_product_currency_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['organization_id'], ['common.organization.id'], name=op.f('fk_product_organization_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['unit_id'], ['common.unit.id'], name=op.f('fk_product_unit_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_product')),
    schema='common',
    comment='A product that can be sold, as ops releases it. Each variant has its own number.'
    )
    op.create_index(op.f('ix_product_currency_id'), 'product', ['currency_id'], unique=False, schema='common')
    op.create_index(op.f('ix_product_unit_id'), 'product', ['unit_id'], unique=False, schema='common')
    op.create_index('uq_product_key', 'product', ['organization_id', sa.literal_column('sync.fold(number)')], unique=True, schema='common')
    op.create_table('contact',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('organization_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('account_id', sa.BigInteger(), nullable=False),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('middle_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('gender', sa.Text(), nullable=True),
    sa.Column('marital_status', sa.Text(), nullable=True),
    sa.Column('birth_date', sa.Date(), nullable=True),
    sa.Column('job_title', sa.Text(), nullable=True),
    sa.Column('department', sa.Text(), nullable=True),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('government_id', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('home_phone', sa.Text(), nullable=True),
    sa.Column('mobile_phone', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('email_2', sa.Text(), nullable=True),
    sa.Column('website', sa.Text(), nullable=True),
    sa.Column('allows_email', sa.Boolean(), nullable=True),
    sa.Column('allows_phone', sa.Boolean(), nullable=True),
    sa.Column('allows_mail', sa.Boolean(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('street', sa.Text(), nullable=True),
    sa.Column('street_2', sa.Text(), nullable=True),
    sa.Column('city', sa.Text(), nullable=True),
    sa.Column('postal_code', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('country', sa.Text(), nullable=True, comment='ISO 3166 two-letter code'),
    sa.CheckConstraint("gender IN ('Male', 'Female')", name=op.f('ck_contact_gender_known')),
    sa.CheckConstraint("marital_status IN ('Single', 'Married', 'Divorced', 'Widowed')", name=op.f('ck_contact_marital_status_known')),
    sa.CheckConstraint("role IN ('DecisionMaker', 'Employee', 'Influencer')", name=op.f('ck_contact_role_known')),
    sa.CheckConstraint("status IN ('Active', 'Inactive')", name=op.f('ck_contact_status_known')),
    sa.CheckConstraint('char_length(city) <= 80', name=op.f('ck_contact_city_length')),
    sa.CheckConstraint('char_length(country) <= 2', name=op.f('ck_contact_country_length')),
    sa.CheckConstraint('char_length(department) <= 100', name=op.f('ck_contact_department_length')),
    sa.CheckConstraint('char_length(email) <= 100', name=op.f('ck_contact_email_length')),
    sa.CheckConstraint('char_length(email_2) <= 100', name=op.f('ck_contact_email_2_length')),
    sa.CheckConstraint('char_length(first_name) <= 50', name=op.f('ck_contact_first_name_length')),
    sa.CheckConstraint('char_length(government_id) <= 50', name=op.f('ck_contact_government_id_length')),
    sa.CheckConstraint('char_length(home_phone) <= 50', name=op.f('ck_contact_home_phone_length')),
    sa.CheckConstraint('char_length(job_title) <= 100', name=op.f('ck_contact_job_title_length')),
    sa.CheckConstraint('char_length(last_name) <= 50', name=op.f('ck_contact_last_name_length')),
    sa.CheckConstraint('char_length(middle_name) <= 50', name=op.f('ck_contact_middle_name_length')),
    sa.CheckConstraint('char_length(mobile_phone) <= 50', name=op.f('ck_contact_mobile_phone_length')),
    sa.CheckConstraint('char_length(number) <= 20', name=op.f('ck_contact_number_length')),
    sa.CheckConstraint('char_length(phone) <= 50', name=op.f('ck_contact_phone_length')),
    sa.CheckConstraint('char_length(postal_code) <= 20', name=op.f('ck_contact_postal_code_length')),
    sa.CheckConstraint('char_length(state) <= 50', name=op.f('ck_contact_state_length')),
    sa.CheckConstraint('char_length(street) <= 250', name=op.f('ck_contact_street_length')),
    sa.CheckConstraint('char_length(street_2) <= 250', name=op.f('ck_contact_street_2_length')),
    sa.CheckConstraint('char_length(website) <= 200', name=op.f('ck_contact_website_length')),
    sa.ForeignKeyConstraint(['account_id'], ['common.account.id'], name=op.f('fk_contact_account_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['organization_id'], ['common.organization.id'], name=op.f('fk_contact_organization_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_contact')),
    schema='common',
    comment='A person at an account.'
    )
    op.create_index(op.f('ix_contact_account_id'), 'contact', ['account_id'], unique=False, schema='common')
    op.create_index('uq_contact_key', 'contact', ['organization_id', sa.literal_column('sync.fold(number)')], unique=True, schema='common')
    op.create_table('quote',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('organization_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('account_id', sa.BigInteger(), nullable=False),
    sa.Column('currency_id', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('requested_delivery_date', sa.Date(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('total_amount', sa.Numeric(), nullable=True),
    sa.Column('total_discount_amount', sa.Numeric(), nullable=True),
    sa.Column('discount_amount', sa.Numeric(), nullable=True),
    sa.Column('shipping_street', sa.Text(), nullable=True),
    sa.Column('shipping_street_2', sa.Text(), nullable=True),
    sa.Column('shipping_city', sa.Text(), nullable=True),
    sa.Column('shipping_postal_code', sa.Text(), nullable=True),
    sa.Column('shipping_state', sa.Text(), nullable=True),
    sa.Column('shipping_country', sa.Text(), nullable=True, comment='ISO 3166 two-letter code'),
    sa.CheckConstraint("status IN ('Draft', 'Active', 'Won', 'Closed')", name=op.f('ck_quote_status_known')),
    sa.CheckConstraint('char_length(name) <= 300', name=op.f('ck_quote_name_length')),
    sa.CheckConstraint('char_length(number) <= 100', name=op.f('ck_quote_number_length')),
    sa.CheckConstraint('char_length(shipping_city) <= 80', name=op.f('ck_quote_shipping_city_length')),
    sa.CheckConstraint('char_length(shipping_country) <= 2', name=op.f('ck_quote_shipping_country_length')),
    sa.CheckConstraint('char_length(shipping_postal_code) <= 20', name=op.f('ck_quote_shipping_postal_code_length')),
    sa.CheckConstraint('char_length(shipping_state) <= 50', name=op.f('ck_quote_shipping_state_length')),
    sa.CheckConstraint('char_length(shipping_street) <= 250', name=op.f('ck_quote_shipping_street_length')),
    sa.CheckConstraint('char_length(shipping_street_2) <= 250', name=op.f('ck_quote_shipping_street_2_length')),
    sa.ForeignKeyConstraint(['account_id'], ['common.account.id'], name=op.f('fk_quote_account_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['currency_id'], ['common.currency.id'], name=op.f('fk_quote_currency_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['organization_id'], ['common.organization.id'], name=op.f('fk_quote_organization_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quote')),
    schema='common',
    comment='An offer to an account. Sales masters it until it is won.'
    )
    op.create_index(op.f('ix_quote_account_id'), 'quote', ['account_id'], unique=False, schema='common')
    op.create_index(op.f('ix_quote_currency_id'), 'quote', ['currency_id'], unique=False, schema='common')
    op.create_index('uq_quote_key', 'quote', ['organization_id', sa.literal_column('sync.fold(number)')], unique=True, schema='common')
    op.create_table('quote_line',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('quote_id', sa.BigInteger(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('product_id', sa.BigInteger(), nullable=True, comment='Empty while ops does not maintain the product'),
    sa.Column('product_number', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=False),
    sa.Column('unit_id', sa.BigInteger(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('amount', sa.Numeric(), nullable=True),
    sa.Column('discount_amount', sa.Numeric(), nullable=True),
    sa.Column('requested_delivery_date', sa.Date(), nullable=True),
    sa.CheckConstraint('char_length(product_number) <= 100', name=op.f('ck_quote_line_product_number_length')),
    sa.ForeignKeyConstraint(['product_id'], ['common.product.id'], name=op.f('fk_quote_line_product_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['quote_id'], ['common.quote.id'], name=op.f('fk_quote_line_quote_id'), initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['unit_id'], ['common.unit.id'], name=op.f('fk_quote_line_unit_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quote_line')),
    schema='common',
    comment='A line of a quote; travels with its quote.'
    )
    op.create_index(op.f('ix_quote_line_product_id'), 'quote_line', ['product_id'], unique=False, schema='common')
    op.create_index(op.f('ix_quote_line_unit_id'), 'quote_line', ['unit_id'], unique=False, schema='common')
    op.create_index('uq_quote_line_key', 'quote_line', ['quote_id', 'sequence'], unique=True, schema='common')
    for name in PARTITIONED:
        op.execute(f"create table log.{name}_default partition of log.{name} default")


def downgrade() -> None:
    for name in SCHEMAS:
        if name != "sync":
            op.execute(f"drop schema {name} cascade")
    op.execute("drop table " + ", ".join(f"sync.{name}" for name in STATE) + " cascade")
    op.execute("drop type sync.delivery_state")
    op.execute("drop function sync.fold(text)")
