-- What people decide. Each function says how many records it concerned; sync.decision keeps who decided what, and why.

create function sync.flow_names() returns setof text language sql stable as $$
    select m.name from sync.map m where m.in_use and m.root is null
    union select m.system || '.' || m.entity_set from sync.map m where m.in_use
    union select e.system || '.' || e.entity_set from sync.entity_set e
    union select r.system || '.' || r.entity_set from sync.quarantine r
$$;
comment on function sync.flow_names is 'What a decision may be narrowed to: flows, and entity sets that are read';

create function sync.check_selection(of_flow text, of_cause text) returns void language plpgsql stable as $$
declare
    root text := (select m.root from sync.map m where m.name = of_flow and m.in_use);
begin
    if root is not null then
        raise exception 'the records of ''%'' go with those of ''%''', of_flow, root
            using hint = 'decide about the root';
    elsif of_flow is not null and of_flow not in (select sync.flow_names()) then
        raise exception 'there is no flow ''%''', of_flow
            using hint = 'there are: ' || (select string_agg(name, '; ' order by name) from sync.flow_names() name);
    elsif of_cause is not null and not exists (select from sync.trouble t where t.cause = of_cause) then
        raise exception 'there is no cause ''%''', of_cause
            using hint = 'sync.causes lists them; a cause goes when its last record is well again';
    end if;
end
$$;
comment on function sync.check_selection is 'Refuses flows and causes that are not there';

create function sync.is_meant(
    of_flow text, of_record text, of_records text[], flow text, record text
) returns boolean language sql immutable as $$
    select (of_flow is null or flow = of_flow)
       and (of_record is null and of_records is null or coalesce(record = of_record or record = any(of_records), false))
$$;
comment on function sync.is_meant is 'Whether a record is among those that somebody named';

create function sync.is_selected(
    m sync.map, d sync.delivery, of_flow text, of_record text, of_cause text, of_records text[]
) returns boolean language sql stable as $$
    select sync.is_meant(of_flow, of_record, of_records, m.name, d.record)
       and (of_cause is null or of_cause = sync.cause_of(m, d))
$$;
comment on function sync.is_selected is 'Whether a decision about a flow, a cause or records concerns a delivery';

create function sync.note_decision(action text, what text, record text, records bigint, why text) returns bigint
    language sql as $$
    insert into sync.decision (by, action, what, record, records, reason, at)
    select sync.actor(), action, what, record, records, why, sync.now()
    where records > 0 or action = 'resync' and record is null;
    select records;
$$;
comment on function sync.note_decision is 'Keeps a decision that concerned anything; how many records it concerned';

create function sync.selection(of_flow text, of_cause text, of_records text[]) returns text language sql immutable as $$
    select left(coalesce(nullif(concat_ws(', ', of_flow, 'cause ' || of_cause,
                                          'records ' || array_to_string(of_records, ' ')), ''), 'all'), 1000)
$$;
comment on function sync.selection is 'What a decision was about, in words';

create function sync.cause_records(of_cause text) returns setof sync.trouble language sql stable as $$
    select * from sync.trouble t where t.cause = of_cause order by t.since, t.record
$$;
comment on function sync.cause_records is 'The records behind a cause, skipped ones too';

-- Whatever changes about a record, somebody has to look at it; but what is under way, or skipped, stays so.
create function sync.mark(of_map smallint, of_records bigint[]) returns bigint language sql as $$
    with marked as (
        insert into sync.delivery as d (map_id, record_id, since)
        select of_map, each, sync.now() from unnest(of_records) as each where each is not null
        on conflict (map_id, record_id) do update
        set marked = d.marked + 1,
            state = case when d.state in (@{states_kept}) then d.state else 'pending' end,
            next_at = case when d.state in (@{states_kept}) then d.next_at end,
            attempts = case when d.state in (@{states_kept}) then d.attempts else 0 end
        returning 1
    )
    select count(*) from marked
$$;
comment on function sync.mark is 'Marks records of a map to be looked at';

-- A record whose last request was not answered is looked up first, whoever asks. A row that a read could not take in
-- is seen again when its set is read whole.
create function sync.retry(
    of_flow text default null, of_record text default null, of_cause text default null,
    of_records text[] default null, why text default null
) returns bigint language plpgsql as $$
declare
    tried bigint;
    unread bigint;
