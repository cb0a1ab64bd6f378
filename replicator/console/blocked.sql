-- name: count
-- How many records wait.
select count(*) from sync.delivery where state = 'blocked';

-- name: waiting
-- The records that wait longest, and what each of them says it waits for.
select m.name as flow, m.system, m.source as "table", d.record_id, d.record, d.waits_for, d.since, d.code,
       sync.explain_next(d, m) as next
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'blocked'
order by d.since, d.map_id, d.record_id limit :limit;

-- name: edges
-- What these records point at and what has not landed, and how that parent stands on its own way.
with waiting as materialized (
    select m.id as map_id, m.name as flow, m.system, m.direction, d.record_id
    from sync.delivery d join sync.map m on m.id = d.map_id
    where d.state = 'blocked'
    order by d.since, d.map_id, d.record_id limit :limit
)
select w.flow, w.record_id, p.field, p.parent_table, p.parent_id, own.flow as parent_flow, own.record as parent_record,
       own.state as parent_state, own.reason as parent_reason, own.field as parent_field, own.cause as parent_cause
from waiting w
cross join lateral (
    select e.field, e.parent_table, e.parent_id from sync.parents e
    where e.flow = w.flow and e.record_id = w.record_id and not e.landed and e.need = 'required'
) p
left join lateral (
    select m.name as flow, d.record, d.state, d.field,
           coalesce(d.reason, 'it waits for ' || array_to_string(d.waits_for, ', ')) as reason,
           sync.cause(m.system, m.name, d.state::text, d.code, d.field,
                      coalesce(d.reason, array_to_string(d.waits_for, ', ')), d.waits_for) as cause
    from sync.map m join sync.delivery d on d.map_id = m.id and d.record_id = p.parent_id
    where m.source = p.parent_table and m.in_use and m.root is null
      and (m.direction = 'in' or m.system = w.system)
    order by d.state = 'not_eligible', m.rank limit 1
) own on true;
