-- name: begin
-- Everything from here on is taken back in the end. What others hold is waited for, but not long.
set local lock_timeout = '5s';
savepoint rehearsal;

-- name: commit
-- What a commit would do: check what was deferred, end what was meant for one transaction, and begin the next.
set constraints all immediate;
set constraints all deferred;
release savepoint rehearsal;
set local work_mem to default;
set local enable_nestloop to default;
select set_config('sync.origin', '', true);
drop table if exists pg_temp.changed, pg_temp.work;
do $$
begin
    -- Emptied, not dropped: each dropped table would keep its locks to the end, and there may be thousands.
    if to_regclass('pg_temp.claim') is not null then
        truncate pg_temp.claim;
    end if;
end
$$;
savepoint rehearsal;

-- name: rollback
-- Back to the last commit.
rollback to savepoint rehearsal;
