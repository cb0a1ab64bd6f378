-- name: empty
-- A window without any change of others.
create temporary table changed (relation oid, record_id bigint, seq bigint, operation text) on commit drop;

-- name: own
-- This transaction's own changes since the last time, added to the window.
with own as (
    insert into changed (relation, record_id, seq, operation)
    select relation::oid, record_id, seq, operation::text from log.change
    where txid = pg_current_xact_id() and seq > :last
    returning seq
)
select count(*) as rows, max(seq) as last from own;
