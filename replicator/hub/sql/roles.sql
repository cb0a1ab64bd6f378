-- Who may do what. Roles belong to the server: all hubs on it share them, and each hub gives them rights of its own.
-- A login becomes a daemon, reader or steward by membership: grant replicator_steward to anna.

-- Closed first, whatever follows: as it is made, a function is open to everybody.
revoke execute on all functions in schema log, sync, desired from public;
-- The indexes of common call this one as whoever writes, and that may be anybody whom an administrator lets.
grant execute on function sync.fold(text) to public;

do $roles$
declare
    places constant text[] := array[@{schemas}];
    systems constant text[] := array[@{systems}];
    decisions constant text[] := array[@{decisions}];
    upkeep constant text[] := array['log.make_partitions', 'log.drop_partitions', 'log.forget_other_cluster', 'sync.analyze',
                                    'sync.hint', 'sync.prune'];
    place text;
    item text;
begin
    foreach item in array array['owner', 'daemon', 'reader', 'steward'] loop
        begin
            if to_regrole('replicator_' || item) is null then
                execute format('create role %I nologin', 'replicator_' || item);
            end if;
        exception when duplicate_object or unique_violation then
            null;  -- another hub of the server is migrated at this moment
        end;
    end loop;
    if not pg_has_role(current_user, 'replicator_owner', 'usage') then
        grant replicator_owner to current_user;
    end if;
    begin
        -- For sync.sessions, which shows of the hub's sessions who they are and nothing of what they ask.
        if not pg_has_role('replicator_owner', 'pg_read_all_stats', 'usage') then
            grant pg_read_all_stats to replicator_owner;
        end if;
    exception when others then
        null;  -- not ours to give; 'replicator status' shows less then
    end;

    -- The owner, whom nobody logs in as, has everything; functions that need its rights run with them. Temporary
    -- objects are the daemon's and the owner's alone, and come last wherever the owner's rights are at work: else one
    -- that bears the name of a type or a table of the system would be taken for it.
    execute format('revoke connect, temporary on database %I from public', current_database());
    execute format('grant connect on database %I to replicator_owner, replicator_daemon, replicator_reader, '
                   'replicator_steward', current_database());
    execute format('grant create, temporary on database %I to replicator_owner', current_database());
    execute format('grant temporary on database %I to replicator_daemon', current_database());
    alter default privileges for role replicator_owner revoke execute on functions from public;
    foreach place in array places loop
        execute format('alter schema %I owner to replicator_owner', place);
        execute format('grant usage on schema %I to replicator_daemon, replicator_reader, replicator_steward', place);
    end loop;
    for item in
        select format('alter table %s owner to replicator_owner', c.oid::regclass)
        from pg_class c
        where relnamespace::regnamespace::text = any (places) and relkind in ('r', 'p', 'v', 'S')
          and relowner <> 'replicator_owner'::regrole
          and not exists (select from pg_depend d where d.objid = c.oid and relkind = 'S' and d.deptype in ('a', 'i'))
        union all
        select format('alter routine %s owner to replicator_owner', p.oid::regprocedure)
        from pg_proc p
        where pronamespace::regnamespace::text = any (places) and proowner <> 'replicator_owner'::regrole
        union all
        select format('alter type %s owner to replicator_owner', t.oid::regtype)
        from pg_type t
        where typnamespace::regnamespace::text = any (places) and typtype = 'e'
          and typowner <> 'replicator_owner'::regrole
    loop
        execute item;
    end loop;

    -- Functions that only read are for everybody who may look. Of those that write, decisions are the steward's and the
    -- daemon's, upkeep the daemon's, and the others (triggers, and parts of these) nobody's but the owner's.
    for item in
        select case when p.provolatile <> 'v' and n.nspname in ('sync', 'desired')
                    then format('grant execute on function %s to replicator_daemon, replicator_reader, replicator_steward',
                                p.oid::regprocedure)
                    when n.nspname = 'sync' and p.proname = any (decisions)
                    then format('grant execute on function %s to replicator_daemon, replicator_steward', p.oid::regprocedure)
                    when n.nspname || '.' || p.proname = any (upkeep)
                    then format('grant execute on function %s to replicator_daemon', p.oid::regprocedure) end
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('log', 'sync', 'desired')
        union all
        select format('alter function %s security definer set search_path = pg_catalog, pg_temp', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname || '.' || p.proname = any (upkeep || array['sync.sessions'])
           or n.nspname = 'sync' and p.proname = any (decisions)
    loop
        continue when item is null;
        execute item;
    end loop;

    -- Readers see everything and change nothing.
    foreach place in array places loop
        execute format('grant select on all tables in schema %I to replicator_daemon, replicator_reader, '
                       'replicator_steward', place);
    end loop;

    -- The daemon writes mirrors, common and its own state, never the log; nor what the owner's functions go by.
    foreach place in array systems || array['common', 'sync'] loop
        execute format('grant insert, update, delete on all tables in schema %I to replicator_daemon', place);
    end loop;
    revoke insert, update, delete on sync.alembic_version, sync.hub, sync.map from replicator_daemon;
    grant update (mode, last_success_at, marked_hash, opened_at) on sync.map to replicator_daemon;
    revoke update, delete on sync.decision from replicator_daemon;

    -- Stewards edit common, and decide.
    grant insert, update, delete on all tables in schema common to replicator_steward;
exception when insufficient_privilege then
    raise notice 'the roles of the hub could not be set up: %', sqlerrm
        using hint = 'migrate once as a role that may create roles; until then every login works as the owner';
end
$roles$;
