-- Statistics for the planner, on behalf of the daemon.

-- Only an owner may analyse a table, and the daemon is none.
create function sync.analyze(of_table regclass) returns void language plpgsql as $$
begin
    execute format('analyze %s', of_table);
end
$$;
comment on function sync.analyze is 'Refreshes the planner''s statistics of a table';
