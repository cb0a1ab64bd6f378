-- Why a record is as it is: one line of the chain per row, in plain words.

-- One record of one flow, down to the root cause; sync.explain, further down, puts these together.

create function sync.explain_fields(fields jsonb) returns text language sql immutable as $$
    select string_agg(format('%s: %s -> %s', f.key, coalesce(f.value ->> 0, '(empty)'), coalesce(f.value ->> 1, '(empty)')),
                      '; ' order by f.key)
    from jsonb_each(fields) f
$$;
comment on function sync.explain_fields is 'Fields of a difference in words: what is held, and what is wanted';

-- What a person can expect or has to do, by the state of a delivery.
create function sync.explain_next(d sync.delivery, m sync.map) returns text language sql stable as $$
    select case
        when d.state = 'failed' and d.next_at is null then 'never by itself: replicator retry'
        when d.state = 'failed' and d.next_at <= sync.now() then 'by itself, with the next cycle'
        when d.state = 'failed' then
            format('by itself, not before %s', to_char(d.next_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'))
        when d.state = 'blocked' and d.code = 'key conflict' then
            'never by itself: give one of the records another key, or delete it'
        when d.state = 'blocked' and d.code = 'key changed' then
            'never by itself: give it its former key, or let its map say on_key_change: recreate'
        when d.state = 'blocked' and d.code = 'orphaned parts' then
            'by itself, when they are deleted there, or said to be fine: replicator skip --record'
        when d.state = 'reported' and d.code = 'left out' then
            'by itself, when the record fits its map again, or is as it was delivered'
        when d.state = 'rejected' and d.field is not null then
            format('never by itself: correct the record (%s), or replicator retry', d.field)
        when d.state = 'held' then format('never by itself: replicator approve|reject --flow "%s"', m.name)
        else case d.state::text @{next_by_state} end end
$$;
comment on function sync.explain_next is 'What happens next with a delivery, and what a person can do';

create function sync.explain_state(d sync.delivery, m sync.map) returns text language sql stable as $$
    select concat_ws('; ',
        case d.state
            when 'pending' then case m.direction when 'in' then 'is to be merged' else format('is to be delivered to %s', m.system) end
            when 'in_flight' then format('was sent to %s and is not answered yet', m.system)
            when 'unknown' then format('the last request to %s was not answered', m.system)
            when 'failed' then format('%s could not take it in this time', m.system)
            when 'blocked' then 'waits for ' || array_to_string(d.waits_for, ', ')
            when 'not_eligible' then 'the map leaves it out'
            when 'rejected' then case when m.direction = 'in' then 'the hub refuses it'
                when d.code = 'invalid' then 'it cannot be written to ' || m.system
                when d.code = 'stored elsewhere' then m.system || ' took it for something else'
                else format('%s refused it', m.system) end
            when 'reported' then format('differs in %s, which is only reported', m.system)
            when 'held' then 'the update is held'
            when 'observed' then 'the flow is only observed, nothing is sent'
            when 'skipped' then 'a person decided to skip it' end,
        case when d.state not in ('pending', 'in_flight', 'blocked') then
            nullif(concat_ws(': ', case when coalesce(d.code, '') not in ('invalid', 'history')
                then nullif(concat_ws(' ', d.code, d.field), '') end, d.reason), '') end,
        case when d.attempts > 0 then format('tried %s times, last at %s', d.attempts,
            to_char(d.tried_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC')) end)
$$;
comment on function sync.explain_state is 'How a delivery stands, in words, with the answer of the system';

-- What keeps a record from moving that has nothing wrong with it.
create function sync.explain_standstill(m sync.map)
    returns table (topic text, state text, at timestamptz, said text, next text) language sql stable as $$
    select 'paused', 'paused', p.at, format('%s is paused by %s', p.scope, p.by) || coalesce(': ' || p.reason, ''),
           'never by itself: replicator resume'
    from sync.pause p where p.scope in (m.name, m.system, m.direction)
    union all
    select 'reading', 'unread', e.problem_since,
           format('%s.%s has never been read whole', m.system, m.entity_set) || coalesce(': ' || e.problem, ''),
           'with the first whole read; nothing is delivered to it before'
    from (select) one left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
    where m.direction = 'out' and e.whole_at is null
    union all
    select 'system', 'throttled', s.at, format('%s asked for a pause', s.name),
           to_char(s.paused_until at time zone 'UTC', '"by itself, not before "YYYY-MM-DD HH24:MI:SS UTC')
    from sync.system s where m.direction = 'out' and s.name = m.system and s.paused_until > sync.now()
    union all
    select 'leader', 'nobody leads', l.expires_at,
           case when l.holder is null then 'no replicator has ever worked on this hub, or the last one stopped'
                else format('%s leads no more: its lease is over', l.holder) end,
           'when a replicator works: replicator run, or replicator once'
    from (select) one left join sync.lease l on l.name = 'replicator'
    where l.expires_at is null or l.expires_at <= sync.now()
$$;
comment on function sync.explain_standstill is 'Why nothing moves in a flow: paused, never read whole, throttled, nobody leads';

-- Rows an inbound record points at that never came in: quarantined, or not shown by the system.
create function sync.explain_missing(of_flow text, of_record bigint)
    returns table (record text, state text, at timestamptz, said text, next text) language sql stable as $$
    select format('%s.%s %s', n.system, coalesce(r.entity_set, array_to_string(n.entity_sets, '|')),
                  coalesce(r.record, replace(n.key, e'\x1f', ','))),
           case when r.id is null then 'not there' else 'quarantined' end, coalesce(r.at, e.problem_since),
           case when r.id is null then format('%s has not shown it', n.system)
               || coalesce('; ' || e.entity_set || ' cannot be read: ' || e.problem, '')
               || coalesce('; rows of it that could not be taken in: ' || nullif(bad.rows, 0), '')
               else 'its row was quarantined: ' || r.reason end,
           case when r.id is null then format('with a read that shows it; or correct %s', n.field)
                else format('never by itself: correct it in %s', n.system) end
    from sync.missing n
    left join sync.quarantine r on r.system = n.system and r.entity_set = any(n.entity_sets) and r.key = n.key
    left join sync.entity_set e on e.system = n.system and e.entity_set = any(n.entity_sets) and e.problem is not null
    cross join lateral (select count(*) as rows from sync.quarantine b where b.system = n.system and b.entity_set = any(n.entity_sets)) bad
    where n.flow = of_flow and n.record_id = of_record
$$;
comment on function sync.explain_missing is 'What an inbound record points at that is not in its mirror, and why not';

-- A record without a delivery: in step, or nobody has looked at it yet, or the map leaves it out without a word.
create function sync.explain_quiet(m sync.map, of_record bigint, is_awaited boolean)
    returns table (record text, state text, said text, next text, cause boolean) language plpgsql stable set jit = off as $$
declare
    wanted record;
    differs record;
begin
    execute format('select record, verdict, reason, target_id from desired.%I where source_id = $1 limit 1', m.view_name)
        into wanted using of_record;
    execute format('select record, action, fields from desired.%I where source_id = $1 limit 1', m.view_name || '_diff')
        into differs using of_record;
    if wanted.verdict = 'history' and wanted.reason is null then
        return query select wanted.record, 'not eligible', 'history: of what it is part of another one counts', null::text, false;
    elsif wanted.verdict in ('not eligible', 'history') and (wanted.target_id is not null or wanted.reason is not null) then
        return query select wanted.record, case when wanted.target_id is null then 'not eligible' else 'left' end,
            case when wanted.target_id is null then 'the map leaves it out' else 'its counterpart is left as it is' end
            || coalesce('; ' || wanted.reason, ''), 'when the record fits the map again', wanted.target_id is null;
    elsif wanted.verdict = 'not eligible' and is_awaited then
        return query select wanted.record, 'not eligible', 'the map leaves it out' || coalesce('; ' || m.leaves_out, ''),
            'never by itself: correct the record, or what points at it', true;
    elsif differs.action is not null then
        return query select differs.record, 'unmarked', 'differs, and nobody has looked at it yet' || coalesce(': ' || sync.explain_fields(differs.fields), ''),
            'with the next cycle that reads the log; else replicator reconcile --repair', true;
    elsif wanted.target_id is not null then
        return query select wanted.record, 'in step', 'in step', null::text, false;
    end if;
end
$$;
comment on function sync.explain_quiet is 'A record of a flow without a delivery: in step, left out, or not looked at yet';

create function sync.explain_difference(m sync.map, of_record bigint, called text)
    returns table (depth integer, topic text, record text, state text, at timestamptz, said text, next text, cause boolean)
    language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
    fields jsonb;
    part sync.map;
    line record;
begin
    execute format('select fields from desired.%I where source_id = $1 limit 1', m.view_name || '_diff')
        into fields using of_record;
    if fields <> '{}' then
        return query select 1, 'difference'::text, called, 'differs'::text, null::timestamptz,
            sync.explain_fields(fields), null::text, false;
    end if;
    for part in select p.* from sync.map p where p.root = m.name and p.in_use order by p.rank, p.id loop
        for line in execute format('select record, fields from desired.%I where record_id = $1 order by source_id limit 20',
                                   part.view_name || '_diff') using of_record loop
            if line.fields <> '{}' then
                return query select 1, 'difference'::text, format('%s %s', part.entity, line.record), 'differs'::text,
                    null::timestamptz, sync.explain_fields(line.fields), null::text, false;
            end if;
        end loop;
    end loop;
end
$$;
comment on function sync.explain_difference is 'What a map would change in the record''s counterpart and in its parts, field by field';

create function sync.explain_flow(m sync.map, of_record bigint, level integer, above text[])
    returns table (depth integer, topic text, record text, state text, at timestamptz, said text, next text, cause boolean)
    language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
    here constant text := format('%s %s', m.name, of_record);
    d sync.delivery;
    called text;
    still boolean;
begin
    if here = any(above) or cardinality(above) > 20 then
        return query select level, 'ring', sync.label(m.source, of_record), 'ring', null::timestamptz,
            format('%s waits for itself in the end', m.name), 'never by itself: break the ring', true;
        return;
    end if;
    select * into d from sync.delivery where map_id = m.id and record_id = of_record;
    if d.map_id is null then
        return query select level, m.name, q.record, q.state, null::timestamptz, q.said, q.next, q.cause
        from sync.explain_quiet(m, of_record, level > 0) q;
        return;
    end if;
    called := coalesce(d.record, sync.label(m.source, of_record), of_record::text);
    still := exists (select from sync.explain_standstill(m));
    return query select level, m.name, called, d.state::text, coalesce(d.tried_at, d.since), sync.explain_state(d, m),
        sync.explain_next(d, m), d.state <> 'blocked' and not (still and d.state = 'pending') and d.code is distinct from 'history';
    if level = 0 then
        return query select * from sync.explain_difference(m, of_record, called);
    end if;
    if d.state in (@{states_moving}) then
        return query select level + 1, s.topic, called, s.state, s.at, s.said, s.next,
            d.state = 'pending' or s.topic = 'paused'
        from sync.explain_standstill(m) s where d.state = 'pending' or s.topic <> 'reading';
    elsif d.state = 'blocked' then
        return query select * from sync.explain_blocked(m, d, called, level + 1, above || here);
    end if;
end
$$;
comment on function sync.explain_flow is 'How a record of a flow stands, what keeps it, and what keeps that, to the root cause';

create function sync.explain_blocked(m sync.map, d sync.delivery, called text, level integer, above text[])
    returns table (depth integer, topic text, record text, state text, at timestamptz, said text, next text, cause boolean)
    language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
    deeper record;
    line record;
    found boolean := false;
begin
    for deeper in
        select distinct p.parent_table, p.parent_id, p.entity, c.system from sync.parents p
        join sync.captured c on c.relation = p.parent_table
        where p.flow = m.name and p.record_id = d.record_id and not p.landed and p.need <> 'if known'
        order by 1, 2 limit 20
    loop
        for line in
            select f.* from sync.map w, sync.explain_flow(w, deeper.parent_id, level, above) f
            where w.in_use and w.root is null and w.source = deeper.parent_table and w.entity = deeper.entity
              and case when deeper.system is null then w.system = m.system and w.direction = 'out' else w.direction = 'in' end
        loop
            found := found or line.cause;
            return query select line.depth, line.topic, line.record, line.state, line.at, line.said, line.next, line.cause;
        end loop;
    end loop;
    for line in select n.* from sync.explain_missing(m.name, d.record_id) n loop
        found := true;
        return query select level, 'seen', line.record, line.state, line.at, line.said, line.next, true;
    end loop;
    if not found then
        return query select level, 'waits', called, 'waits', d.since, array_to_string(d.waits_for, ', '),
            case when d.operation = 'update' then 'written without it meanwhile; completed by itself when it is there'
                 when d.code is not null then sync.explain_next(d, m)
                 else 'by itself, when that is no longer so; tested in every cycle' end, true;
    end if;
end
$$;
comment on function sync.explain_blocked is 'What a blocked record waits for, and why that is not there';

create function sync.why_blocked(of_flow text, of_record bigint) returns text language sql stable as $$
    select concat_ws(': ', e.record, e.said)
    from sync.map m cross join lateral sync.explain_flow(m, of_record, 0, '{}') with ordinality as e(
        depth, topic, record, state, at, said, next, cause, place)
    where m.name = of_flow and e.cause and (e.topic <> 'waits' or e.depth > 1) order by e.place limit 1
$$;
comment on function sync.why_blocked is 'The root cause of a blocked record in words; null where it is what the record says itself';

-- What each place knows of the record: when it was read, by whom it was changed, what stands in its way there.
create function sync.explain_place(of_place text, of_system text, of_entity_set text, of_relation text, of_record bigint,
                                   called text, stands text, why text, noted timestamptz)
    returns table (topic text, record text, state text, at timestamptz, said text, next text, cause boolean)
    language sql stable as $$
    with last as materialized (
        select c.at, c.operation, c.origin from log.change c
        where c.record_id = of_record and c.relation = of_relation::regclass order by c.at desc, c.seq desc limit 1
    )
    select 'seen', of_place || ' ' || called, stands, l.at,
           case when stands = 'here' then 'is there' else 'is there no more' end
           || coalesce(case l.operation when 'I' then ', new ' when 'D' then ', deleted ' else ', last written ' end
                       || sync.who(l.origin), ', its last change is older than the log')
           || coalesce(to_char(e.read_at at time zone 'UTC', '"; read last at "YYYY-MM-DD HH24:MI:SS UTC'), ''), null, false
    from (select) one left join last l on true
    left join sync.entity_set e on e.system = of_system and e.entity_set = of_entity_set
    where stands <> 'quarantined'
    union all
    select 'seen', of_place || ' ' || called, stands, noted, 'the row was quarantined: ' || why,
           format('never by itself: correct it in %s', of_system), true
    where stands = 'quarantined'
    union all
    select 'reading', of_place, 'unreadable', e.problem_since,
           format('%s cannot be read, so it may have changed there: %s', of_place, e.problem), 'with the next read that succeeds', true
    from sync.entity_set e where e.system = of_system and e.entity_set = of_entity_set and e.problem is not null
    union all
    select 'captured', of_place || ' ' || called, 'unread', l.at, 'the log has its change, and nobody has looked at it yet',
           'with the next cycle', true
    from last l where sync.unread(of_relation, of_record)
    union all
    select 'delete', of_place || ' ' || called, p.state, coalesce(p.decided_at, p.proposed_at),
           format('%s shows it no more; ', of_place) || case p.state
               when 'held' then 'the delete is held: ' || coalesce(p.reason, 'too many at once')
               when 'rejected' then format('%s decided to keep it', p.decided_by)
               else 'the delete goes ahead' end,
           case p.state when 'held' then format('never by itself: replicator approve|reject --flow %s', of_place)
                when 'rejected' then 'nothing, unless it is shown again'
                else 'looked up by its key once more, then deleted' end, p.state <> 'rejected'
    from sync.proposed_delete p
    where p.system = of_system and p.entity_set = of_entity_set and p.record_id = of_record
      and p.state in ('held', 'rejected', 'proposed', 'approved')
    union all
    select 'orphan', of_place || ' ' || called, case when o.decided_at is null then 'orphaned' else 'skipped' end,
           coalesce(o.decided_at, o.since),
           sync.orphaned_because() || coalesce(format('; %s decided to leave it as it is', o.decided_by), ''),
           case when o.decided_at is null then case 'orphaned' @{next_by_state} end
                else case 'skipped' @{next_by_state} end end, o.decided_at is null
    from sync.orphans o where o.system = of_system and o.entity_set = of_entity_set and o.record_id = of_record
$$;
comment on function sync.explain_place is 'What the hub knows of a record in one place, and what stands in its way there';

create function sync.explain_conflicts(of_entity text, of_common bigint)
    returns table (topic text, record text, state text, at timestamptz, said text, next text, cause boolean)
    language sql stable as $$
    select 'conflict', k.entity || ' ' || k.record, 'conflict', k.since,
           format('%s was changed on both sides: %s; before %s', k.field,
                  (select string_agg(h.key || ' ' || coalesce(h.value, '(empty)'), ', ' order by h.key) from jsonb_each_text(k.held) h),
                  coalesce(k.base, '(empty)')),
           format('never by itself: replicator resolve %s --take SIDE, or --value TEXT', k.id), true
    from sync.conflict k where k.common_id = of_common and k.entity = of_entity and k.state = 'open'
$$;
comment on function sync.explain_conflicts is 'The open conflicts of a common record, in words';

-- The flows a row takes part in: as their record, or as a part with its root.
create function sync.flows_of(of_relation text, of_record bigint)
    returns table (map sync.map, record_id bigint) language sql stable as $$
    select m, of_record from sync.map m where m.in_use and m.root is null and m.source = of_relation
    union
    select m, p.root_id from sync.part p
    join sync.map m on m.in_use and m.root is null and m.direction = 'out' and m.source = 'common.' || p.entity
    where p.relation = of_relation and p.record_id = of_record and p.root_id is not null
$$;
comment on function sync.flows_of is 'The flows of a row, and the record they mark for it: a part goes out with its root';

create function sync.explain(kind text, key text)
    returns table (place integer, depth integer, topic text, record text, state text, at timestamptz, said text, next text,
                   cause boolean)
    language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
    line record;
    here boolean := false;
    caused boolean := false;
    unread boolean := false;
    kept text;
    gone timestamptz;
begin
    place := 0;
    for line in
        with places as materialized (
            select * from sync.places(explain.kind, explain.key) with ordinality as p(place, system, entity_set, entity,
                relation, image, record_id, record, state, reason, at, number)
        ), flows as materialized (
            select min(p.number) as number, bool_or(p.state = 'here') as here, f.map, f.record_id
            from places p, sync.flows_of(p.relation, p.record_id) f
            where p.record_id is not null group by f.map, f.record_id
        ), told as (
            select 1 as part, p.number, 0 as depth, e.topic, e.record, e.state, e.at, e.said, e.next, e.cause
            from places p, sync.explain_place(p.place, p.system, p.entity_set, p.relation, p.record_id, p.record, p.state,
                                              p.reason, p.at) e
            union all
            select 2, p.number, 0, e.topic, e.record, e.state, e.at, e.said, e.next, e.cause
            from places p, sync.explain_conflicts(p.entity, p.record_id) e where p.entity is not null
            union all
            select case (f.map).direction when 'in' then 3 else 4 end, (f.map).rank, e.depth, e.topic, e.record, e.state,
                   e.at, e.said, e.next, e.cause
            from flows f, sync.explain_flow(f.map, f.record_id, 0, '{}') e
            where f.here or exists (select from sync.delivery d where d.map_id = (f.map).id and d.record_id = f.record_id)
        )
        select t.*, row_number() over () as told from told t
    loop
        here := here or line.topic = 'seen' and line.state = 'here';
        gone := greatest(gone, case when line.state = 'deleted' then line.at end);
        unread := unread or line.topic = 'captured';
        kept := coalesce(kept, case when line.topic = 'delete' and line.state = 'rejected' then line.said end);
        line.cause := line.cause and not (unread and line.state = 'unmarked');
        caused := caused or line.cause;
        place := place + 1;
        return query select place, line.depth, line.topic, line.record, line.state, line.at, line.said, line.next, line.cause;
    end loop;
    if place > 0 and not caused then
        return query select place + 1, 0, 'result', explain.kind || ' ' || explain.key,
            case when kept is not null then 'kept' when here then 'in step' else 'deleted' end, gone,
            case when kept is not null then 'not there any more in one system, and kept in the others: ' || kept
                 when here then 'in step everywhere' else 'deleted everywhere; nothing is left to do' end, null::text, false;
    end if;
end
$$;
comment on function sync.explain is 'Why a record stands as it does, from where it was seen to the root cause and what happens next';

create function sync.root_causes(kind text, key text)
    returns table (record text, state text, at timestamptz, said text, next text) language sql stable as $$
    select e.record, e.state, min(e.at), e.said, e.next from sync.explain(root_causes.kind, root_causes.key) e
    where e.cause group by e.record, e.state, e.said, e.next order by min(e.place)
$$;
comment on function sync.root_causes is 'The lines of sync.explain at which the chain ends; none when the record is in step';
