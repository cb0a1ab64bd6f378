-- name: recent_deletes
-- Deletes of the entity set that went ahead within the budget's day.
select count(*) from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('proposed', 'done') and decided_by is null
  and proposed_at > sync.now() - interval '1 day';

-- name: standing
-- Those of these records that wait for a decision, go ahead, or that a person decided to keep.
select record_id, state from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('held', 'approved', 'proposed', 'rejected')
  and record_id = any(:ids);

-- name: undecided
-- Records whose deletes wait for a decision, or were decided against.
select record_id from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('held', 'approved', 'rejected');

-- name: withdraw
-- Records that are there after all need no decision.
update sync.proposed_delete p set state = 'withdrawn', reason = 'the record is there again'
where system = :system and entity_set = :entity_set and state in ('held', 'approved', 'rejected')
  and record_id = any(:ids);

-- name: decided
-- Proposed deletes that may go ahead once their records have been looked up.
select id, record_id from sync.proposed_delete
where system = :system and entity_set = :entity_set and state in ('proposed', 'approved') order by id;

-- name: settle
-- What became of proposed deletes.
update sync.proposed_delete set state = :state, reason = :reason where id = any(:ids);
