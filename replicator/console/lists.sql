-- name: causes
-- Failures by cause; blocked and held ones have pages of their own.
select cause, system, flow, state, code, field, reason, records, since, last_tried, record
from sync.causes where state not in ('blocked', 'held')
order by records desc, since, cause
limit :limit offset :offset;

-- name: cause
-- One cause.
select cause, system, flow, state, code, field, reason, records, since, last_tried, record
from sync.causes where cause = :cause;

-- name: cause_records
-- The records behind a cause.
select t.flow, t.state, t.operation, t.code, t.field, t.reason, t.record, t.since, t.tried_at, t.next_at, t.attempts,
       t.record_id, m.source
from sync.cause_records(:cause) t left join sync.map m on m.id = t.map_id
order by t.since, t.record
limit :limit offset :offset;

-- name: records
-- The records of a flow in a state, or of all flows.
select m.name as flow, d.state, d.operation, d.code, d.field,
       coalesce(d.reason, array_to_string(d.waits_for, ', ')) as reason, d.record, d.since, d.tried_at, d.next_at,
       d.attempts, d.record_id, m.source
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = cast(:state as sync.delivery_state) and (cast(:flow as text) is null or m.name = :flow)
order by d.since, d.map_id, d.record_id
limit :limit offset :offset;

-- name: held_deletes
-- Deletes that wait for a decision, by entity set.
select system, entity_set, records, reason, since from sync.held where operation = 'delete'
order by since, system, entity_set limit 50;

-- name: held_delete_records
-- The records of one entity set whose deletes are held.
select p.record, p.record_id, p.reason, p.proposed_at
from sync.proposed_delete p
where p.state = 'held' and p.system = :system and p.entity_set = :entity_set
order by p.id limit :limit offset :offset;

-- name: held_updates
-- Updates of first deliveries that wait for a decision, by flow.
select flow, records, reason, since from sync.held where operation = 'update' order by since, flow limit 50;

-- name: conflicts
-- Fields that were changed on both sides.
select k.id, k.entity, k.record, k.field, k.system, k.base, k.held, k.since, c.common_id
from sync.conflicts k join sync.conflict c using (id)
order by k.since, k.id limit :limit offset :offset;

-- name: decided_conflicts
-- What became of earlier conflicts.
select k.id, k.entity, k.record, k.field, k.decided_by, k.decision, k.decided, k.decided_at
from sync.conflict k where k.state = 'decided'
order by k.id desc limit :limit offset :offset;

-- name: reads
-- How each entity set has been read.
select e.system, e.entity_set, e.read_at, e.whole_at, e.problem, e.problem_since, r.hinted_at, r.requests_today,
       r.rows_today, r.received_today, r.changed_today, r.requests_week
from sync.entity_set e join sync.reading r using (system, entity_set) order by e.system, e.entity_set limit 200;

-- name: snapshots
-- The reads that changed something.
select s.id, s.system, s.entity_set, s.kind, s.started_at, s.finished_at, s.finished_at - s.started_at as took, s.rows,
       s.inserted, s.updated, s.deleted, s.held, s.quarantined
from sync.snapshot s order by s.id desc limit :limit offset :offset;

-- name: windows
-- Windows of the log.
select r.id, r.at, r.changes, r.records, r.marks from sync.run r order by r.id desc limit :limit offset :offset;

-- name: plans
-- Saved plans.
select p.id, p.at, p.by, p.entity, p.run_at, count(w.place) as writes, count(distinct w.request) as requests,
       count(*) filter (where w.outcome = 'sent') as sent
from sync.plan p left join sync.planned w on w.plan_id = p.id
group by p.id order by p.id desc limit :limit offset :offset;

-- name: plan
-- One saved plan.
select p.id, p.at, p.by, p.entity, p.run_at, p.stays,
       (select count(*) from sync.planned w where w.plan_id = p.id) as writes,
       (select count(distinct w.request) from sync.planned w where w.plan_id = p.id) as requests
from sync.plan p where p.id = :id;

-- name: planned
-- The writes of a saved plan, in order.
select w.place, w.request, w.flow, w.operation, w.record, w.key, w.fields, w.outcome
from sync.planned w where w.plan_id = :id order by w.place limit :limit offset :offset;

-- name: decisions
-- What people decided.
select d.id, d.at, d.by, d.action, d.what, d.record, d.records, d.reason
from sync.decision d order by d.id desc limit :limit offset :offset;
