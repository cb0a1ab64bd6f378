-- Functions of the log and of schema sync that do not depend on the rest of schema/.

create function sync.now() returns timestamptz language sql stable as
$$ select coalesce(nullif(current_setting('sync.now', true), '')::timestamptz, clock_timestamp()) $$;
comment on function sync.now() is 'The time; a test may set it with sync.now';

create function sync.today() returns date language sql stable as $$ select sync.now()::date $$;
comment on function sync.today() is 'The day, for defaults relative to it';

comment on function sync.fold(text) is 'A text as keys are compared: normalised, outer blanks and case ignored';

-- The cause of a write. Only the owner of schema sync (the daemon) may name one; anybody else is named by role.
-- Strict, so that the writes of people, who name none, do not pay for it.
create function sync.origin(cause text) returns text language sql stable strict as $$
    select case when pg_has_role(session_user, nspowner, 'MEMBER') then cause end
    from pg_catalog.pg_namespace where nspname = 'sync'
$$;
comment on function sync.origin(text) is 'The cause given for a write, if this session may give one';

create function log.refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception 'TRUNCATE of %.% is refused, because its rows would vanish without a trace',
        tg_table_schema, tg_table_name
        using hint = 'Use DELETE; the log records it and the other system hears of it.';
end
$$;

-- Every table of the log has a default partition, so that no write ever fails for want of one.
create function log.make_default_partitions() returns void language plpgsql as $$
declare
    parent record;
begin
    for parent in
        select c.oid::regclass::text as name, c.relname
        from pg_class c where c.relnamespace = 'log'::regnamespace and c.relkind = 'p'
    loop
        execute format('create table if not exists log.%I partition of %s default',
            parent.relname || '_default', parent.name);
    end loop;
end
$$;
comment on function log.make_default_partitions is 'Makes the default partitions that are missing';

-- Partitions of the log: one a day, made ahead; rows without one land in the default partition.
create function log.make_partitions(ahead integer default 1) returns integer
    language plpgsql as $$
declare
    parent record;
    day date;
    begun boolean;
    made integer := 0;
begin
    perform log.make_default_partitions();
    for parent in
        select c.oid::regclass::text as name, c.relname
        from pg_class c where c.relnamespace = 'log'::regnamespace and c.relkind = 'p'
    loop
        for day in select current_date + n from generate_series(0, ahead) n loop
            -- A day whose rows are in the default partition already stays there.
            execute format('select exists (select from log.%I where at >= %L and at < %L)',
                parent.relname || '_default', day, day + 1) into begun;
            if not begun and to_regclass(format('log.%I', parent.relname || to_char(day, '_YYYYMMDD'))) is null then
                execute format('create table log.%I partition of %s for values from (%L) to (%L)',
                    parent.relname || to_char(day, '_YYYYMMDD'), parent.name, day, day + 1);
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end
$$;
comment on function log.make_partitions is 'Makes the daily partitions of the log for the days ahead';

-- Drops a day only when every consumer has read it: no transaction in it may be invisible to a kept snapshot.
create function log.drop_partitions(keep interval) returns integer
    language plpgsql as $$
declare
    part record;
    unread boolean;
    dropped integer := 0;
begin
    for part in
        select c.oid::regclass::text as name, c.relname, right(c.relname, 8) as day
        from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relkind = 'r' and c.relispartition
          and c.relname ~ '^change_\d{8}$' and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - keep
    loop
        execute format('select exists (select from %s p, sync.consumer k
                                       where not pg_visible_in_snapshot(p.txid, k.snapshot))', part.name) into unread;
        continue when unread or not exists (select from sync.consumer);
        perform log.drop_day(part.day);
        dropped := dropped + 1;
    end loop;
    perform log.clear_default(keep);
    return dropped;
end
$$;
comment on function log.drop_partitions is 'Drops the days of the log that are older than this and read by every consumer';

create function log.clear_default(keep interval) returns void language plpgsql as $$
declare
    part record;
begin
    if exists (select from log.change_default p, sync.consumer k
               where p.at < current_date - keep and not pg_visible_in_snapshot(p.txid, k.snapshot)) then
        return;
    end if;
    for part in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relispartition and c.relname like '%\_default'
    loop
        execute 'delete from ' || part.name || ' where at < $1' using current_date - keep;
    end loop;
end
$$;
comment on function log.clear_default is 'Deletes what is older than this from the default partitions, once it is read';

-- What was decided, noted or parted longer ago than this is of no use to anybody.
create function sync.prune(keep interval) returns void language plpgsql as $$
declare
    crosswalk record;
    pairs record;
begin
    delete from sync.run where at < sync.now() - keep;
    delete from sync.snapshot where finished_at < sync.now() - keep;
    delete from sync.proposed_delete where state in ('done', 'withdrawn') and proposed_at < sync.now() - keep;
    for crosswalk in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'sync'::regnamespace and c.relkind = 'r' and c.relname like 'link\_%'
    loop
        execute 'delete from ' || crosswalk.name || ' where ended_at < $1' using sync.now() - keep;
    end loop;
    for pairs in
        select m.id, format('sync.%I', 'link_' || replace(m.source, '.', '_') || '__' || split_part(m.target, '.', 2)) as name
        from sync.map m where m.id in (select distinct b.map_id from sync.base b)
    loop
        execute format('delete from sync.base b where b.map_id = $1 and not exists (select from %s l
                        where l.mirror_id = b.record_id and l.common_id = b.common_id and l.ended_at is null)',
                       pairs.name) using pairs.id;
    end loop;
