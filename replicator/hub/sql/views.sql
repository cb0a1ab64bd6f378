-- The views of schema sync that people read.

create view sync.blocked as
select m.name as flow, d.record, d.waits_for, d.operation, d.since, d.tried_at, d.record_id, d.code, d.field,
       sync.cause_of(m, d) as cause
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'blocked';
comment on view sync.blocked is
    'Records that wait, and what each of them waits for; operation update: it is there, but not complete yet';

create function sync.orphaned_because() returns text language sql immutable as $$
    select 'found when the hub was restored: paired with nothing, and no record that is known has its key'
$$;
comment on function sync.orphaned_because is 'Why a record of a target is orphaned, in words';

create function sync.orphaned_cause(of_system text, of_entity_set text) returns text language sql immutable as $$
    select sync.cause(of_system, of_system || '.' || of_entity_set, 'orphaned', null, null, sync.orphaned_because(), null)
$$;
comment on function sync.orphaned_cause is 'The cause that the orphaned records of an entity set share';

create view sync.orphaned as
select o.system, o.entity_set, count(*) as records, min(o.since) as since
from sync.orphans o where o.decided_at is null group by o.system, o.entity_set;
comment on view sync.orphaned is
    'Records of targets that a restored hub found and does not know, by entity set; sync.orphans has the records';
comment on column sync.orphaned.since is 'When they were noticed';

create view sync.failed as
select m.name as flow, d.record, d.state::text as state, d.operation, d.field, d.code, d.reason, d.attempts, d.tried_at, d.next_at,
       d.since, d.record_id,
       sync.cause_of(m, d) as cause
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in (@{states_failures})
union all
select r.system || '.' || r.entity_set, r.record, 'quarantined', 'snapshot', r.field, 'snapshot', r.reason, 1, r.at, null,
       r.at, null, sync.cause(r.system, r.system || '.' || r.entity_set, 'quarantined', 'snapshot', r.field, r.reason, null)
from sync.quarantine r
union all
select o.system || '.' || o.entity_set, o.record, 'orphaned', 'none', null, null, sync.orphaned_because(), 0, o.since, null,
       o.since, o.record_id, sync.orphaned_cause(o.system, o.entity_set)
from sync.orphans o where o.decided_at is null;
comment on view sync.failed is 'Records that did not arrive, with the reason; retried by itself where next_at is set';
comment on column sync.failed.operation is
    'What was to be done: create, update, delete; snapshot: a row that could not be taken in';

create view sync.not_eligible as
select m.name as flow, d.record, d.reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'not_eligible';
comment on view sync.not_eligible is 'Records that a map leaves out, and why';

create view sync.held as
select p.system || '.' || p.entity_set as flow, 'delete' as operation, p.system, p.entity_set, count(*) as records,
       min(p.reason) as reason, min(p.proposed_at) as since
from sync.proposed_delete p where p.state = 'held'
group by p.system, p.entity_set
union all
select m.name, 'update', m.system, m.entity_set, count(*), min(d.reason), min(d.since)
from sync.delivery d join sync.map m on m.id = d.map_id where d.state = 'held'
group by m.name, m.system, m.entity_set;
comment on view sync.held is 'Deletes and updates that wait for a decision: sync.approve or sync.reject, by flow';
comment on column sync.held.flow is 'What to decide about: a flow, or of deletes system.EntitySet';
comment on column sync.held.operation is 'What waits: delete or update';
comment on column sync.held.since is 'When the first of them was proposed or marked';

create view sync.skipped as
select m.name as flow, d.record, substr(d.operation, 5) as state_before, d.field, d.code,
       coalesce(d.reason, array_to_string(d.waits_for, ', ')) as reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'skipped'
union all
select o.system || '.' || o.entity_set, o.record, 'orphaned', null, null, sync.orphaned_because(), o.since, o.record_id
from sync.orphans o where o.decided_at is not null;
comment on view sync.skipped is 'Records that somebody decided to leave as they are; sync.retry takes that back';
comment on column sync.skipped.state_before is 'How it stood when it was skipped';