begin
    perform sync.check_selection(of_flow, of_cause);
    with marked as (
        update sync.delivery d
        set state = case when d.state = 'unknown' then d.state else 'pending' end,
            asked = true, marked = marked + 1, next_at = null, attempts = 0
        from sync.map m
        where m.id = d.map_id and d.state in (@{states_may_retry})
          and sync.is_selected(m, d, of_flow, of_record, of_cause, of_records)
        returning 1
    )
    select count(*) into tried from marked;
    with rows as (
        select r.system, r.entity_set from sync.quarantine r
        where sync.is_meant(of_flow, of_record, of_records, r.system || '.' || r.entity_set, r.record)
          and (of_cause is null or of_cause = sync.cause(r.system, r.system || '.' || r.entity_set, 'quarantined',
                                                         'snapshot', r.field, r.reason, null))
    ), asked as (
        insert into sync.refetch (system, entity_set, record_id, at)
        select named.*, 0, sync.now() from (select distinct system, entity_set from rows) named
        on conflict (system, entity_set, record_id) do update set at = excluded.at
    )
    select count(*) into unread from rows;
    return sync.note_decision('retry', sync.selection(of_flow, of_cause, of_records), of_record, tried + unread, why);
end
$$;
comment on function sync.retry is 'Tries failed, rejected, reported and skipped records again; reads sets again whose rows could not be taken in';

-- The state before stands in operation, so that the cause stays the same and the decision can be taken back by it.
create function sync.skip(
    of_flow text default null, of_record text default null, of_cause text default null,
    of_records text[] default null, why text default null
) returns bigint language plpgsql as $$
declare
    skipped bigint;
begin
    perform sync.check_selection(of_flow, of_cause);
    with left_alone as (
        update sync.delivery d
        set state = 'skipped', operation = 'was ' || d.state, next_at = null
        from sync.map m
        where m.id = d.map_id
          and (d.state in (@{states_may_skip})
               or d.state in (@{states_may_skip_by_name}) and num_nonnulls(of_record, of_records) > 0)
          and sync.is_selected(m, d, of_flow, of_record, of_cause, of_records)
        returning 1
    )
    select count(*) into skipped from left_alone;
    return sync.note_decision('skip', sync.selection(of_flow, of_cause, of_records), of_record, skipped, why);
end
$$;
comment on function sync.skip is 'Leaves records as they are, although they change, until sync.retry takes that back';

-- Approving all held updates of a flow lets the flow go; approving some lets these go, and the others stay held.
create function sync.approve(
    of_flow text default null, of_record text default null, of_cause text default null,
    of_records text[] default null, why text default null
) returns bigint language plpgsql as $$
declare
    deletes bigint;
    updates bigint;
begin
    perform sync.check_selection(of_flow, of_cause);
    if num_nonnulls(of_record, of_cause, of_records) = 0 then
        update sync.map m set opened_at = sync.now()
        where (of_flow is null or m.name = of_flow) and m.opened_at is null
          and exists (select from sync.delivery d where d.map_id = m.id and d.state = 'held');
    end if;
    with released as (
        update sync.delivery d set state = 'pending', marked = marked + 1, asked = true
        from sync.map m
        where m.id = d.map_id and d.state = 'held' and sync.is_selected(m, d, of_flow, of_record, of_cause, of_records)
        returning 1
    )
    select count(*) into updates from released;
    deletes := sync.decide_deletes('approved', of_flow, of_record, of_cause, of_records);
    return sync.note_decision('approve', sync.selection(of_flow, of_cause, of_records), of_record,
                              deletes + updates, why);
end
$$;
comment on function sync.approve is
    'Lets held deletes and held updates go ahead; a record is read once more before it is deleted';

create function sync.reject(
    of_flow text default null, of_record text default null, of_cause text default null,
    of_records text[] default null, why text default null
) returns bigint language plpgsql as $$
declare
    deletes bigint;
    updates bigint;
