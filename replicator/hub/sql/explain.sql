-- Why a record is as it is: one line of the chain per row, in plain words.

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
        line.cause := line.cause and not (unread and line.state = 'unmarked');
        caused := caused or line.cause;
        place := place + 1;
        return query select place, line.depth, line.topic, line.record, line.state, line.at, line.said, line.next, line.cause;
    end loop;
    if place > 0 and not caused then
        return query select place + 1, 0, 'result', explain.kind || ' ' || explain.key,
            case when here then 'in step' else 'deleted' end, gone,
            case when here then 'in step everywhere' else 'deleted everywhere; nothing is left to do' end, null::text, false;
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