create view sync.observed as
select m.name as flow, d.record, d.operation, d.reason, d.since, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'observed';
comment on view sync.observed is 'What flows in mode observe would write';

create view sync.trouble as
select sync.cause_of(m, d) as cause, m.system, m.name as flow, d.state::text as state,
       case d.state when 'skipped' then substr(d.operation, 5) else d.state::text end as state_before, d.operation,
       d.code, d.field, coalesce(d.reason, array_to_string(d.waits_for, ', ')) as reason, d.waits_for, d.record,
       d.since, d.tried_at, d.next_at, d.attempts, d.map_id, d.record_id
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in (@{states_trouble}, 'skipped')
union all
select sync.cause(r.system, r.system || '.' || r.entity_set, 'quarantined', 'snapshot', r.field, r.reason, null),
       r.system, r.system || '.' || r.entity_set, 'quarantined', 'quarantined', 'snapshot', 'snapshot', r.field, r.reason,
       null, r.record, r.at, r.at, null, 1, null, null
from sync.quarantine r
union all
select sync.cause(p.system, p.system || '.' || p.entity_set, 'held', 'deletes', null, p.reason, null),
       p.system, p.system || '.' || p.entity_set, 'held', 'held', 'delete', 'deletes', null, p.reason, null,
       p.record, p.proposed_at, p.proposed_at, null, 0, null, p.record_id
from sync.proposed_delete p where p.state = 'held'
union all
select sync.orphaned_cause(o.system, o.entity_set), o.system, o.system || '.' || o.entity_set,
       case when o.decided_at is null then 'orphaned' else 'skipped' end, 'orphaned', 'none', null, null,
       sync.orphaned_because(), null, o.record, o.since, o.since, null, 0, null, o.record_id
from sync.orphans o;
comment on view sync.trouble is
    'Every record that did not arrive or is held, with the fingerprint of its cause; skipped ones keep that they had';
comment on column sync.trouble.flow is
    'The flow; of rows that could not be taken in and of held deletes system.EntitySet';
comment on column sync.trouble.state_before is 'Of a skipped record how it stood before; else as state';
comment on column sync.trouble.operation is
    'What was to be done: create, update, delete; snapshot: a row that could not be taken in';

create view sync.causes as
select cause, min(system) as system, min(flow) as flow, min(state) as state, min(code) as code, min(field) as field,
       (array_agg(reason order by since, record_id))[1] as reason, count(*) as records, min(since) as since,
       max(tried_at) as last_tried, (array_agg(record order by since, record_id))[1] as record,
       (array_agg(record_id order by since, record_id))[1] as record_id
from sync.trouble where state <> 'skipped'
group by cause;
comment on view sync.causes is
    'Failures by cause, with an example of reason and record; sync.cause_records lists the records behind';
comment on column sync.causes.flow is
    'The flow; of rows that could not be taken in and of held deletes system.EntitySet';
comment on column sync.causes.reason is 'In words; of one of the records';
comment on column sync.causes.since is 'When the first of its records was marked';
comment on column sync.causes.last_tried is 'When one of them was last decided or sent';
comment on column sync.causes.record is 'One of the records';
comment on column sync.causes.record_id is 'Its id in the source of the flow; null for a row that could not be taken in';

create view sync.leader as
select l.holder, l.epoch, l.expires_at, l.expires_at > sync.now() as fresh, l.goes_on
from sync.lease l where l.name = 'replicator';
comment on view sync.leader is 'Which replicator leads; not fresh: it has been silent for longer than its lease';
comment on column sync.leader.holder is 'The host and process that leads, or led last';
comment on column sync.leader.epoch is 'Raised by every takeover';
comment on column sync.leader.expires_at is 'Until then nobody else may lead';
comment on column sync.leader.fresh is 'Whether it leads still';
comment on column sync.leader.goes_on is 'Whether it was to work until it is stopped: where it leads no more, it is missed';

