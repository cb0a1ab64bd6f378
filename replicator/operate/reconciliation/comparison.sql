-- name: make
-- What a comparison finds; of the session, so that it is worked on and read piece by piece.
create temporary table if not exists difference (
    id bigint generated always as identity, kind text not null, explained boolean not null, flow text not null, map text,
    map_id smallint, record_id bigint, record text, action text, source_id bigint, target_id bigint, fields jsonb,
    version jsonb, state text, reason text, waits_for text[], others bigint[],
    system_key text
);
create temporary table if not exists unmatched (
    entity_set text not null, mirror_id bigint not null, record text, system_key text, parted_at timestamptz
);
create temporary table if not exists known_version (entity_set text not null, id bigint not null, etag text);
create temporary table if not exists asked (map_id smallint not null, record_id bigint not null, differs boolean not null);
truncate known_version, asked;

-- name: clear
-- Before a comparison.
truncate difference, unmatched;

-- name: duplicates
-- Keys that several records of a target bear, unless the source record that finds them so says it already.
insert into difference (kind, explained, flow, record, target_id, reason, others)
select 'duplicate', false, s.entity_set, s.record, s.linked[1],
       format('%s records bear the key %s, %s of them %s paired', cardinality(s.mirror_ids), s.key, cardinality(s.linked),
              case cardinality(s.linked) when 1 then 'is' else 'are' end),
       s.mirror_ids
from (select system || '.' || entity_set as entity_set, record, key, mirror_ids, linked from sync.duplicates) s
where s.entity_set = any(:sets)
  and not exists (select from difference d where d.kind = 'duplicate' and d.others && s.mirror_ids);

-- name: unmatched
-- Records of targets that were never paired, and are no duplicates and no candidates either.
insert into unmatched
select s.entity_set, s.mirror_id, s.record, s.system_key, s.parted_at
from (select system || '.' || entity_set as entity_set, mirror_id, record, system_key, parted_at from sync.unlinked) s
where s.entity_set = any(:sets) and s.mirror_id not in (
    select unnest(d.others) from difference d left join sync.map m on m.name = d.map
    where coalesce(m.system || '.' || m.entity_set, d.flow) = s.entity_set
);

-- name: ask
-- The records that are to be repaired, what was reported of their targets included, and those that only have to be
-- looked at for a row to say why they differ.
insert into asked
select map_id, record_id, bool_or(not explained or reported) from (
    select *, state = 'reported' and action <> 'left behind' as reported from difference
) d
where map_id is not null and (not explained or reported or state is null or state = 'pending')
group by map_id, record_id;

-- name: to_repair
-- How many records are to be repaired.
select count(*) from asked where differs;

-- name: not_repaired
-- How many of these differ still.
select count(*) from asked a
where a.differs and exists (select from difference d where not d.explained and d.map_id = a.map_id and d.record_id = a.record_id);

-- name: mark
-- Mark them as if a person had asked for each: what a target lost is created again, what drifted there is put back.
insert into sync.delivery as d (map_id, record_id, asked, since)
select map_id, record_id, true, sync.now() from asked
on conflict (map_id, record_id) do update
set state = 'pending', asked = true, marked = d.marked + 1, next_at = null, attempts = 0
where d.state not in ('in_flight', 'unknown');

-- name: counts
-- How many differences of each kind; apart, how many records a row explains: a root goes with its parts.
select kind, explained, case when explained then count(distinct (map_id, record_id)) else count(*) end as records
from difference group by kind, explained order by kind;

-- name: list
-- The differences that nothing explains, by the order in which their flows go.
select d.kind, d.flow, d.map, d.record, d.action, d.fields, d.version, d.state, d.reason, d.waits_for, d.system_key,
       m.direction, m.system, m.entity_set, m.entity
from difference d left join sync.map m on m.name = d.map
where not d.explained
order by m.rank nulls last, d.flow, d.id limit :limit;

-- name: unmatched_counts
-- Records of targets that were never paired, by entity set; those that were once apart.
select entity_set, count(*) as records, count(parted_at) as parted from unmatched group by entity_set order by entity_set;

-- name: unmatched_list
-- Some of them.
select entity_set, record, system_key, parted_at from unmatched order by entity_set, mirror_id limit :limit;

-- name: beside
-- What stands apart without a delivery in these maps and entity sets: open conflicts, rows not taken in, orphans.
select 'conflict' as kind, count(*) as records from sync.conflict k join sync.map m on m.id = k.map_id
where k.state = 'open' and m.name = any(:maps) having count(*) > 0
union all
select 'quarantined', sum(records) from sync.quarantined
where system || '.' || entity_set = any(:sets) having sum(records) > 0
union all
select 'orphaned', sum(records) from sync.orphaned
where system || '.' || entity_set = any(:sets) having sum(records) > 0;

-- name: paused
-- The pauses of these maps.
select p.scope from sync.pause p
where exists (select from sync.map m where m.name = any(:maps) and p.scope = any(sync.scopes(m))) order by 1;

-- name: absent
-- Records that their system shows no more, and that stay in the hub: their delete waits for a decision, or was rejected.
select system || '.' || entity_set as entity_set, count(*) as records from sync.proposed_delete
where state = :state group by 1 order by 1;
