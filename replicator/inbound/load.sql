-- name: keep_position
-- The set was read; the token moves on in the transaction that stored what was read.
insert into sync.entity_set (system, entity_set, token, whole_at, read_at, quiet_reads, made_of)
values (:system, :entity_set, :token, case when :whole then sync.now() end, :started, cast(not :moved as integer),
        sync.made_of(cast(:mirror as regclass)))
on conflict (system, entity_set) do update
set token = excluded.token, whole_at = coalesce(excluded.whole_at, entity_set.whole_at),
    read_at = excluded.read_at, quiet_reads = case when :moved then 0 else entity_set.quiet_reads + 1 end,
    made_of = excluded.made_of, problem = null, problem_since = null;

-- name: touched
-- Mirror rows that an acknowledgement wrote since the read began.
select distinct record_id from log.change
where relation = cast(:mirror as regclass) and origin like 'deliver:%'
  and txid >= pg_snapshot_xmin(cast(:moment as pg_snapshot))
  and not pg_visible_in_snapshot(txid, cast(:moment as pg_snapshot));
