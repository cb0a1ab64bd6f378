-- name: notice
-- Is the hub at another place than where it last worked?
update sync.consumer set reread = true where name = :name and cluster <> sync.here();

-- name: forget_reads
-- Every entity set is read whole, as if for the first time.
update sync.entity_set set token = null, whole_at = null, read_at = null;

-- name: caught_up
-- Everything was read whole, and nothing of it is left to be merged.
update sync.consumer k set reread = false
where k.name = :name and k.reread
  and not exists (
    select from sync.map m left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
    where m.in_use and e.whole_at is null
  )
  and not exists (select from sync.under_way u where u.what = 'change')
  and not exists (
    select from sync.delivery d join sync.map m on m.id = d.map_id
    where m.in_use and m.direction = 'in' and d.state = 'pending'
  );

-- name: may_write
-- A hub that has read nothing yet has nothing to write either.
select coalesce((select not reread from sync.consumer where name = :name), true);