create view sync.systems as
select s.name as system, s.requests, s.budget_left,
       case when s.paused_until > sync.now() then s.paused_until end as paused_until, s.at
from sync.system s;
comment on view sync.systems is
    'Requests sent to each system since the replicator started, what it said is left, and its own pause';
comment on column sync.systems.requests is 'Requests sent since the replicator started';
comment on column sync.systems.budget_left is 'Requests that the system said are left; null: it never did';
comment on column sync.systems.paused_until is 'The system asked for a pause until then';
comment on column sync.systems.at is 'When this was noted';

create view sync.reading as
select e.system, e.entity_set, e.read_at, e.whole_at, e.hinted_at,
       coalesce(c.reads_today, 0) as reads_today, coalesce(c.requests_today, 0) as requests_today,
       coalesce(c.rows_today, 0) as rows_today, coalesce(c.received_today, 0) as received_today,
       coalesce(c.changed_today, 0) as changed_today, coalesce(c.requests_week, 0) as requests_week,
       coalesce(c.received_week, 0) as received_week, coalesce(c.changed_week, 0) as changed_week
from sync.entity_set e
left join lateral (
    select sum(r.reads) filter (where is_today) as reads_today, sum(r.requests) filter (where is_today) as requests_today,
           sum(r.rows) filter (where is_today) as rows_today, sum(r.received) filter (where is_today) as received_today,
           sum(r.changed) filter (where is_today) as changed_today, sum(r.requests) as requests_week,
           sum(r.received) as received_week, sum(r.changed) as changed_week
    from sync.read_cost r cross join lateral (select r.day = sync.now()::date) today (is_today)
    where r.system = e.system and r.entity_set = e.entity_set and r.day > sync.now()::date - 7
) c on true;
comment on view sync.reading is 'When each entity set was read, and what that cost today and in the last seven days; days are in sync.read_cost';
comment on column sync.reading.read_at is 'When it was last read at all';
comment on column sync.reading.whole_at is 'When it was last read whole';
comment on column sync.reading.hinted_at is 'When its system last said that something changed in it';
comment on column sync.reading.reads_today is 'How often it was read, also where that failed';
comment on column sync.reading.requests_today is 'Requests for it, those for credentials apart';
comment on column sync.reading.rows_today is 'Rows that were shown, if only by key and etag';
comment on column sync.reading.received_today is 'Bytes that came, as they went over the wire';
comment on column sync.reading.changed_today is 'Records that were new, other ones or gone';
comment on column sync.reading.requests_week is 'The same of seven days, today among them';
comment on column sync.reading.received_week is 'The same of seven days, today among them';
comment on column sync.reading.changed_week is 'The same of seven days, today among them';

create view sync.quarantined as
select system, entity_set, count(distinct coalesce(key, id::text)) as records, min(reason) as reason, min(at) as since
from sync.quarantine
group by system, entity_set;
comment on view sync.quarantined is 'Records that snapshots could not take in, by entity set; sync.quarantine has the rows';
comment on column sync.quarantined.reason is 'In words; of one of the records';
comment on column sync.quarantined.since is 'When the first of them was read';

create view sync.amended as
select m.name as flow, a.record_id, a.field, a.sent, a.stored, a.at
from sync.accepted a join sync.map m on m.id = a.map_id
where a.sent is distinct from a.stored;
comment on view sync.amended is 'What a target made of the values it was sent';
comment on column sync.amended.field is 'Column of the target';
comment on column sync.amended.sent is 'The value that was to be stored, as text';
comment on column sync.amended.stored is 'The value that the target made of it, as text';
comment on column sync.amended.at is 'When the target answered';

create view sync.conflicts as
select k.id, k.entity, k.record, k.field, k.system, k.base, k.held ->> 'common' as common, k.held ->> k.system as value,
       k.held, k.since
