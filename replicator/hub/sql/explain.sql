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

-- The entity sets that tell of changes of the record, for one system to hear of them.
create function sync.sources(kind text, key text, into_system text)
    returns table (system text, entity_set text, read_at timestamptz, began_at timestamptz) language sql stable as $$
    with places as materialized (select * from sync.places(sources.kind, sources.key) p),
    aggregate as (
        select p.relation from places p where p.system is not null
        union
        select x.relation from places p join sync.part x on x.entity = p.entity and x.root_id = p.record_id
        union
        select m.source from sync.map m
        where m.in_use and m.direction = 'in' and m.entity = sources.kind and not exists (select from places p where p.entity is not null)
        union
        select c.relation from sync.captured c where c.place = sources.kind and c.system is not null
    )
    select distinct m.system, m.entity_set, e.read_at,
           (select max(s.started_at) from sync.snapshot s where s.system = m.system and s.entity_set = m.entity_set)
    from aggregate w join sync.map m on m.in_use and m.direction = 'in' and m.source = w.relation
    left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
    where m.system <> sources.into_system
$$;
comment on function sync.sources is
    'The entity sets from which a record goes into a system: when each was read, and when the last read that changed something began';

-- Null for a record that nobody knows. One statement sees the log, the deliveries and the crosswalk at one moment, so
-- that a change is never between two of them.
create function sync.arrived(kind text, key text, into_system text) returns boolean language sql stable set jit = off as $$
    with places as materialized (select * from sync.places(arrived.kind, arrived.key) p),
    known as materialized (
        select p.relation, p.record_id, p.entity from places p where p.record_id is not null
        union
        select x.relation, x.record_id, null from places p
        join sync.part x on x.entity = p.entity and x.root_id = p.record_id
    ), flows as materialized (
        select distinct (f.map).id, f.record_id from known k, sync.flows_of(k.relation, k.record_id) f
        where (f.map).direction = 'in' or (f.map).system = into_system
    )
    select case when not exists (select from places) then null else
        exists (select from places p where p.system = into_system and p.state = 'here')
        and not exists (select from places p where p.state in ('quarantined', 'deleted'))
        and not exists (select from known k where sync.unread(k.relation, k.record_id))
        and not exists (select from flows f join sync.delivery d on d.map_id = f.id and d.record_id = f.record_id)
        and not exists (select from sync.conflict k join places p on p.entity = k.entity and p.record_id = k.common_id
                        where k.state = 'open')
        and not exists (select from sync.proposed_delete d join places p on p.system = d.system
                            and p.entity_set = d.entity_set and p.record_id = d.record_id
                        where d.state in ('held', 'proposed', 'approved'))
    end
$$;
comment on function sync.arrived is
    'Whether a record as it is known now is in a system, with nothing left on its way; null when it is not known';
