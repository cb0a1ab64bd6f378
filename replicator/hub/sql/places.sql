-- Where a record is, and where it was. What a person names may be several rows: the common record and its counterparts.

create function sync.label(of_relation text, of_record bigint) returns text language plpgsql stable
    set jit = off as $$
declare
    called text;
begin
    select format('select %I::text from %s where id = $1', p.label, p.relation) into called
    from sync.captured p where p.relation = of_relation;
    execute called into called using of_record;
    return called;
end
$$;
comment on function sync.label is 'What people call the record with this id in a captured table';

-- A part is named by its root first. Of a record that is not there nothing is known: null.
create function sync.key_of(of_relation text, of_record bigint) returns text language plpgsql stable
    set jit = off as $$
declare
    part record;
    held text;
    parts text[] := '{}';
begin
    for part in
        select f.column_name, f.reference from sync.field f
        where f.relation = of_relation and f.key_part is not null order by f.key_part
    loop
        execute format('select %I::text from %s where id = $1', part.column_name, of_relation) into held using of_record;
        parts := parts || case when part.reference is null then held else sync.key_of('common.' || part.reference, held::bigint) end;
    end loop;
    return nullif(array_to_string(parts, ','), '');
end
$$;
comment on function sync.key_of is 'The key by which sync.find finds the record with this id in a captured table';

-- Linked records come along; of ended pairs only where nothing is left, or with the past.
create function sync.places(kind text, key text, past boolean default false)
    returns table (place text, system text, entity_set text, entity text, relation text, image text, record_id bigint,
                   record text, state text, reason text, at timestamptz)
    language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
    meant jsonb;
begin
    select jsonb_agg(to_jsonb(f)) into meant from sync.find(places.kind, places.key) f;
    if meant is null then  -- as a record is shown that has a namesake: by its key in brackets
        select jsonb_agg(to_jsonb(f)) into meant
        from (select places.kind union
              select m.system || '.' || m.entity_set from sync.map m
              where m.in_use and m.direction = 'in' and m.entity = places.kind) k (kind),
             sync.find(k.kind, substring(places.key from ' \(([^()]+)\)$')) f;
    end if;
    if meant is null or places.past then
        select coalesce(meant, '[]') || coalesce(jsonb_agg(to_jsonb(f)), '[]') into meant
        from sync.find_gone(places.kind, places.key) f;
    end if;
    return query
        with start as (
            select f.entity, f.common_id, f.system, f.entity_set, f.mirror_id, f.record
            from jsonb_to_recordset(meant) as f(entity text, common_id bigint, system text, entity_set text,
                                                mirror_id bigint, record text)
        ), alive as (
            select exists (select from start s, sync.pair k where k.ended_at is null and (
                k.entity = s.entity and k.common_id = s.common_id
                or k.system = s.system and k.entity_set = s.entity_set and k.mirror_id = s.mirror_id)) as linked
        ), common as (
            select s.entity, s.common_id from start s where s.common_id is not null
            union
            select k.entity, k.common_id from start s join sync.pair k
                on k.system = s.system and k.entity_set = s.entity_set and k.mirror_id = s.mirror_id
            cross join alive where k.ended_at is null or places.past or not alive.linked
        ), mirrored as (
            select s.system, s.entity_set, s.mirror_id from start s where s.mirror_id is not null
            union
            select k.system, k.entity_set, k.mirror_id from common s join sync.pair k
                on k.entity = s.entity and k.common_id = s.common_id
            cross join alive where k.ended_at is null or places.past or not alive.linked
        ), found as (
            select p.*, c.common_id as id from common c join sync.captured p on p.entity = c.entity
            union all
            select p.*, m.mirror_id from mirrored m
            join sync.captured p on p.system = m.system and p.entity_set = m.entity_set
        ), named as (
            select f.*, sync.label(f.relation, f.id) as here,
                   (select s.record from start s
                    where f.entity = s.entity and f.id = s.common_id
                       or f.system = s.system and f.entity_set = s.entity_set and f.id = s.mirror_id limit 1) as called
            from found f
        ), told_apart as (
            select n.*, case when count(*) over (partition by n.place, sync.fold(coalesce(n.called, n.here))) > 1
                             then ' (' || sync.key_of(n.relation, n.id) || ')' end as its_key
            from named n
        )
        select n.place, n.system, n.entity_set, n.entity, n.relation, n.image, n.id,
               concat(coalesce(n.called, n.here, places.key), n.its_key), case when n.here is null then 'deleted' else 'here' end,
               null::text, null::timestamptz
        from told_apart n
        order by case when n.entity is not null then 2
                      when exists (select from sync.map m where m.in_use and m.direction = 'in' and m.source = n.relation) then 1
                      else 3 end, n.place, n.id;
    return query select * from sync.quarantined_places(places.kind, places.key);
end
$$;
comment on function sync.places is
    'Every row that is meant by an entity (or system.EntitySet) and a key: here, deleted, or quarantined; past: earlier ones, too';

create function sync.quarantined_places(kind text, key text)
    returns table (place text, system text, entity_set text, entity text, relation text, image text, record_id bigint,
                   record text, state text, reason text, at timestamptz)
    language sql stable as $$
    select p.place, p.system, p.entity_set, null, p.relation, p.image, null::bigint, r.record, 'quarantined', r.reason, r.at
    from sync.captured p
    join sync.quarantine r on r.system = p.system and r.entity_set = p.entity_set
    where (p.place = quarantined_places.kind
           or exists (select from sync.map m where m.direction = 'in' and m.source = p.relation and m.entity = quarantined_places.kind))
      and sync.fold(quarantined_places.key) in (sync.fold(r.record), sync.fold(r.key))
    order by r.id
$$;
comment on function sync.quarantined_places is 'Rows of the record that the last read of their entity set could not take in';
