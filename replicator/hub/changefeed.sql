-- name: kept
-- How far this consumer has read; locked, so that one reader at a time moves on.
select snapshot::text as snapshot, cluster,
       sync.here() as here
from sync.consumer where name = :name for update;

-- name: start
-- A new consumer has read nothing.
insert into sync.consumer (name, snapshot, cluster)
values (:name, '1:1:'::pg_snapshot, sync.here())
on conflict (name) do nothing;

-- name: now
-- What is visible at this moment; taken once, for the window and for the snapshot that is kept.
select pg_current_snapshot()::text;

-- name: any
-- Is there anything new? Visible now, and not visible in the kept snapshot.
select exists (
    select from log.change
    where txid >= pg_snapshot_xmin(cast(:kept as pg_snapshot)) and txid < pg_snapshot_xmax(cast(:now as pg_snapshot))
      and pg_visible_in_snapshot(txid, cast(:now as pg_snapshot))
      and not pg_visible_in_snapshot(txid, cast(:kept as pg_snapshot))
);

-- name: window
-- The window as a temporary table: what the markings read.
create temporary table changed on commit drop as
select relation::oid as relation, record_id, seq, operation::text as operation
from log.change
where txid >= pg_snapshot_xmin(cast(:kept as pg_snapshot)) and txid < pg_snapshot_xmax(cast(:now as pg_snapshot))
  and pg_visible_in_snapshot(txid, cast(:now as pg_snapshot))
  and not pg_visible_in_snapshot(txid, cast(:kept as pg_snapshot));

-- name: relations
-- Which tables changed, and how much.
select relation::regclass::text as relation, count(*) as changes, count(distinct record_id) as records
from changed group by relation;

-- name: advance
-- Keep the snapshot; the marks are made in the same transaction.
update sync.consumer
set snapshot = cast(:now as pg_snapshot), at = sync.now(),
    cluster = sync.here()
where name = :name;
