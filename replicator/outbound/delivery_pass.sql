-- name: recover
-- Records that were in flight when a daemon died: nobody knows what became of them.
update sync.delivery d set state = 'unknown', next_at = null, reason = 'the daemon stopped while the request was under way'
from sync.map m where m.id = d.map_id and m.system = :system and d.state = 'in_flight';

-- name: ready
-- Has the target set, and each set its map reads in that system, been read whole at least once?
select entity_set from sync.entity_set where system = :system and whole_at is not null;

-- name: in_flight
-- From here on these records are under way; the keys of what is created are stored before the first request.
update sync.delivery d
set state = 'in_flight', claimed = d.marked, tried_at = sync.now(), next_at = null, record = o.record,
    operation = o.operation, identity = o.identity, reason = null, field = null, code = null, waits_for = null
from jsonb_to_recordset(cast(:deliveries as jsonb))
     as o(record_id bigint, record text, operation text, identity jsonb)
where d.map_id = :map_id and d.record_id = o.record_id;
