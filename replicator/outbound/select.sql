-- name: earlier
-- What is known of earlier tries of the claimed records: whether a person asked for one, and the keys that were sent.
select d.record_id, d.asked, d.identity from sync.delivery d join claim c using (record_id)
where d.map_id = :map_id and (d.asked or d.identity is not null);
