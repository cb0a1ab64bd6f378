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

-- For names that somebody typed; what a list showed a moment ago may be in step by now.
create function sync.check_names(of_flow text, of_records text[]) returns void language plpgsql stable as $$
declare
    unmatched text;
begin
    perform sync.check_selection(of_flow, null);
    select string_agg(name, '; ' order by name) into unmatched from (
        select unnest(of_records) as name
        except select d.record from sync.delivery d join sync.map m on m.id = d.map_id
               where m.in_use and (of_flow is null or m.name = of_flow)
        except select r.record from sync.quarantine r where of_flow is null or of_flow = r.system || '.' || r.entity_set
        except select p.record from sync.proposed_delete p
               where p.state = 'held' and (of_flow is null or of_flow = p.system || '.' || p.entity_set)
        except select o.record from sync.orphans o where of_flow is null or of_flow = o.system || '.' || o.entity_set
    ) names;
    if unmatched is not null then
        raise exception 'there is nothing to decide about: %', unmatched
            using hint = 'nothing was decided; a record is named as ''status --details'' names it, and no more when it is in step';
    end if;
end
$$;
comment on function sync.check_names is 'Refuses names that nothing bears of which anything could be decided';

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
    tried := tried + sync.decide_orphans(false, of_flow, of_record, of_cause, of_records);
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
    skipped := skipped + sync.decide_orphans(true, of_flow, of_record, of_cause, of_records);
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

create function sync.decide_orphans(
    are_fine boolean, of_flow text, of_record text, of_cause text, of_records text[]
) returns bigint language sql as $$
    with decided as (
        update sync.orphan n
        set decided_at = case when are_fine then sync.now() end, decided_by = case when are_fine then sync.actor() end
        from sync.orphans o
        where o.system = n.system and o.entity_set = n.entity_set and o.record_id = n.record_id
          and (n.decided_at is null) = are_fine
          and sync.is_meant(of_flow, of_record, of_records, o.system || '.' || o.entity_set, o.record)
          and (of_cause is null or of_cause = sync.orphaned_cause(o.system, o.entity_set))
        returning 1
    ), released as (  -- what waited for this decision
        update sync.delivery d set state = 'pending', marked = d.marked + 1
        where d.state = 'blocked' and d.code = 'orphaned parts' and are_fine and exists (select from decided)
        returning 1
    )
    select count(*) from decided
$$;
comment on function sync.decide_orphans is
    'Says of orphaned records that they are fine, or takes that back; for sync.skip and sync.retry';

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
