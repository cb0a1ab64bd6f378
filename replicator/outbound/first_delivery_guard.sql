-- name: unopened
-- A map whose first delivery has not been let through, unless it is only observed, how many of its updates are held
-- already, and whether all that feeds it was read and merged. Nobody approves it meanwhile.
select m.opened_at is null and m.mode <> 'observe' as closed,
       (select count(*) from sync.delivery d where d.map_id = m.id and d.state = 'held') as held,
       not exists (select from sync.map f
                   left join sync.entity_set e on e.system = f.system and e.entity_set = f.entity_set
                   where f.name = any(:feeding)
                     and (e.whole_at is null
                          or exists (select from sync.delivery d where d.map_id = f.id and d.state = 'pending'))) as fed
from sync.map m where m.id = :map_id for no key update;

-- name: open
-- The first delivery is within the budget: from here on updates go out as they come.
update sync.map set opened_at = sync.now() where id = :map_id;
