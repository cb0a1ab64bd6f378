-- name: flows
-- How every flow stands, and between what it goes.
select s.*, m.direction, m.system, m.entity, m.entity_set
from sync.status s join sync.map m on m.name = s.flow
order by s.rank, s.flow;

-- name: systems
-- What is known of each system's patience.
select m.system, s.requests, s.budget_left, s.paused_until, s.at, s.paused_until > sync.now() as waiting
from (select distinct system from sync.map where in_use) m left join sync.systems s using (system)
order by m.system;

-- name: leader
-- Who leads.
select holder, expires_at, fresh from sync.leader;

-- name: holder
-- The transaction that holds its changes back longest, when it is old enough to matter.
select pid, usename, application_name, state, xact_start, age from sync.window_holder where age > interval '10 seconds';

-- name: lock_holders
-- Sessions of others that hold the replicator's locks.
select pid, usename, application_name, state from sync.lock_holders order by pid limit 20;

-- name: problems
-- Entity sets that cannot be read.
select system, entity_set, problem, since, last_read from sync.problems order by since limit 20;

-- name: pauses
-- What stands still on purpose.
select scope, at, by, reason from sync.pause order by at limit 50;

-- name: causes
-- The causes that concern most, and how many causes of failure there are: counted here, for the view reads every failure.
select cause, system, flow, state, code, field, reason, records, since, record,
       count(*) filter (where state <> 'held') over () as causes
from sync.causes where state <> 'blocked' order by records desc, since limit 5;

-- name: totals
-- What waits for a person.
select (select count(*) from sync.delivery where state = 'blocked') as blocked,
       (select count(*) from sync.conflict where state = 'open') as conflicts,
       (select count(*) from sync.proposed_delete where state = 'held')
           + (select count(*) from sync.delivery where state = 'held') as held;

-- name: movement
-- Changes read from the log in each of the last sixty minutes; minute 0 is this one.
select floor(extract(epoch from sync.now() - at) / 60)::integer as minute, sum(changes)::bigint as changes,
       sum(marks)::bigint as marks
from sync.run
where id > (select max(id) - 20000 from sync.run) and at > sync.now() - interval '60 minutes'
group by 1 order by 1;
