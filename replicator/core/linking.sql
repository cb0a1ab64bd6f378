-- name: claimed
-- How many records are under way, the first and the last.
select count(*) as records, coalesce(min(record_id), 0) as first, coalesce(max(record_id), 0) as last from claim;

-- name: make
-- Those of many claimed records that may take over a pair, for one transaction; the session keeps the table.
create temporary table if not exists heir (record_id bigint primary key) on commit delete rows;

-- name: clear
-- Those of another map in the same transaction.
delete from heir;

-- name: analyze
-- How many they are.
analyze heir;
