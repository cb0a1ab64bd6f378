-- name: moment
-- What is visible before the first request: writes of ours that are not in it may be newer than what is read.
select pg_current_snapshot()::text;

-- name: position
-- How far the entity set has been read, and whether it was last read whole more than a day ago.
select token, whole_at < sync.now() - interval '1 day' as whole_is_old
from sync.entity_set where system = :system and entity_set = :entity_set;

-- name: keep_position
-- The set was read; the token moves on in the transaction that stored what was read.
insert into sync.entity_set (system, entity_set, token, whole_at, read_at)
values (:system, :entity_set, :token, case when :whole then sync.now() end, sync.now())
on conflict (system, entity_set) do update
set token = excluded.token, whole_at = coalesce(excluded.whole_at, entity_set.whole_at),
    read_at = excluded.read_at, problem = null, problem_since = null;

-- name: keep_problem
-- The set could not be read; what was read before stays as it is.
insert into sync.entity_set (system, entity_set, problem, problem_since)
values (:system, :entity_set, :problem, sync.now())
on conflict (system, entity_set) do update
set problem = excluded.problem, problem_since = coalesce(entity_set.problem_since, excluded.problem_since);

-- name: touched
-- Mirror rows that an acknowledgement wrote since the read began.
select distinct record_id from log.change
where relation = cast(:mirror as regclass) and origin like 'deliver:%'
  and txid >= pg_snapshot_xmin(cast(:moment as pg_snapshot))
  and not pg_visible_in_snapshot(txid, cast(:moment as pg_snapshot));

-- name: recent_deletes
-- Deletes of the entity set that went ahead within the budget's day.
select count(*) from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('proposed', 'done') and decided_by is null
  and proposed_at > sync.now() - interval '1 day';

-- name: decided
-- Proposed deletes that may go ahead once their records have been looked up.
select id, record_id from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('proposed', 'approved') order by id;

-- name: settle
-- What became of proposed deletes.
update sync.proposed_delete set state = :state, reason = :reason where id = any(:ids);

-- name: undecided
-- Records whose deletes wait for a decision, or were decided against.
select record_id from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('held', 'approved', 'rejected');

-- name: withdraw
-- Records that are there after all need no decision.
update sync.proposed_delete p set state = 'withdrawn', reason = 'the record is there again'
where system = :system and entity_set = :entity_set and state in ('held', 'approved', 'rejected')
  and record_id = any(:ids);
