-- name: recover
-- Records that were in flight when a daemon died: nobody knows what became of them.
update sync.delivery d set state = 'unknown', next_at = null, reason = 'the daemon stopped while the request was under way'
from sync.map m where m.id = d.map_id and m.system = :system and d.state = 'in_flight';

-- name: ready
-- Has the target set, and each set its map reads in that system, been read whole at least once?
select entity_set from sync.entity_set where system = :system and whole_at is not null;

-- name: earlier
-- What is known of earlier tries of the claimed records: whether a person asked for one, and the keys that were sent.
select d.record_id, d.asked, d.identity from sync.delivery d join claim c using (record_id)
where d.map_id = :map_id and (d.asked or d.identity is not null);

-- name: unopened
-- A map whose first delivery has not been let through, unless it is only observed, and how many of its updates are held
-- already. Nobody approves it meanwhile.
select m.opened_at is null and m.mode <> 'observe' as closed,
       (select count(*) from sync.delivery d where d.map_id = m.id and d.state = 'held') as held
from sync.map m where m.id = :map_id for no key update;

-- name: open
-- The first delivery is within the budget: from here on updates go out as they come.
update sync.map set opened_at = sync.now() where id = :map_id;

-- name: in_flight
-- From here on these records are under way; the keys of what is created are stored before the first request.
update sync.delivery d
set state = 'in_flight', claimed = d.marked, tried_at = sync.now(), next_at = null, record = o.record,
    operation = o.operation, identity = o.identity, reason = null, field = null, code = null, waits_for = null
from jsonb_to_recordset(cast(:deliveries as jsonb))
     as o(record_id bigint, record text, operation text, identity jsonb)
where d.map_id = :map_id and d.record_id = o.record_id;

-- name: unknown
-- Records whose last request was not answered, once their pause is over.
select record_id, identity, attempts from sync.delivery
where map_id = :map_id and state = 'unknown' and (next_at is null or next_at <= sync.now())
order by record_id limit :limit;

-- name: looked_up
-- The record has been looked up; it is decided again.
update sync.delivery set state = 'pending', next_at = null
where map_id = :map_id and state = 'unknown' and record_id = any(:ids);
