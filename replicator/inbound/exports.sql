-- name: keep_export
-- By which export a set is read for the first time; null: by none any more.
insert into sync.entity_set (system, entity_set, export) values (:system, :entity_set, :export)
on conflict (system, entity_set) do update set export = excluded.export;

-- name: forget_etags
-- Those of a sweep before an export that is here, or will never be.
delete from sync.swept where system = :system and entity_set = :entity_set;
