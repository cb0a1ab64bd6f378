-- name: note_costs
-- Reads are added to those of their day.
insert into sync.read_cost as c (system, entity_set, day, reads, requests, rows, received, changed)
select cast(:system as text), n.entity_set, cast(sync.now() as date),
       count(*), sum(n.requests), sum(n.rows), sum(n.received), sum(n.changed)
from unnest(cast(:names as text[]), cast(:requests as bigint[]), cast(:rows as bigint[]), cast(:received as bigint[]),
            cast(:changed as bigint[])) as n (entity_set, requests, rows, received, changed)
group by n.entity_set
on conflict (system, entity_set, day) do update
set reads = c.reads + excluded.reads, requests = c.requests + excluded.requests, rows = c.rows + excluded.rows,
    received = c.received + excluded.received, changed = c.changed + excluded.changed;
