-- name: drop
-- A stage left by an earlier read.
drop table if exists stage;

-- name: without_id
-- The mirror numbers its own rows.
alter table stage drop column id;
