-- Whether a record has arrived in a system, and which reads tell of it.

-- The entity sets that tell of changes of the record, for one system to hear of them.
create function sync.sources(kind text, key text, into_system text)
    returns table (system text, entity_set text, read_at timestamptz) language sql stable as $$
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
    select distinct m.system, m.entity_set, e.read_at
    from aggregate w join sync.map m on m.in_use and m.direction = 'in' and m.source = w.relation
    left join sync.entity_set e on e.system = m.system and e.entity_set = m.entity_set
    where m.system <> sources.into_system
$$;
comment on function sync.sources is
    'The entity sets from which a record goes into a system, and when the last read of each began';

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
        and not exists (select from flows f join sync.delivery d on d.map_id = f.id and d.record_id = f.record_id
                        where d.code is distinct from 'history')
        and not exists (select from sync.conflict k join places p on p.entity = k.entity and p.record_id = k.common_id
                        where k.state = 'open')
        and not exists (select from sync.proposed_delete d join places p on p.system = d.system
                            and p.entity_set = d.entity_set and p.record_id = d.record_id
                        where d.state in ('held', 'proposed', 'approved'))
    end
$$;
comment on function sync.arrived is
    'Whether a record as it is known now is in a system, with nothing left on its way; null when it is not known';
