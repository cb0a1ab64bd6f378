-- One capture function and its triggers for a captured table; the placeholders are filled in for each of them.
-- Statement level with transition tables: one INSERT into the log per statement, whatever its size.
-- roles.sql lets nobody execute it, as a trigger of one's own would have to: that would run casts of one's own as the owner.
create function log.@{function}() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
as $capture$
declare
    cause text := sync.origin(nullif(current_setting('sync.origin', true), ''));
    who text := coalesce(cause, session_user);
begin
    if tg_op = 'UPDATE' and @{is_quiet} then
        null;  -- only a digest was written, which is nothing of the record
    elsif tg_op = 'INSERT' then
        insert into log.change (relation, record_id, operation, origin)
        select tg_relid, id, 'I', who from after;
    else
        -- Whether a value differs is not asked here but by the markings: comparing would slow every writer down
        -- more than a row of the log that says nothing new.
        with numbered as materialized (select nextval('log.change_seq') as seq, * from before),
        noted as (
            insert into log.change (seq, relation, record_id, operation, origin)
            select seq, tg_relid, id, left(tg_op, 1), who from numbered
        )
        insert into log.@{image} (seq, at, @{columns}) select seq, now(), @{columns} from numbered;
    end if;
    return null;
end
$capture$;

create trigger capture_insert after insert on @{table}
    referencing new table as after for each statement execute function log.@{function}();
create trigger capture_update after update on @{table}
    referencing old table as before for each statement execute function log.@{function}();
create trigger capture_delete after delete on @{table}
    referencing old table as before for each statement execute function log.@{function}();
create trigger refuse_truncate before truncate on @{table}
    for each statement execute function log.refuse_truncate();
alter table @{table} enable always trigger capture_insert;
alter table @{table} enable always trigger capture_update;
alter table @{table} enable always trigger capture_delete;
alter table @{table} enable always trigger refuse_truncate;
