-- The trigger by which captured tables refuse TRUNCATE; capture.sql hangs it on each of them.

create function log.refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception 'TRUNCATE of %.% is refused, because its rows would vanish without a trace',
        tg_table_schema, tg_table_name
        using hint = 'Use DELETE; the log records it and the other system hears of it.';
end
$$;
