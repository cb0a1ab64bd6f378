-- name: notice
-- Is the hub at another place than where it last worked? What it was rereading before that, it goes on rereading.
update sync.consumer set reread_since = coalesce(reread_since, now()) where name = :name and cluster <> sync.here();

-- name: forget_reads
-- Every entity set is read whole, as if for the first time.
update sync.entity_set set token = null, whole_at = null, read_at = null;

-- name: forget_other_cluster
-- What the log holds was committed long ago, whatever the cluster that wrote it called the transactions.
select log.forget_other_cluster();

-- name: is_caught_up
-- Everything was read whole, and nothing of it is left to be merged: since when the hub was at it.
select k.reread_since from sync.consumer k
where k.name = :name and k.reread_since is not null
  and not exists (
    select from sync.map m left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
    where m.in_use and e.whole_at is null
  )
  and (cast(:merged as boolean) or not exists (select from sync.under_way u where u.what = 'change'))
  and not exists (
    select from sync.delivery d join sync.map m on m.id = d.map_id
    where m.in_use and m.direction = 'in' and d.state = 'pending'
  );

-- name: orphans
-- Of what nobody explains, only what the hub did not hold when it was restored: the rest was never its own.
insert into sync.orphan (system, entity_set, record_id, since)
select u.system, u.entity_set, u.record_id, sync.now()
from sync.unaccounted u join sync.captured c on c.system = u.system and c.entity_set = u.entity_set
where exists (select from log.change l where l.relation = c.relation::regclass and l.record_id = u.record_id
                                         and l.operation = 'I' and l.at > :since)
on conflict do nothing;

-- name: caught_up
-- From here on the hub works as always.
update sync.consumer set reread_since = null where name = :name;

-- name: may_write
-- A hub that has read nothing yet has nothing to write either.
select coalesce((select reread_since is null from sync.consumer where name = :name), true);
