-- The views of schema sync that people read.

create view sync.blocked as
select m.name as map, d.record, d.waits_for, d.operation, d.since, d.tried_at, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'blocked';
comment on view sync.blocked is
    'Records that wait, and what each of them waits for; operation update: it is there, but not complete yet';

create view sync.failed as
select m.name as map, d.record, d.state, d.operation, d.field, d.code, d.reason, d.attempts, d.tried_at, d.next_at,
       d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in ('failed', 'unknown', 'rejected', 'reported', 'held')
union all
select r.system || '.' || r.entity_set, r.record, 'rejected', 'snapshot', r.field, null, r.reason, 1, r.at, null,
       r.at, null
from sync.rejected r;
comment on view sync.failed is 'Records that did not arrive, with the reason; retried by itself where next_at is set';

create view sync.not_eligible as
select m.name as map, d.record, d.reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'not_eligible';
comment on view sync.not_eligible is 'Records that a map leaves out, and why';

create view sync.held as
select system, entity_set, count(*) as records, min(reason) as reason, min(proposed_at) as since
from sync.proposed_delete where state = 'held'
group by system, entity_set;
comment on view sync.held is 'Deletes that wait for a decision: sync.approve_deletes or sync.reject_deletes';

create view sync.put_aside as
select system, entity_set, count(distinct coalesce(key, id::text)) as records, min(reason) as reason, min(at) as since
from sync.rejected
group by system, entity_set;
comment on view sync.put_aside is 'Records that snapshots could not take in, by entity set; sync.rejected has the rows';

create view sync.amended as
select m.name as map, a.record_id, a.field, a.sent, a.stored, a.at
from sync.accepted a join sync.map m on m.id = a.map_id
where a.sent is distinct from a.stored;
comment on view sync.amended is 'What a target made of the values it was sent';

create view sync.conflicts as
select k.id, k.entity, k.record, k.field, k.system, k.base, k.held ->> 'common' as common, k.held ->> k.system as value,
       k.held, k.since
from sync.conflict k where k.state = 'open';
comment on view sync.conflicts is 'Fields that were changed on both sides, and wait for a person: sync.resolve';

create view sync.window_holder as
select pid, usename, application_name, state, xact_start, sync.now() - xact_start as age
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
order by xact_start limit 1;
comment on view sync.window_holder is 'The oldest writing transaction: its own changes are not in the log''s window yet';

create view sync.problems as
select system, entity_set, problem, problem_since as since, read_at as last_read
from sync.entity_set where problem is not null;
comment on view sync.problems is 'Entity sets that cannot be read, and why';
