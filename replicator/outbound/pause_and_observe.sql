-- name: paused
-- Is the flow paused, or its system, or the direction?
select sync.is_paused(cast(:map_id as smallint));

-- name: put_back
-- They were not sent: as if they had not been claimed.
update sync.delivery d
set state = 'pending', claimed = null
where d.map_id = :map_id and d.state = 'in_flight' and d.record_id = any(:ids);

-- name: mode
-- Is the flow only observed?
select mode from sync.map where id = :map_id;
