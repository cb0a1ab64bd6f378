-- name: standing
-- What is not in step, by flow, state and reason, and what the first records of each are called.
select m.name as flow, cast(d.state as text) as state,
       coalesce(case when d.state = 'blocked' then nullif(array_to_string(d.waits_for, '; '), '') end, d.reason, '') as reason,
       count(*) as records, (array_agg(coalesce(d.record, '') order by d.record))[1:5] as some
from sync.delivery d join sync.map m on m.id = d.map_id
where m.in_use
group by 1, 2, 3
union all
select p.system || '.' || p.entity_set, 'held', 'delete: ' || coalesce(p.reason, ''), count(*),
       (array_agg(coalesce(p.record, '') order by p.record))[1:5]
from sync.proposed_delete p where p.state = 'held' group by 1, 3
union all
select q.system || '.' || q.entity_set, 'quarantined', coalesce(q.reason, ''), count(*),
       (array_agg(coalesce(q.record, '') order by q.record))[1:5]
from sync.quarantine q group by 1, 3
union all
select o.system || '.' || o.entity_set, 'orphaned', sync.orphaned_because(), count(*),
       (array_agg(coalesce(o.record, '') order by o.record))[1:5]
from sync.orphans o where o.decided_at is null group by 1
union all
select entity, 'conflict', field, count(*), (array_agg(coalesce(record, '') order by record))[1:5]
from sync.conflict where state = 'open' group by 1, 3
order by 1, 2, 4 desc, 3;

-- name: not_read
-- Entity sets of which nothing, or nothing recent, is known.
select m.system || '.' || m.entity_set as entity_set, coalesce(e.problem, 'it was never read') as problem
from (select distinct system, entity_set from sync.map where in_use) m
left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
where e.problem is not null or e.read_at is null
order by 1;
