-- name: told
-- People have been told of this cause.
insert into sync.alert (cause, title, since, records, told_at, told_records)
values (:cause, :title, :since, :records, sync.now(), :records)
on conflict (cause) do update
set title = excluded.title, since = excluded.since, records = excluded.records, told_at = excluded.told_at,
    told_records = excluded.told_records, cleared_at = null;

-- name: cleared
-- People have been told that it is over.
update sync.alert set cleared_at = sync.now() where cause = :cause;
