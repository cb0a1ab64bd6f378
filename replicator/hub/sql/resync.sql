-- Records and whole sets that people have read afresh and looked at again.

-- A table or column that was dropped and made again is another one, whatever it is called.
create function sync.made_of(of_table regclass) returns text language sql stable as $$
    select md5(string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid), ',' order by a.attnum))
    from pg_attribute a where a.attrelid = of_table and a.attnum > 0 and not a.attisdropped
$$;
comment on function sync.made_of is 'Tells a table and its columns from others, also from earlier ones of the same names';

-- The link table of a map's entity set and entity.
create function sync.link_of(of_map sync.map) returns regclass language sql stable as $$
    select format('sync.%I', 'link_' || replace(case of_map.direction when 'in' then of_map.source else of_map.target end,
                                                '.', '_') || '__' || of_map.entity)::regclass
$$;
comment on function sync.link_of is 'The crosswalk of a map';

create function sync.resync(of_kind text, of_key text default null, why text default null) returns bigint
    language plpgsql as $$
declare
    concerned bigint;
begin
    if not exists (select from sync.map m where m.in_use and of_kind in (m.entity, m.system || '.' || m.entity_set))
       and of_kind not in (select e.system || '.' || e.entity_set from sync.entity_set e) then
        raise exception 'there is no entity or entity set ''%''', of_kind
            using hint = 'there are: ' || (
                select string_agg(name, '; ' order by name) from (
                    select m.entity as name from sync.map m where m.in_use
                    union select m.system || '.' || m.entity_set from sync.map m where m.in_use) names);
    end if;
    concerned := case when of_key is null then sync.resync_set(of_kind) else sync.resync_record(of_kind, of_key) end;
    return sync.note_decision('resync', of_kind, of_key, concerned, why);
end
$$;
comment on function sync.resync is
    'Reads an entity, an entity set, or one record of it afresh at the next read, and looks at its records again';

create function sync.resync_set(of_kind text) returns bigint language plpgsql as $$
declare
    each sync.map;
    found bigint;
    concerned bigint := 0;
begin
    insert into sync.refetch (system, entity_set, record_id, at)
    select named.*, 0, sync.now() from (
        select m.system, m.entity_set from sync.map m
        where m.in_use and of_kind in (m.entity, m.system || '.' || m.entity_set)
        union select e.system, e.entity_set from sync.entity_set e where of_kind = e.system || '.' || e.entity_set
    ) named
    on conflict (system, entity_set, record_id) do update set at = excluded.at;
    for each in
        select * from sync.map w where w.name in (
            select coalesce(m.root, m.name) from sync.map m
            where m.in_use and of_kind in (m.entity, m.system || '.' || m.entity_set))
    loop
        execute format('select sync.mark($1, array(select id from %s union select %I from %s where ended_at is null))',
                       each.source, case each.direction when 'in' then 'mirror_id' else 'common_id' end,
                       sync.link_of(each)) into found using each.id;
        concerned := greatest(concerned, found);
    end loop;
    return concerned;
end
$$;
comment on function sync.resync_set is 'Has whole sets read again and all their records looked at; for sync.resync';

create function sync.resync_record(of_kind text, of_key text) returns bigint language plpgsql as $$
declare
    each record;
    root bigint;
    concerned bigint;
begin
    create temporary table meant on commit drop as
    with found as materialized (select * from sync.find(of_kind, of_key))
    select f.entity, f.common_id, f.system, f.entity_set, f.mirror_id from found f
    union
    select p.entity, p.common_id, p.system, p.entity_set, p.mirror_id from found f
    join sync.pair p on p.common_id = f.common_id and p.entity = f.entity and p.ended_at is null
    union
    select p.entity, p.common_id, p.system, p.entity_set, p.mirror_id from found f
    join sync.pair p on p.mirror_id = f.mirror_id and p.system = f.system and p.entity_set = f.entity_set
                    and p.ended_at is null;
    insert into sync.refetch (system, entity_set, record_id, at)
    select named.*, sync.now() from (
        select distinct r.system, r.entity_set, r.mirror_id from meant r where r.mirror_id is not null
    ) named
    on conflict (system, entity_set, record_id) do update set at = excluded.at;
    for each in
        select m.id, r.mirror_id as record_id from meant r join sync.map m
        on m.in_use and m.direction = 'in' and m.system = r.system and m.entity_set = r.entity_set
        union
        select m.id, r.common_id from meant r join sync.map m
        on m.in_use and m.direction = 'out' and m.root is null and m.entity = r.entity
    loop
        perform sync.mark(each.id, array[each.record_id]);
    end loop;
    for each in
        select distinct w.id, sync.link_of(m) as link, r.common_id from meant r
        join sync.map m on m.in_use and m.root is not null and m.entity = r.entity
        join sync.map w on w.name = m.root
    loop
        execute format('select root_id from %s where common_id = $1 and ended_at is null', each.link)
            into root using each.common_id;
        perform sync.mark(each.id, array[root]);
    end loop;
    select count(distinct (r.entity, r.common_id)) filter (where r.common_id is not null)
         + count(distinct (r.system, r.entity_set, r.mirror_id)) filter (where r.common_id is null and not exists (
               select from meant o where o.mirror_id = r.mirror_id and o.system = r.system
                                     and o.entity_set = r.entity_set and o.common_id is not null))
    into concerned from meant r;
    drop table meant;
    return concerned;
end
$$;
comment on function sync.resync_record is 'Has one record read again, on every side of it; for sync.resync';
