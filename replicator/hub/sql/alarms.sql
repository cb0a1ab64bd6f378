-- What people are told of: everything that stands in the way, with an example and its root cause.
create view sync.alarms as
with example as (
    select distinct on (t.cause) t.cause, t.map_id, t.record_id, t.record
    from sync.trouble t where t.state <> 'skipped' order by t.cause, t.since, t.record_id
), wrong as (
    select c.cause, format('%s: %s %s: %s', c.flow, c.records, c.state, c.reason) as title, c.records, c.since,
           e.record, e.map_id, e.record_id, c.state, c.reason
    from sync.causes c join example e using (cause)
    union all
    select 'not read ' || p.system || '.' || p.entity_set,
           format('%s.%s cannot be read: %s', p.system, p.entity_set, p.problem), 1, p.since, null, null, null, 'not_read',
           p.problem
    from sync.problems p
    union all
    select 'conflict ' || k.entity || '.' || k.field,
           format('%s.%s: changed on both sides, a person has to decide', k.entity, k.field), count(*), min(k.since),
           min(k.record), null, null, 'conflict', 'replicator conflicts lists the values, replicator resolve decides'
    from sync.conflicts k group by k.entity, k.field
)
select w.cause, w.title, w.records, w.since, w.record,
       coalesce(deeper.said, w.reason) as root_cause,
       case when w.state in (@{states_moving}, 'blocked', 'not_read') then case w.state @{next_by_state} end
            when w.state = 'held' then 'replicator approve or reject --cause ' || w.cause
            when w.state = 'conflict' then 'replicator conflicts; replicator resolve'
            else 'replicator causes ' || w.cause || '; correct the records, or replicator retry or skip' end as next
from wrong w
left join lateral (
    -- A record that waits has nothing wrong with it: say what it waits for in the end. What that is told for itself
    -- need not be told again for everything behind it.
    select string_agg(distinct e.record || ' (' || e.state || '): ' || e.said, '; ') as said,
           bool_and(e.state in (@{states_failures}, 'quarantined')) as told
    from sync.map m cross join lateral sync.explain_flow(m, w.record_id, 0, '{}') e
    where w.state = 'blocked' and m.id = w.map_id and e.cause
) deeper on true
where not coalesce(deeper.told, false);
comment on view sync.alarms is 'What people are told of, once for each cause: with an example, its root cause, and what comes next';
comment on column sync.alarms.title is 'Flow, how many records, state and reason, in one line';
comment on column sync.alarms.record is 'One of the records';
comment on column sync.alarms.since is 'When the first of its records was marked, or the read first failed';
comment on column sync.alarms.root_cause is 'What it comes down to, where the records wait for others';
comment on column sync.alarms.next is 'What happens by itself, or what a person has to do';
