-- What systems say by themselves: that something changed in some of their entity sets. Never what.

-- Sets that were never read are due without it, and names that none bears are of sets that nobody reads. It gives way to
-- the work, which may hold a set while it waits for another one: whoever was told of something tells it again.
create function sync.hint(of_system text, of_entity_sets text[]) returns bigint language plpgsql
    set lock_timeout = '500ms' as $$
declare
    marked bigint;
begin
    update sync.entity_set e set hinted_at = sync.now()
    where e.system = of_system and e.entity_set = any (of_entity_sets);
    get diagnostics marked = row_count;
    if marked > 0 then
        perform pg_notify('replicator_hints', of_system);
    end if;
    return marked;
end
$$;
comment on function sync.hint is 'Makes entity sets due, because their system said that something changed; how many are known';
