-- The values of a record over time. A before-image is the value until a change; the next one, or the row itself, the
-- value after it. Within one record changes are in the order of their transactions' beginnings.

create function sync.unread(of_relation text, of_record bigint) returns boolean language sql stable as $$
    select exists (
        select from log.change c
        left join sync.consumer k on k.name = 'replicator'
        where c.record_id = of_record and c.relation = of_relation::regclass
          and (k.name is null or c.txid >= pg_snapshot_xmin(k.snapshot)
               and not pg_visible_in_snapshot(c.txid, k.snapshot)))
$$;
comment on function sync.unread is 'Whether the log tells of a change of a record that nobody has looked at yet';

create function sync.log_begin() returns timestamptz language sql stable as
$$ select at from log.change order by txid limit 1 $$;
comment on function sync.log_begin is 'How far back the log reaches; null when it is empty';

-- One row per change of one record: the row before it and after it.
create function sync.images(of_relation text, of_image text, of_record bigint)
    returns table (seq bigint, at timestamptz, operation "char", origin text, before jsonb, after jsonb)
    language plpgsql stable set jit = off as $$
begin
    return query execute format($query$
        with change as (
            select c.seq, c.at, c.operation::"char" as operation, c.origin, to_jsonb(i) - array['seq', 'at', 'id'] as before
            from log.change c left join log.%I i on i.seq = c.seq and i.at = c.at
            where c.record_id = $1 and c.relation = $2::regclass
        )
        select c.seq, c.at, c.operation, c.origin, c.before,
               case when c.operation = 'D' then null
                    when lead(c.seq) over later is null
                    then (select to_jsonb(t) - array['id', 'etag', 'digest'] from %s t where t.id = $1)
                    else lead(c.before) over later end
        from change c
        window later as (order by c.at, c.seq)
        order by c.at, c.seq
    $query$, of_image, of_relation) using of_record, of_relation;
end
$$;
comment on function sync.images is 'The changes of one row of a captured table: the row before and after each of them';

create function sync.held_now(of_relation text, of_record bigint) returns jsonb language plpgsql stable as $$
declare
    found jsonb;
begin
    execute format('select to_jsonb(t) - array[''id'', ''etag'', ''digest''] from %s t where t.id = $1', of_relation)
        into found using of_record;
    return found;
end
$$;
comment on function sync.held_now is 'A row of a captured table as it is now';

create function sync.history(kind text, key text)
    returns table (at timestamptz, place text, operation text, origin text, field text, before jsonb, after jsonb)
    language sql stable set jit = off as $$
    with places as materialized (
        select * from sync.places(history.kind, history.key, true) p where p.record_id is not null
    ), known as (
        select p.place, p.relation, p.record_id, i.seq, i.at, i.operation, i.origin, i.before, i.after,
               row_number() over (partition by p.relation, p.record_id order by i.at, i.seq) as place_in_time
        from places p, sync.images(p.relation, p.image, p.record_id) i
    ), unlogged as (
        select p.place, p.relation, p.record_id from places p
        where p.state = 'here'
          and not exists (select from log.change c where c.record_id = p.record_id and c.relation = p.relation::regclass)
    ), told as (
        -- The log does not tell how the record came to be: all there is to say is what it was then.
        select null::timestamptz as at, k.place, 'known' as operation, null as origin, null as field,
               null::jsonb as before, k.before as after, k.record_id, 0::bigint as seq
        from known k where k.place_in_time = 1 and k.operation <> 'I'
        union all
        select null, u.place, 'known', null, null, null, sync.held_now(u.relation, u.record_id), u.record_id, 0
        from unlogged u
        union all
        select k.at, k.place, case k.operation when 'I' then 'created' else 'deleted' end, k.origin, null,
               k.before, k.after, k.record_id, k.seq
        from known k where k.operation <> 'U'
        union all
        select k.at, k.place, 'changed', k.origin, f.key, f.value, k.after -> f.key, k.record_id, k.seq
        from known k, jsonb_each(k.before) f
        where k.operation = 'U' and f.value is distinct from k.after -> f.key
    )
    select t.at, t.place, t.operation, t.origin, t.field, t.before, t.after
    from told t order by t.at nulls first, t.seq, t.place, t.record_id, t.field
$$;
comment on function sync.history is
    'Every change of a record in common and in the mirrors, oldest first; known: as the log found it, which reaches no further';

-- The value at a moment is the image before the first change after it; without one, the row as it is.
create function sync.as_of(kind text, key text, moment timestamptz)
    returns table (place text, key text, record jsonb, known boolean) language sql stable set jit = off as $$
    with places as materialized (
        select p.place, p.record, p.relation, p.image, p.record_id, p.state from sync.places($1, $2, true) p
        where p.record_id is not null
    ), told as (
        select p.place, p.record as called, p.record_id, p.state, later.operation as next, later.before,
               sync.held_now(p.relation, p.record_id) as held,
               earlier.seq is not null or coalesce(sync.log_begin() <= $3, $3 >= now()) as reached
        from places p
        left join lateral (select i.operation, i.before from sync.images(p.relation, p.image, p.record_id) i
                           where i.at > $3 order by i.at, i.seq limit 1) later on true
        left join lateral (select c.seq from log.change c
                           where c.record_id = p.record_id and c.relation = p.relation::regclass and c.at <= $3
                           limit 1) earlier on true
    )
    select t.place, t.called, case when t.reached then coalesce(t.before, t.held) end, t.reached
    from told t
    where t.next is distinct from 'I' and (t.next is not null or t.held is not null)
    order by t.place, t.record_id
$$;
comment on function sync.as_of is
    'A record as each place held it at a moment; not known: the log does not reach back that far';
