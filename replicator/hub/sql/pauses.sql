-- What stands still on purpose: flows, systems or a direction are paused, and resumed.

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
