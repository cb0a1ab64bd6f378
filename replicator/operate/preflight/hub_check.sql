-- name: server
-- The server, and whether the database and the role are what the hub needs.
select current_setting('server_version_num')::integer as version, current_setting('server_encoding') as encoding,
       current_setting('transaction_read_only')::boolean as read_only, lower(U&'\00C9') = U&'\00E9' as folds, current_user as role,
       sync.origin('check') is not null as names_causes,
       (select bool_or(a.grantee = 0 and a.privilege_type = 'CONNECT')
        from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        where d.datname = current_database()) as is_open, current_database() as database;

-- name: forbidden
-- Tables that the role cannot read and write.
select c.oid::regclass::text as name from pg_class c
where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace::regnamespace::text = any(:schemas)
  and c.oid::regclass::text not in ('sync.alembic_version', 'sync.hub', 'sync.map', 'sync.decision')
  and not (has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'INSERT')
           and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'DELETE'))
order by 1;

-- name: skew
-- The hub's clock.
select clock_timestamp();
