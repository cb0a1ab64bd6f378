-- name: to_do
-- Which maps have anything to look at, and of what kind: one question instead of a claim for each. None that is paused.
select m.id as map_id,
       works and exists (select from sync.delivery d where d.map_id = m.id and d.state = 'pending') as pending,
       works and exists (select from sync.delivery d where d.map_id = m.id and d.state = 'blocked') as blocked,
       works and exists (select from sync.delivery d where d.map_id = m.id and d.state = 'unknown') as unknown,
       works and exists (select from sync.delivery d where d.map_id = m.id and d.next_at <= sync.now()) as due
from sync.map m, lateral (select not sync.is_paused(m.id)) as flow (works) where m.in_use;

-- name: due_in
-- In how many seconds the first of the deliveries is due that are tried again, or looked up, after a pause.
select extract(epoch from min(d.next_at) - sync.now())
from sync.delivery d join sync.map m on m.id = d.map_id
where d.state in ('failed', 'unknown') and m.in_use and not sync.is_paused(m.id);

-- name: make
-- The records under way, for one transaction; the session keeps the table.
create temporary table if not exists claim (
    record_id bigint primary key, marked integer not null, state sync.delivery_state not null
) on commit delete rows;

-- name: take
-- Claim records of a map, oldest id first, leaving out what another session holds; none while the map is paused.
insert into claim
select record_id, marked, state from sync.delivery
where map_id = :map_id and state = any(cast(:states as sync.delivery_state[])) and record_id > :after
  and not sync.is_paused(cast(:map_id as smallint))
order by record_id limit :limit
for update skip locked;

-- name: take_due
-- Claim records whose pause is over.
insert into claim
select record_id, marked, state from sync.delivery
where map_id = :map_id and state = 'failed' and next_at <= sync.now() and not sync.is_paused(cast(:map_id as smallint))
order by next_at limit :limit
for update skip locked;

-- name: last
-- Where the next claim goes on, and how many this one holds.
select min(record_id) as first, max(record_id) as last, count(*) as records from claim;

-- name: held
-- The claim as it is, to be put back after a part of it was tried alone.
select record_id, marked, state::text as state from claim order by record_id;

-- name: clear
-- Empty the claim.
delete from claim;

-- name: put
-- Fill the claim anew.
insert into claim
select * from unnest(cast(:ids as bigint[]), cast(:marks as integer[]), cast(:states as sync.delivery_state[]));

-- name: settled
-- In step: nothing to do and nothing to show.
delete from sync.delivery d using claim c, unnest(cast(:ids as bigint[])) as done (record_id)
where d.map_id = :map_id and d.record_id = done.record_id and c.record_id = done.record_id and d.marked = c.marked;

-- name: show
-- Something is wrong or has to wait: say so, unless exactly that is said already.
update sync.delivery d
set state = cast(o.state as sync.delivery_state), reason = o.reason, field = o.field, code = o.code, record = o.record,
    waits_for = case when o.waits_for is null then null else array(select jsonb_array_elements_text(o.waits_for)) end,
    operation = o.operation, next_at = null, tried_at = sync.now()
from jsonb_to_recordset(cast(:outcomes as jsonb))
     as o(record_id bigint, state text, reason text, record text, waits_for jsonb, operation text,
          code text, field text)
where d.map_id = :map_id and d.record_id = o.record_id
  and (d.state::text, d.reason, d.record, d.operation, d.code, d.field)
      is distinct from (o.state, o.reason, o.record, o.operation, o.code, o.field)
      or (d.map_id = :map_id and d.record_id = o.record_id and d.waits_for is distinct from
          case when o.waits_for is null then null else array(select jsonb_array_elements_text(o.waits_for)) end);
