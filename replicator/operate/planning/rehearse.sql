-- name: standing
-- What is not in step, by flow, state and reason, and what the first records of each are called.
select m.name as flow, cast(d.state as text) as state,
       coalesce(nullif(array_to_string(d.waits_for, '; '), ''), d.reason, '') as reason,
       count(*) as records, (array_agg(coalesce(d.record, '') order by d.record))[1:5] as some
from sync.delivery d join sync.map m on m.id = d.map_id
group by 1, 2, 3
union all
select system || '.' || entity_set, 'held', records || ' deletes: ' || coalesce(reason, ''), records, cast('{}' as text[])
from sync.held
union all
select entity, 'conflict', field, count(*), (array_agg(coalesce(record, '') order by record))[1:5]
from sync.conflict where state = 'open' group by 1, 3
order by 1, 2, 4 desc, 3;
