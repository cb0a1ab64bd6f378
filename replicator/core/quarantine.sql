-- name: forget_all
-- Rows quarantined by earlier reads: a whole read replaces them all.
delete from sync.quarantine where system = :system and entity_set = :entity_set and at < :started
returning root_key;

-- name: forget_some
-- Rows quarantined earlier that this read brought in good order, quarantined again, or showed as deleted.
delete from sync.quarantine where system = :system and entity_set = :entity_set and at < :started and key = any(:keys)
returning root_key;