begin
    perform sync.check_selection(of_flow, of_cause);
    with refused as (
        update sync.delivery d set state = 'skipped', operation = 'was held', next_at = null
        from sync.map m
        where m.id = d.map_id and d.state = 'held' and sync.is_selected(m, d, of_flow, of_record, of_cause, of_records)
        returning 1
    )
    select count(*) into updates from refused;
    deletes := sync.decide_deletes('rejected', of_flow, of_record, of_cause, of_records);
    return sync.note_decision('reject', sync.selection(of_flow, of_cause, of_records), of_record,
                              deletes + updates, why);
end
$$;
comment on function sync.reject is
    'Keeps records whose deletes are held; held updates become skipped, and are not sent until sync.retry';

create function sync.decide_deletes(
    as_what text, of_flow text, of_record text, of_cause text, of_records text[]
) returns bigint language sql as $$
    with decided as (
        update sync.proposed_delete p
        set state = as_what, decided_at = sync.now(), decided_by = sync.actor()
        where p.state = 'held'
          and sync.is_meant(of_flow, of_record, of_records, p.system || '.' || p.entity_set, p.record)
          and (of_cause is null or of_cause = sync.cause(p.system, p.system || '.' || p.entity_set, 'held', 'deletes',
                                                         null, p.reason, null))
        returning 1
    )
    select count(*) from decided
$$;
comment on function sync.decide_deletes is 'Decides held deletes; for sync.approve and sync.reject';

-- A decision is an edit of common, on the footing that the side whose change was in the way has been heard: the base
-- becomes what it holds. So the value travels like any other, and a change made after the decision is a change again.
create function sync.resolve(
    of_conflict bigint, take text default null, value text default null, why text default null
) returns bigint language plpgsql as $$
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
    perform sync.mark(met.map_id, array[met.record_id]);
    update sync.conflict k
    set state = 'decided', decided_at = sync.now(), decided_by = sync.actor(), decision = coalesce(take, 'value'),
        decided = chosen
    where k.id = met.id;
    return sync.note_decision('resolve', format('conflict %s: %s.%s', met.id, met.entity, met.field), met.record, 1, why);
end
$$;
comment on function sync.resolve is 'Decides an open conflict: takes the value of a system or of common, or a given one';

create function sync.scopes(of_map sync.map) returns text[] language sql immutable as $$
    select array[of_map.name, of_map.system, of_map.direction]
$$;
comment on function sync.scopes is 'By which names a map can be paused';

create function sync.pause(of_scope text, why text default null) returns bigint language plpgsql as $$
declare
    paused bigint;
begin
    perform sync.check_scope(of_scope);
    insert into sync.pause (scope, by, reason, at) values (of_scope, sync.actor(), why, sync.now())
    on conflict (scope) do nothing;
    get diagnostics paused = row_count;
    return sync.note_decision('pause', of_scope, null, paused, why);
end
$$;
comment on function sync.pause is
    'Stops merging (in) or delivering (out) by a flow, for a system or a direction; changes go on being marked';

create function sync.resume(of_scope text default null, why text default null) returns bigint language plpgsql as $$
declare
    resumed bigint;
begin
    if of_scope is not null then
        perform sync.check_scope(of_scope);
    end if;
    delete from sync.pause p where of_scope is null or p.scope = of_scope;
    get diagnostics resumed = row_count;
    return sync.note_decision('resume', coalesce(of_scope, 'all'), null, resumed, why);
end
$$;
comment on function sync.resume is 'Takes a pause back, or all of them; what has accumulated goes out';

create function sync.check_scope(of_scope text) returns void language plpgsql stable as $$
declare
    known text[] := array(select distinct s from sync.map m, unnest(sync.scopes(m)) s where m.in_use and m.root is null);
begin
    if of_scope <> all (known) and not exists (select from sync.pause p where p.scope = of_scope) then
        raise exception 'there is nothing called ''%'' to pause', of_scope
            using hint = 'a flow, a system or a direction: '
                || (select string_agg(name, '; ' order by length(name), name) from unnest(known) name);
    end if;
end
$$;
comment on function sync.check_scope is 'Refuses to pause what is not there';

create function sync.is_paused(of_map smallint) returns boolean language sql stable as $$
    select exists (select from sync.pause p, sync.map m where m.id = of_map and p.scope = any(sync.scopes(m)))
$$;
comment on function sync.is_paused is 'Whether a map is paused: itself, its system or its direction';

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
