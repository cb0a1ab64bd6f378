-- name: read
-- Whether the entity set of the roots has been read at all: records of common alone wait for nobody.
select exists (select from sync.entity_set
               where system = :system and entity_set = :root and read_at is not null) as root_read;

-- name: hold_still
-- Whether both sets can be kept from moving on, and the parts were read at or after the roots.
with kept as (
    select entity_set, read_at from sync.entity_set where system = :system and entity_set in (:root, :part)
    for share skip locked
)
select coalesce((select read_at from kept where entity_set = :part)
                >= (select read_at from kept where entity_set = :root), false) as in_order;
