-- One capture function and its triggers for a captured table; the placeholders are filled in for each of them.
-- Statement level with transition tables: one INSERT into the log per statement, whatever its size.
create function log.@{function}() returns trigger
    -- A cached plan takes both transition tables for one row each; as a nested loop it would be quadratic in bulk.
    language plpgsql security definer set search_path = pg_catalog set enable_nestloop = off
as $capture$
declare
    who text := sync.origin();
begin
    if tg_op = 'INSERT' then
        insert into log.change (relation, record_id, operation, origin)
        select tg_relid, id, 'I', who from after;
    elsif tg_op = 'UPDATE' then
        with changed as (
            insert into log.change (relation, record_id, operation, origin)
            select tg_relid, before.id, 'U', who
            from before join after on after.id = before.id
            where @{differs}
            returning seq, record_id
        )
        insert into log.@{image} (seq, at, @{columns})
        select changed.seq, now(), @{before_columns}
        from changed join before on before.id = changed.record_id;
    else
        with changed as (
            insert into log.change (relation, record_id, operation, origin)
            select tg_relid, id, 'D', who from before
            returning seq, record_id
        )
        insert into log.@{image} (seq, at, @{columns})
        select changed.seq, now(), @{before_columns}
        from changed join before on before.id = changed.record_id;
    end if;
    return null;
end
$capture$;

create trigger capture_insert after insert on @{table}
    referencing new table as after for each statement execute function log.@{function}();
create trigger capture_update after update on @{table}
    referencing old table as before new table as after for each statement execute function log.@{function}();
create trigger capture_delete after delete on @{table}
    referencing old table as before for each statement execute function log.@{function}();
create trigger refuse_truncate before truncate on @{table}
    for each statement execute function log.refuse_truncate();
alter table @{table} enable always trigger capture_insert;
alter table @{table} enable always trigger capture_update;
alter table @{table} enable always trigger capture_delete;
alter table @{table} enable always trigger refuse_truncate;
