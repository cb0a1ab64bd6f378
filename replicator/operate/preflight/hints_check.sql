-- name: silent
-- Entity sets of which a change was read long after the last hint, and after the system was asked to give some.
select e.entity_set, e.hinted_at, max(s.started_at) as changed_at
from sync.entity_set e join sync.snapshot s using (system, entity_set)
where e.system = :system and s.kind = 'changed' and s.inserted + s.updated + s.deleted > 0
group by e.system, e.entity_set
having max(s.started_at) > greatest(e.hinted_at, cast(:since as timestamptz)) + interval '10 minutes'
order by e.entity_set;
