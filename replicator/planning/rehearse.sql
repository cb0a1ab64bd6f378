-- name: standing
-- What is not in step, by flow, state and reason, and what the first records of each are called.
select m.name as flow, d.state::text as state,
       coalesce(nullif(array_to_string(d.waits_for, '; '), ''), d.reason, '') as reason,
       count(*) as records, (array_agg(coalesce(d.record, '') order by d.record))[1:5] as some
from sync.delivery d join sync.map m on m.id = d.map_id
group by 1, 2, 3, m.rank
order by m.rank, 1, 2, 4 desc, 3;