end
$$;
comment on function sync.prune is 'Deletes notes, decided proposals and parted pairs that are older than this; bases without a pair';

create function log.drop_day(day text) returns void language plpgsql as $$
declare
    part record;
begin
    for part in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relispartition and c.relname like '%\_' || day
    loop
        execute 'drop table ' || part.name;
    end loop;
end
$$;
comment on function log.drop_day is 'Drops one day of log.change and of all before-images';

create function sync.approve_deletes(of_system text, of_entity_set text) returns bigint language sql as $$
    with decided as (
        update sync.proposed_delete
        set state = 'approved', decided_at = sync.now(), decided_by = session_user
        where system = of_system and entity_set = of_entity_set and state = 'held'
        returning 1
    )
    select count(*) from decided
$$;
comment on function sync.approve_deletes is 'Lets the held deletes of an entity set go ahead; each record is read once more before';

create function sync.reject_deletes(of_system text, of_entity_set text) returns bigint language sql as $$
    with decided as (
        update sync.proposed_delete
        set state = 'rejected', decided_at = sync.now(), decided_by = session_user
        where system = of_system and entity_set = of_entity_set and state = 'held'
        returning 1
    )
    select count(*) from decided
$$;
comment on function sync.reject_deletes is 'Keeps the records whose deletes are held';

create function sync.approve_updates(of_map text) returns bigint language sql as $$
    update sync.map set opened_at = sync.now() where name = of_map;
    with released as (
        update sync.delivery d set state = 'pending', marked = marked + 1
        from sync.map m where m.id = d.map_id and m.name = of_map and d.state = 'held'
        returning 1
    )
    select count(*) from released
$$;
comment on function sync.approve_updates is 'Lets the held updates of a map''s first delivery go out';

-- A record whose last request was not answered is looked up first, whoever asks.
create function sync.retry(of_map text default null, of_record text default null) returns bigint language sql as $$
    with marked as (
        update sync.delivery d
        set state = case when d.state = 'unknown' then d.state else 'pending' end,
            asked = true, marked = marked + 1, next_at = null, attempts = 0
        from sync.map m
        where m.id = d.map_id and d.state in ('failed', 'rejected', 'reported', 'unknown')
          and (of_map is null or m.name = of_map) and (of_record is null or d.record = of_record)
        returning 1
    )
    select count(*) from marked
$$;
comment on function sync.retry is 'Tries failed and rejected records again: of one map, of one record, or all';

-- A decision is an edit of common, on the footing that the side whose change was in the way has been heard: the base
-- becomes what it holds. So the value travels like any other, and a change made after the decision is a change again.
create function sync.resolve(of_conflict bigint, take text default null, value text default null) returns bigint
    language plpgsql as $$
declare
    met sync.conflict;
    chosen text;
    changed bigint;
begin
    select k.* into met from sync.conflict k where k.id = of_conflict and k.state = 'open' for update;
    if met.id is null then
        raise exception 'conflict % is not open', of_conflict using hint = 'sync.conflicts lists those that are';
    elsif (take is null) = (value is null) then
        raise exception 'say whose value to take, or give one' using hint = 'an empty text empties the field';
    elsif take is not null and not met.held ? take then
        raise exception 'conflict % holds no value of %', of_conflict, take
            using hint = 'it holds one of ' || (select string_agg(name, ', ') from jsonb_object_keys(met.held) name);
    end if;
    chosen := case when take is null then nullif(value, '') else met.held ->> take end;
    execute format('update common.%1$I set %2$I = %3$L where id = $1 and %2$I is not distinct from %4$L',
                   met.entity, met.field, chosen, met.held ->> 'common') using met.common_id;
    get diagnostics changed = row_count;
    if changed = 0 then
        raise exception 'common has changed since conflict % was noted', of_conflict
            using hint = 'look at it again after the next cycle';
    end if;
    insert into sync.base (map_id, record_id, field, common_id, common, side)
    values (met.map_id, met.record_id, met.field, met.common_id, met.held ->> met.system, met.held ->> met.system)
    on conflict (map_id, record_id, field) do update
    set common_id = excluded.common_id, common = excluded.common, side = excluded.side, at = sync.now();
    insert into sync.delivery as d (map_id, record_id) values (met.map_id, met.record_id)
    on conflict (map_id, record_id) do update set state = 'pending', marked = d.marked + 1;
    update sync.conflict k
    set state = 'decided', decided_at = sync.now(), decided_by = session_user, decision = coalesce(take, 'value'),
        decided = chosen
    where k.id = met.id;
    return 1;
end
$$;
comment on function sync.resolve is 'Decides an open conflict: takes the value of a system or of common, or a given one';
