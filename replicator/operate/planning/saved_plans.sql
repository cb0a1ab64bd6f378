-- name: save
-- A plan, as it was made.
insert into sync.plan (by, entity, stays) values (session_user, :entity, :stays) returning id;

-- name: save_writes
-- Its writes, in order.
insert into sync.planned (plan_id, place, request, flow, operation, record, key, fields, fingerprint)
select :plan, place, request, flow, operation, record, key, fields, fingerprint
from jsonb_to_recordset(cast(:writes as jsonb)) as w(
    place integer, request integer, flow text, operation text, record text, key jsonb, fields jsonb, fingerprint text
);

-- name: plan
-- A saved plan.
select id, entity, run_at from sync.plan where id = :plan;

-- name: begin
-- From here on it has been run.
update sync.plan set run_at = sync.now() where id = :plan;

-- name: writes
-- The writes of a plan, in order.
select place, request, flow, operation, record, key, fields::text as fields, fingerprint
from sync.planned where plan_id = :plan order by place;

-- name: outcomes
-- What became of each write.
update sync.planned p set outcome = o.outcome
from jsonb_to_recordset(cast(:outcomes as jsonb)) as o(place integer, outcome text)
where p.plan_id = :plan and p.place = o.place;

-- name: stands
-- How the record of a planned write, or its root, stands now.
select cast(d.state as text) as state, coalesce(case when d.state = 'blocked' then nullif(array_to_string(d.waits_for, '; '), '') end, d.reason) as reason
from sync.delivery d join sync.map m on m.id = d.map_id
where m.name = :flow and (d.record = :record or starts_with(:record, d.record || ' '))
limit 1;

-- name: under_way
-- Is this delivery still to be done, or wrong?
select exists (
    select from sync.delivery d join sync.map m on m.id = d.map_id where m.name = :flow and d.record_id = :record
);

-- name: due_in
-- In how many seconds the next of these deliveries is tried again, or looked up.
select extract(epoch from min(d.next_at) - sync.now())
from unnest(cast(:flows as text[]), cast(:records as bigint[])) as o(flow, record_id)
join sync.map m on m.name = o.flow
join sync.delivery d on d.map_id = m.id and d.record_id = o.record_id
where d.state in ('unknown', 'failed') and d.attempts < :tries;
