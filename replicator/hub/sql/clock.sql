-- The time and the day, by which everything in the hub goes.

create function sync.now() returns timestamptz language sql stable as
$$ select coalesce(sync.origin(nullif(current_setting('sync.now', true), ''))::timestamptz, clock_timestamp()) $$;
comment on function sync.now() is 'The time; a session that may name a cause may set it with sync.now, for tests';

create function sync.today() returns date language sql stable as $$ select sync.now()::date $$;
comment on function sync.today() is 'The day, for defaults relative to it';
