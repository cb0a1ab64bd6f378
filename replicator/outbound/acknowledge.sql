-- name: applied
-- Done, unless it was marked again meanwhile, or sent without something: then it stays to be looked at.
with done as (
    delete from sync.delivery
    where map_id = :map_id and record_id = any(:ids) and marked = claimed and record_id <> all(:incomplete)
    returning record_id
), noted as (
    update sync.map set last_success_at = sync.now() where id = :map_id
)
update sync.delivery set state = 'pending', attempts = 0, identity = null
where map_id = :map_id and record_id = any(:ids)
  and (marked is distinct from claimed or record_id = any(:incomplete));

-- name: not_applied
-- What went wrong with each record, and when it is tried again (never by itself where next_at is null).
update sync.delivery d
set state = case when d.marked is distinct from d.claimed and o.state = 'rejected' then 'pending'
                 else cast(o.state as sync.delivery_state) end,
    reason = o.reason,
    operation = case when o.state = 'failed' and d.code in ('retry', 'approved') then d.code else d.operation end,
    code = case when o.state = 'unknown' then d.code else o.code end, field = o.field, attempts = d.attempts + 1,
    next_at = case when o.pause is null then null else sync.now() + make_interval(secs => o.pause) end
from jsonb_to_recordset(cast(:outcomes as jsonb))
     as o(record_id bigint, state text, reason text, code text, field text, pause double precision)
where d.map_id = :map_id and d.record_id = o.record_id;

-- name: attempts
-- How often each of these records has been tried.
select record_id, attempts from sync.delivery where map_id = :map_id and record_id = any(:ids);

-- name: forget_accepted
-- What the target made of earlier values counts no more.
delete from sync.accepted where map_id = :map_id and record_id = any(:ids) and field = any(:fields);
