-- name: resting
-- Entity sets whose last read began less than so many seconds ago, and of which nobody wants anything before their time.
-- With each read that brings nothing the time doubles, up to what is given for quiet ones.
select e.entity_set
from sync.entity_set e
join unnest(cast(:names as text[]), cast(:seconds as bigint[]), cast(:quiet as bigint[]))
     as paced (entity_set, seconds, quiet) using (entity_set)
where e.system = :system and e.problem is null
  and e.read_at > sync.now() - make_interval(secs => least(paced.quiet, paced.seconds * 2.0 ^ least(e.quiet_reads, 20)))
  and (e.hinted_at > e.read_at) is not true
  and not exists (
      select from sync.refetch r where r.system = e.system and r.entity_set = e.entity_set
  )
  and not exists (
      select from sync.proposed_delete p
      where p.system = e.system and p.entity_set = e.entity_set and p.state in ('proposed', 'approved')
  );

-- name: hinted
-- Entity sets of which the system said that something changed, after the last read of each began.
select e.entity_set from sync.entity_set e where e.system = :system and e.hinted_at > e.read_at;
