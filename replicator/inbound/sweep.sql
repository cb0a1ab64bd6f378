-- name: is_written
-- Whether somebody else than a read wrote to a mirror since that moment: an answer to a write of ours, or a person.
select exists (
    select from log.change
    where relation = cast(:mirror as regclass) and origin not like 'snapshot:%'
      and txid >= pg_snapshot_xmin(cast(:moment as pg_snapshot))
      and not pg_visible_in_snapshot(txid, cast(:moment as pg_snapshot))
);
