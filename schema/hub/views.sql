-- The views of schema sync that people read.

create view sync.blocked as
select m.name as map, d.record, d.waits_for, d.operation, d.since, d.tried_at, d.record_id, d.code, d.field,
       sync.cause_of(m, d) as cause
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'blocked';
comment on view sync.blocked is
    'Records that wait, and what each of them waits for; operation update: it is there, but not complete yet';

create view sync.failed as
select m.name as map, d.record, d.state, d.operation, d.field, d.code, d.reason, d.attempts, d.tried_at, d.next_at,
       d.since, d.record_id,
       sync.cause_of(m, d) as cause
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in ('failed', 'unknown', 'rejected', 'reported', 'held')
union all
select r.system || '.' || r.entity_set, r.record, 'rejected', 'snapshot', r.field, 'snapshot', r.reason, 1, r.at, null,
       r.at, null, sync.cause(r.system, r.system || '.' || r.entity_set, 'rejected', 'snapshot', r.field, r.reason, null)
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
comment on view sync.held is 'Deletes that wait for a decision: sync.approve or sync.reject';

create view sync.skipped as
select m.name as map, d.record, substr(d.operation, 5) as state_before, d.field, d.code,
       coalesce(d.reason, array_to_string(d.waits_for, ', ')) as reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'skipped';
comment on view sync.skipped is 'Records that somebody decided to leave as they are; sync.retry takes that back';

create view sync.observed as
select m.name as map, d.record, d.operation, d.reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'observed';
comment on view sync.observed is 'What flows in mode observe would write';

create view sync.trouble as
select sync.cause_of(m, d) as cause, m.system, m.name as flow, d.state::text as state,
       case d.state when 'skipped' then substr(d.operation, 5) else d.state::text end as state_before, d.operation,
       d.code, d.field, coalesce(d.reason, array_to_string(d.waits_for, ', ')) as reason, d.waits_for, d.record,
       d.since, d.tried_at, d.next_at, d.attempts, d.map_id, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in ('failed', 'unknown', 'rejected', 'reported', 'held', 'blocked', 'skipped')
union all
select sync.cause(r.system, r.system || '.' || r.entity_set, 'rejected', 'snapshot', r.field, r.reason, null),
       r.system, r.system || '.' || r.entity_set, 'rejected', 'rejected', 'snapshot', 'snapshot', r.field, r.reason,
       null, r.record, r.at, r.at, null, 1, null, null
from sync.rejected r
union all
select sync.cause(p.system, p.system || '.' || p.entity_set, 'held', 'deletes', null, p.reason, null),
       p.system, p.system || '.' || p.entity_set, 'held', 'held', 'delete', 'deletes', null, p.reason, null,
       p.record, p.proposed_at, p.proposed_at, null, 0, null, p.record_id
from sync.proposed_delete p where p.state = 'held';
comment on view sync.trouble is
    'Every record that did not arrive or is held, with the fingerprint of its cause; skipped ones keep that they had';

create view sync.causes as
select cause, min(system) as system, min(flow) as flow, min(state) as state, min(code) as code, min(field) as field,
       (array_agg(reason order by since, record_id))[1] as reason, count(*) as records, min(since) as since,
       max(tried_at) as last_tried, (array_agg(record order by since, record_id))[1] as record
from sync.trouble where state <> 'skipped'
group by cause;
comment on view sync.causes is
    'Failures by cause, with an example of reason and record; sync.cause_records lists the records behind';

create view sync.leader as
select l.holder, l.epoch, l.expires_at, l.expires_at > sync.now() as fresh
from sync.lease l where l.name = 'replicator';
comment on view sync.leader is 'Which replicator leads; not fresh: it has been silent for longer than its lease';

create view sync.systems as
select s.name as system, s.requests, s.budget_left, s.paused_until, s.at from sync.system s;
comment on view sync.systems is
    'Requests sent to each system since the replicator started, what it said is left, and its own pause';

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
where backend_xid is not null and pid <> pg_backend_pid() and datname = current_database()
order by xact_start limit 1;
comment on view sync.window_holder is 'The oldest writing transaction: its own changes are not in the log''s window yet';

create view sync.problems as
select system, entity_set, problem, problem_since as since, read_at as last_read
from sync.entity_set where problem is not null;
comment on view sync.problems is 'Entity sets that cannot be read, and why';
