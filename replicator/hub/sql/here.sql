-- Where the hub is, so that it notices when it was restored.

-- Another cluster has another identifier; recovery to a point in time, or a standby that takes over, begins another
-- timeline; a dump is restored into another database, or into the same one as other tables. What none of these shows
-- is a cluster whose files were put back as they once were.
create function sync.here() returns text language sql stable as $$
    select concat_ws(' ', c.system_identifier,
                     case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end,
                     (select d.oid from pg_database d where d.datname = current_database()), 'sync.consumer'::regclass::oid)
    from pg_control_system() c
$$;
comment on function sync.here is 'The place of this hub: cluster, timeline, database and table; another one after a restore';
