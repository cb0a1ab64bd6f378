-- name: begin
-- All that a read needs to know before its first request: what is visible at this moment, how far the set was read and
-- whether it is long ago that it was read whole, what people asked for, and whether a delete may go ahead.
select pg_current_snapshot()::text as moment, sync.now() as started, e.token,
       e.whole_at is null as is_first, e.export,
       e.whole_at < sync.now() - cast(:whole_every as interval) as whole_is_old,
       array(select record_id from sync.refetch r where (r.system, r.entity_set) = (n.system, n.entity_set)
             order by record_id) as asked,
       array(select at from sync.refetch r where (r.system, r.entity_set) = (n.system, n.entity_set)
             order by record_id) as asked_at,
       exists (select from sync.proposed_delete p where (p.system, p.entity_set) = (n.system, n.entity_set)
               and p.state in ('proposed', 'approved')) as deletes
from (select cast(:system as text) as system, cast(:entity_set as text) as entity_set) n
left join sync.entity_set e using (system, entity_set);

-- name: keep_idle
-- Sets of which nothing new was read: how far they were read, and when; parts were so later than their roots.
update sync.entity_set e
set token = idle.token, read_at = idle.at, quiet_reads = e.quiet_reads + 1, problem = null, problem_since = null,
    whole_at = case when idle.whole then sync.now() else e.whole_at end
from unnest(cast(:names as text[]), cast(:tokens as text[]), cast(:times as timestamptz[]), cast(:whole as boolean[]))
     as idle(entity_set, token, at, whole)
where e.system = :system and e.entity_set = idle.entity_set;

-- name: keep_problem
-- The set could not be read; what was read before stays as it is.
insert into sync.entity_set (system, entity_set, problem, problem_since)
values (:system, :entity_set, :problem, sync.now())
on conflict (system, entity_set) do update
set problem = excluded.problem, problem_since = coalesce(entity_set.problem_since, excluded.problem_since);
