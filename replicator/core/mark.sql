-- name: as_changed
-- Mirror rows in the form of a window, as if they had just been inserted.
create temporary table changed on commit drop as
select cast(cast(:mirror as regclass) as oid) as relation, record_id, cast(0 as bigint) as seq, 'I' as operation
from unnest(cast(:ids as bigint[])) as record_id;

-- name: changed_done
-- The window is done with, where there is one.
drop table if exists changed;
