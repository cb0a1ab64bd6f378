-- name: forget_all
-- Rows put aside by earlier reads: a whole read replaces them all.
delete from sync.rejected where system = :system and entity_set = :entity_set and at < :started
returning whole;

-- name: forget_some
-- Rows put aside earlier that this read brought in good order, put aside again, or showed as deleted.
delete from sync.rejected where system = :system and entity_set = :entity_set and at < :started and key = any(:keys)
returning whole;
