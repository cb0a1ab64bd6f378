-- name: unknown
-- Records whose last request was not answered, once their pause is over.
select record_id, identity, attempts from sync.delivery
where map_id = :map_id and state = 'unknown' and (next_at is null or next_at <= sync.now())
order by record_id limit :limit;

-- name: looked_up
-- The record has been looked up; it is decided again.
update sync.delivery set state = 'pending', next_at = null
where map_id = :map_id and state = 'unknown' and record_id = any(:ids);
