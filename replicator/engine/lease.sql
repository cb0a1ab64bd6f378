-- name: acquire
-- Take the lead when nobody has it, or whoever had it has let it run out.
insert into sync.lease (name, holder, epoch, expires_at)
values (:name, :holder, 1, sync.now() + make_interval(secs => :seconds))
on conflict (name) do update
set holder = excluded.holder, epoch = lease.epoch + 1, expires_at = excluded.expires_at
where lease.expires_at < sync.now()
returning epoch;

-- name: renew
-- Keep the lead.
update sync.lease set expires_at = sync.now() + make_interval(secs => :seconds)
where name = :name and epoch = :epoch;

-- name: check
-- Still leading? The lock keeps anybody from taking over before this transaction ends.
select true from sync.lease where name = :name and epoch = :epoch for key share;

-- name: release
-- Give up the lead at once.
update sync.lease set expires_at = sync.now() - interval '1 second' where name = :name and epoch = :epoch;

-- name: holder
-- Who leads, and until when.
select holder, expires_at from sync.lease where name = :name;

-- name: leader
-- Who leads at this moment.
select holder from sync.lease where name = :name and expires_at >= sync.now();
