-- name: hold_off
-- Transactions of the leader share this lock until they end; it is no lock of the row, so that renewing never waits.
select pg_advisory_xact_lock_shared(cast(cast(to_regclass('sync.lease') as oid) as bigint));

-- name: made_from
-- What the hub was made from: schema, objects and program.
select cast(to_jsonb(hub) - 'at' as text) as made_from from sync.hub hub;
