-- Who may do what. Roles belong to the server: all hubs on it share them, and each hub gives them rights of its own.
-- A login becomes a daemon, reader or steward by membership: grant replicator_steward to anna.
do $roles$
declare
    places constant text[] := array[@{schemas}];
    systems constant text[] := array[@{systems}];
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
        -- Who holds back the log's window is seen only by those who may see the sessions of others.
        if not pg_has_role('replicator_reader', 'pg_read_all_stats', 'usage') then
            grant pg_read_all_stats to replicator_daemon, replicator_reader, replicator_steward;
        end if;
    exception when others then
        null;  -- not ours to give; 'replicator status' shows less then
    end;

    -- The owner, whom nobody logs in as, has everything; functions that need its rights run with them.
    execute format('grant create on database %I to replicator_owner', current_database());
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
    for item in
        select format('alter function %s security definer set search_path = pg_catalog', p.oid::regprocedure)
        from pg_proc p
        where p.pronamespace::regnamespace::text in ('log', 'sync')
          and p.proname = any (array['make_default_partitions', 'make_partitions', 'drop_partitions', 'clear_default',
                                     'drop_day', 'analyze', @{decisions}])
    loop
        execute item;
    end loop;

    -- Readers see everything and change nothing.
    foreach place in array places loop
        execute format('grant select on all tables in schema %I to replicator_daemon, replicator_reader, '
                       'replicator_steward', place);
    end loop;

    -- The daemon writes mirrors, common and its own state, never the log.
    foreach place in array systems || array['common', 'sync'] loop
        execute format('grant insert, update, delete on all tables in schema %I to replicator_daemon', place);
    end loop;
    revoke insert, update, delete on sync.alembic_version, sync.hub from replicator_daemon;
    revoke update, delete on sync.decision from replicator_daemon;
    execute format('grant temporary on database %I to replicator_daemon', current_database());

    -- Stewards edit common, and decide.
    grant insert, update, delete on all tables in schema common to replicator_steward;
    for item in
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'sync'::regnamespace and p.proname = any (array[@{decisions}])
    loop
        execute format('revoke execute on function %s from public', item);
        execute format('grant execute on function %s to replicator_steward, replicator_daemon', item);
    end loop;
exception when insufficient_privilege then
    raise notice 'the roles of the hub could not be set up: %', sqlerrm
        using hint = 'migrate once as a role that may create roles; until then every login works as the owner';
end
$roles$;