from sync.conflict k where k.state = 'open';
comment on view sync.conflicts is 'Fields that were changed on both sides, and wait for a person: sync.resolve';
comment on column sync.conflicts.id is 'Number of the conflict, for sync.resolve';
comment on column sync.conflicts.field is 'Column of the common table';
comment on column sync.conflicts.system is 'The system whose change met another one in common';
comment on column sync.conflicts.base is 'The value before both changes; null where the two never agreed';
comment on column sync.conflicts.common is 'What common holds, as text';
comment on column sync.conflicts.value is 'What that system holds, as text';
comment on column sync.conflicts.held is 'What common and each linked system hold, by name, as text';
comment on column sync.conflicts.since is 'When it was noticed';

-- Who holds something back is seen by readers too, and of sessions nothing more: not what they ask.
create function sync.sessions()
    returns table (pid integer, usename name, application_name text, state text, xact_start timestamptz, writes boolean)
    language sql stable as $$
    select a.pid, a.usename, a.application_name, a.state, a.xact_start, a.backend_xid is not null
    from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()
$$;
comment on function sync.sessions is 'The other sessions of the hub: who, and since when in a transaction';

create view sync.window_holder as
select s.pid, s.usename, s.application_name, s.state, s.xact_start, sync.now() - s.xact_start as age
from sync.sessions() s where s.writes
order by s.xact_start limit 1;
comment on view sync.window_holder is 'The oldest writing transaction: its own changes are not in the log''s window yet';
comment on column sync.window_holder.pid is 'The server process';
comment on column sync.window_holder.usename is 'The login';
comment on column sync.window_holder.application_name is 'What the program calls itself';
comment on column sync.window_holder.state is 'What its session is doing';
comment on column sync.window_holder.xact_start is 'When the transaction began';
comment on column sync.window_holder.age is 'How long ago that was';

create view sync.lock_holders as
select s.pid, s.usename, s.application_name, s.state
from sync.sessions() s
where not sync.is_replicator(s.usename)
  and exists (select from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()
              where l.pid = s.pid and l.locktype = 'advisory' and l.granted and l.classid = 0 and l.objsubid = 1
                -- Its locks are those of its tables, and of the schema while it is migrated.
                and (l.objid = 'sync'::regnamespace or l.objid in (select c.oid from pg_class c)));
comment on view sync.lock_holders is
    'Sessions that hold locks of the replicator and are none of its own: it can neither lead nor write, nor be migrated';
comment on column sync.lock_holders.pid is 'The server process; pg_terminate_backend ends it';
comment on column sync.lock_holders.usename is 'The login';
comment on column sync.lock_holders.application_name is 'What the program calls itself';
comment on column sync.lock_holders.state is 'What its session is doing';

-- Work that is no delivery yet. No more is counted than tells few from many.
create view sync.under_way as
select 'change' as what, count(*) as records, min(c.at) as since, 'looked at with the next cycle' as next
from sync.consumer k cross join lateral (
    select l.at from log.change l
    where l.txid >= pg_snapshot_xmin(k.snapshot) and not pg_visible_in_snapshot(l.txid, k.snapshot) limit 10000
) c
where k.name = 'replicator' having count(*) > 0
union all
select 'delete', count(*), min(coalesce(p.decided_at, p.proposed_at)), 'goes ahead with the next read'
from sync.proposed_delete p where p.state in ('proposed', 'approved') having count(*) > 0;
comment on view sync.under_way is 'What is to be done and has no delivery yet';
comment on column sync.under_way.what is 'change: of the log, and nobody has looked at it; delete: approved or within the budget';
comment on column sync.under_way.records is 'How many; of changes 10000 at most';
comment on column sync.under_way.since is 'When the first of them was made, proposed or decided';
comment on column sync.under_way.next is 'What becomes of it';

create view sync.problems as
select system, entity_set, problem, problem_since as since, read_at as last_read
from sync.entity_set where problem is not null;
comment on view sync.problems is 'Entity sets that cannot be read, and why';
comment on column sync.problems.problem is 'Why the last read failed';
comment on column sync.problems.since is 'When a read first failed';
comment on column sync.problems.last_read is 'When the last read that went well began';
