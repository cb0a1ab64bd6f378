-- Who writes and who decides, and how that is told.

-- The replicator's own logins: members of the daemon's role, or of the owner of schema sync.
create function sync.is_replicator(login name) returns boolean language sql stable as $$
    select exists (select from pg_catalog.pg_namespace n
                   where n.nspname = 'sync' and pg_has_role(login, n.nspowner, 'MEMBER'))
        or exists (select from pg_catalog.pg_roles r
                   where r.rolname = 'replicator_daemon' and pg_has_role(login, r.oid, 'MEMBER'))
$$;
comment on function sync.is_replicator is 'Whether a login is one that the replicator works with';

-- The cause of a write. Only the replicator may name one; anybody else is named by role.
-- Strict, so that the writes of people, who name none, do not pay for it.
create function sync.origin(cause text) returns text language sql stable strict as $$
    select case when sync.is_replicator(session_user) then cause end
$$;
comment on function sync.origin(text) is 'The cause given for a write, if this session may give one';

-- Who decides: a person whom the console names, where this session may act for others; else the session's role.
create function sync.actor() returns text language sql stable as $$
    select coalesce(sync.origin(nullif(current_setting('sync.actor', true), '')), session_user)
$$;
comment on function sync.actor is 'Who is deciding, for sync.decision';

create function sync.who(origin text) returns text language sql immutable as $$
    select case split_part(origin, ':', 1)
        when 'snapshot' then 'by the read of ' || split_part(origin, ':', 2)
        when 'merge' then 'by the merge from ' || split_part(origin, ':', 2)
        when 'deliver' then 'by the delivery to ' || split_part(origin, ':', 2)
        when 'configuration' then 'by the configuration'
        else 'by ' || origin end
$$;
comment on function sync.who is 'The origin of a change in words';
