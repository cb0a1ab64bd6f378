-- name: applied
-- Done, unless it was marked again meanwhile, or sent without something.
delete from sync.delivery
where map_id = :map_id and record_id = any(:ids) and marked = claimed and record_id <> all(:incomplete);

-- name: applied_in_part
-- What is left of them stays to be looked at. A statement of its own, after the other: one that waited there for
-- somebody who was marking a record sees the mark only here.
update sync.delivery set state = 'pending', attempts = 0, identity = null, asked = false
where map_id = :map_id and record_id = any(:ids) and state = 'in_flight';

-- name: read_back
-- Done, and what the system made of it has to be read: until then the record is neither in step nor sent again.
update sync.delivery d
set state = 'unknown', identity = o.identity, attempts = 0, next_at = null, asked = false,
    reason = 'applied; what the system stored is still to be read'
from jsonb_to_recordset(cast(:deliveries as jsonb)) as o(record_id bigint, identity jsonb)
where d.map_id = :map_id and d.record_id = o.record_id;

-- name: not_applied
-- What went wrong with each record, and when it is tried again (never by itself where next_at is null). What has been
-- decided otherwise meanwhile stays so. A person's wish to try again ends with a refusal, but that to create: else it
-- would count for whatever happens to the record later.
update sync.delivery d
set state = case when d.marked is distinct from d.claimed and o.state = 'rejected' then 'pending'
                 else cast(o.state as sync.delivery_state) end,
    reason = o.reason, code = o.code, field = o.field, attempts = d.attempts + 1,
    asked = d.asked and not (o.state = 'rejected' and d.operation is distinct from 'create'),
    next_at = case when o.pause is null then null else sync.now() + make_interval(secs => o.pause) end
from jsonb_to_recordset(cast(:outcomes as jsonb))
     as o(record_id bigint, state text, reason text, code text, field text, pause double precision)
where d.map_id = :map_id and d.record_id = o.record_id and d.state in ('in_flight', 'unknown');

-- name: keep_identity
-- How often a record has been created so far goes with it.
update sync.delivery d set identity = o.identity
from jsonb_to_recordset(cast(:outcomes as jsonb)) as o(record_id bigint, identity jsonb)
where d.map_id = :map_id and d.record_id = o.record_id;

-- name: attempts
-- How often each of these records has been tried.
select record_id, attempts from sync.delivery where map_id = :map_id and record_id = any(:ids);

-- name: forget_accepted
-- What the target made of earlier values counts no more, for each record of the fields that it was sent with.
delete from sync.accepted a
using jsonb_to_recordset(cast(:sent as jsonb)) as s(ids bigint[], fields text[])
where a.map_id = :map_id and a.record_id = any(s.ids) and a.field = any(s.fields);
