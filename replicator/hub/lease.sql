-- name: is_free
-- Has nobody the lead, or has whoever had it let it run out?
select not exists (select from sync.lease where name = :name and expires_at >= sync.now()) as free;

-- name: is_quiet
-- Is no transaction of the leader, and no migration, under way?
select pg_try_advisory_xact_lock(cast(cast(to_regclass('sync.lease') as oid) as bigint)) as free;

-- name: acquire
-- Take the lead when nobody has it, or whoever had it has let it run out.
insert into sync.lease (name, holder, epoch, expires_at, goes_on)
values (:name, :holder, 1, sync.now() + make_interval(secs => :seconds), :goes_on)
on conflict (name) do update
set holder = excluded.holder, epoch = lease.epoch + 1, expires_at = excluded.expires_at, goes_on = excluded.goes_on
where lease.expires_at < sync.now()
returning epoch;

-- name: renew
-- Keep the lead, on the hub that it was taken on.
update sync.lease set expires_at = sync.now() + make_interval(secs => :seconds)
where name = :name and epoch = :epoch
  and :made_from = (select cast(to_jsonb(hub) - 'at' as text) from sync.hub hub);

-- name: check
-- Still leading, and on which hub?
select exists (select from sync.lease where name = :name and epoch = :epoch) as leads,
       (select cast(to_jsonb(hub) - 'at' as text) from sync.hub hub) as made_from;

-- name: release
-- Give up the lead at once.
update sync.lease set expires_at = sync.now() - interval '1 second' where name = :name and epoch = :epoch;

-- name: holder
-- Who is in the way: who leads, or a stranger with the lock of the leader's transactions, or who led last.
select coalesce(
    (select holder from sync.lease where name = :name and expires_at >= sync.now()),
    (select format('process %s of %s (%s), which holds its lock', pid, usename, application_name)
     from sync.lock_holders order by pid limit 1),
    (select holder from sync.lease where name = :name)
) as holder;

-- name: leader
-- Who leads at this moment.
select holder from sync.lease where name = :name and expires_at >= sync.now();

-- name: end_when_idle
-- A leader that freezes within a transaction loses it, and with it the lock that holds off the next one.
select set_config('idle_in_transaction_session_timeout', :milliseconds, false);
