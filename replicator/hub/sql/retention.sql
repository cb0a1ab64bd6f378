-- How long things are kept: the daily partitions of the log, made and dropped, and what is pruned from schema sync.

-- Every table of the log has a default partition, so that no write ever fails for want of one.
create function log.make_default_partitions() returns void language plpgsql as $$
declare
    parent record;
begin
    for parent in
        select c.oid::regclass::text as name, c.relname
        from pg_class c where c.relnamespace = 'log'::regnamespace and c.relkind = 'p'
    loop
        execute format('create table if not exists log.%I partition of %s default',
            parent.relname || '_default', parent.name);
    end loop;
end
$$;
comment on function log.make_default_partitions is 'Makes the default partitions that are missing';

-- Partitions of the log: one a day, made ahead; rows without one land in the default partition.
create function log.make_partitions(ahead integer default 1) returns integer
    language plpgsql as $$
declare
    parent record;
    day date;
    begun boolean;
    made integer := 0;
begin
    if ahead not between 0 and 31 then
        raise exception 'partitions are made for 0 to 31 days ahead, not for %', ahead;
    end if;
    perform log.make_default_partitions();
    for parent in
        select c.oid::regclass::text as name, c.relname
        from pg_class c where c.relnamespace = 'log'::regnamespace and c.relkind = 'p'
    loop
        for day in select current_date + n from generate_series(0, ahead) n loop
            -- A day whose rows are in the default partition already stays there.
            execute format('select exists (select from log.%I where at >= %L and at < %L)',
                parent.relname || '_default', day, day + 1) into begun;
            if not begun and to_regclass(format('log.%I', parent.relname || to_char(day, '_YYYYMMDD'))) is null then
                execute format('create table log.%I partition of %s for values from (%L) to (%L)',
                    parent.relname || to_char(day, '_YYYYMMDD'), parent.name, day, day + 1);
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end
$$;
comment on function log.make_partitions is 'Makes the daily partitions of the log for the days ahead';

create function log.drop_partitions(keep interval) returns integer language plpgsql as $$
declare
    old date;
    dropped integer := 0;
begin
    if keep < interval '0' then
        raise exception 'days that are still to come cannot be dropped' using hint = 'keep is how much of the past stays';
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'drop partitions in a transaction that is read committed'
            using hint = 'in any other, what was committed since it began is not seen, and would be lost unread';
    end if;
    for old in
        select to_date(right(c.relname, 8), 'YYYYMMDD') as day from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relkind = 'r' and c.relispartition
          and c.relname ~ '^change_\d{8}$' and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - keep
        order by day
    loop
        dropped := dropped + log.drop_day(old)::integer;
    end loop;
    perform log.clear_default(keep);
    return dropped;
end
$$;
comment on function log.drop_partitions is 'Drops the days of the log that are older than this and read by every consumer';

-- The lock comes before the question: whoever was still writing into the day has ended, and is seen. As all writers wait
-- behind it, it is not waited for for long: then the day is dropped another time.
create function log.drop_day(day date) returns boolean language plpgsql set lock_timeout = '1s' as $$
declare
    suffix constant text := to_char(day, '_YYYYMMDD');
    part record;
    unread boolean;
begin
    if day >= current_date or not exists (select from sync.consumer) then
        return false;
    end if;
    lock table log.change in access exclusive mode;
    execute format('select exists (select from sync.consumer k join log.%I p on p.txid >= pg_snapshot_xmin(k.snapshot)
                                   where not pg_visible_in_snapshot(p.txid, k.snapshot))', 'change' || suffix) into unread;
    if unread then
        return false;
    end if;
    for part in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relispartition and right(c.relname, 9) = suffix
    loop
        execute 'drop table ' || part.name;
    end loop;
    return true;
exception when lock_not_available then
    return false;
end
$$;
comment on function log.drop_day is
    'Drops one day of log.change and of all before-images, if it is past, read by every consumer, and nobody is at it';

-- One statement asks and deletes, so that nothing is committed in between; images go with their change.
create function log.clear_default(keep interval) returns void language plpgsql as $$
declare
    part record;
begin
    delete from log.change_default c
    where c.at < current_date - greatest(keep, '0') and exists (select from sync.consumer)
      and not exists (select from sync.consumer k where c.txid >= pg_snapshot_xmin(k.snapshot)
                                                    and not pg_visible_in_snapshot(c.txid, k.snapshot));
    for part in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'log'::regnamespace and c.relispartition and c.relname like '%\_default'
          and c.relname <> 'change_default'
    loop
        execute format('delete from %s i where i.at < $1
                        and not exists (select from log.change c where c.seq = i.seq and c.at = i.at)', part.name)
            using current_date - greatest(keep, '0');
    end loop;
end
$$;
comment on function log.clear_default is 'Deletes what is older than this and read by every consumer from the default partitions';

-- Transactions are numbered by each cluster, and a new one begins low: what another one wrote would count as not yet
-- committed until its numbers are reached. Of this cluster no row that is seen has a number that is still to come.
create function log.forget_other_cluster() returns bigint language sql as $$
    with old as (
        update log.change set txid = '3' where txid >= pg_snapshot_xmax(pg_current_snapshot()) returning 1
    )
    select count(*) from old
$$;
comment on function log.forget_other_cluster is
    'Of a dump that was restored: has what another cluster logged count as committed long ago';

-- What was decided, noted or parted longer ago than this is of no use to anybody.
create function sync.prune(keep interval) returns void language plpgsql as $$
declare
    crosswalk record;
    pairs record;
begin
    delete from sync.run where at < sync.now() - keep;
    delete from sync.snapshot where finished_at < sync.now() - keep;
    delete from sync.read_cost where day < sync.now() - keep;
    delete from sync.proposed_delete where state in ('done', 'withdrawn') and proposed_at < sync.now() - keep;
    delete from sync.orphan n where not exists (
        select from sync.orphans o
        where o.system = n.system and o.entity_set = n.entity_set and o.record_id = n.record_id);
    for crosswalk in
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'sync'::regnamespace and c.relkind = 'r' and c.relname like 'link\_%'
    loop
        execute 'delete from ' || crosswalk.name || ' where ended_at < $1' using sync.now() - keep;
    end loop;
    for pairs in
        select m.id, format('sync.%I', 'link_' || replace(m.source, '.', '_') || '__' || split_part(m.target, '.', 2)) as name
        from sync.map m where m.id in (select distinct b.map_id from sync.base b)
    loop
        execute format('delete from sync.base b where b.map_id = $1 and not exists (select from %s l
                        where l.mirror_id = b.record_id and l.common_id = b.common_id and l.ended_at is null)
                        and b.at < $2', pairs.name) using pairs.id, sync.now() - keep;
    end loop;
end
$$;
comment on function sync.prune is 'Deletes notes, decided proposals, parted pairs, and bases without a pair, that are older than this';
