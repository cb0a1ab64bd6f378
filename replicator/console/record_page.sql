-- name: find
-- The records that a kind and a key mean.
select entity, common_id, system, entity_set, mirror_id, record from sync.find(:kind, :key) limit 50;

-- name: common_of
-- The common records that a record of a system is paired with.
select entity, common_id from sync.pair
where system = :system and entity_set = :entity_set and mirror_id = :mirror_id and ended_at is null;

-- name: pairs
-- The records of the systems that a common record is paired with.
select system || '.' || entity_set as place, mirror_id from sync.pair
where entity = :entity and common_id = :common_id and ended_at is null order by system, entity_set;

-- name: key_of
-- By which key a record is found again.
select sync.key_of(:relation, cast(:number as bigint));

-- name: label_of
-- What people call a record.
select sync.label(:relation, cast(:number as bigint));

-- name: fields
-- The fields of some tables: what they are called, which column holds them, what they are to other tables.
select relation, name, column_name, reference, master, belongs_to ->> cast(:entity as text) as belongs_to
from sync.field where relation = any(:relations) order by relation, number;

-- name: becomes
-- The entity that records of an entity set become.
select min(entity) from sync.map where source = :relation and direction = 'in' and in_use;

-- name: maps
-- The maps between an entity and the systems, those of parts as well.
select name, direction, system, system || '.' || entity_set as place, view_name
from sync.map where entity = :entity and in_use order by rank, name;

-- name: parts
-- The records that are part of one, some of each kind.
select p.entity, p.id, p.record
from (
    select c.entity, x.record_id as id, sync.label(x.relation, x.record_id) as record,
           row_number() over (partition by c.entity order by x.record_id) as number
    from (select distinct relation, record_id from sync.part where entity = cast(:entity as text) and root_id = cast(:number as bigint)) x
    join sync.captured c on c.relation = x.relation and c.entity is not null
) p
where p.number <= :limit and p.record is not null order by p.entity, p.number;

-- name: deliveries
-- What is to do or wrong about a record, on its way from one table.
select m.name as flow, m.id as map_id, d.state, d.operation, d.code, d.field, d.reason, d.waits_for, d.record, d.since,
       d.tried_at, d.next_at, d.attempts
from sync.delivery d join sync.map m on m.id = d.map_id
where m.source = :table and d.record_id = :id and m.in_use order by m.rank, m.name;

-- name: amended
-- Values that a target stored otherwise than they were sent.
select m.target, a.field, a.sent
from sync.accepted a join sync.map m on m.id = a.map_id
where m.source = :table and a.record_id = :id and a.sent is distinct from a.stored;

-- name: conflicts
-- Open conflicts of a common record.
select k.id, k.field, k.system, k.base, k.held, k.since
from sync.conflict k where k.common_id = :common_id and k.entity = :entity and k.state = 'open' order by k.id;

-- name: held
-- Deletes of the record that wait for a decision.
select p.system || '.' || p.entity_set as entity_set, p.record, p.reason, p.proposed_at
from sync.proposed_delete p
where p.state = 'held' and p.system = :system and p.entity_set = :entity_set and p.record_id = :mirror_id;

-- name: quarantined
-- Rows of the record that a read could not take in.
select r.field, r.reason, r.at from sync.quarantine r
where r.system = :system and r.entity_set = :entity_set and r.key = :key;

-- name: explain
-- Why the record is as it is.
select place, depth, topic, record, state, at, said, next, cause from sync.explain(:kind, :key) order by place;

-- name: history
-- How the record came to be as it is.
select at, place, operation, origin, field, before, after from sync.history(:kind, :key)
order by at desc nulls last, place, field limit :limit offset :offset;
