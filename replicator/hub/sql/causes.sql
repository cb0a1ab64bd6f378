-- The causes of failures: one fingerprint for all records that fail for the same reason.

-- What several failures have in common: the words without what differs from record to record.
create function sync.without_values(words text) returns text language sql immutable as $$
    select regexp_replace(regexp_replace(regexp_replace(regexp_replace(words,
        '(?<!\w)''.*?''(?!\w)', '''_''', 'g'),
        '"[^"]*"', '"_"', 'g'),
        '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}', '_', 'g'),
        '\d+([.,:]\d+)*', '#', 'g')
$$;
comment on function sync.without_values is 'A message with quoted values, GUIDs and numbers taken out';

create function sync.kinds_of_parents(waits_for text[]) returns text language sql immutable as $$
    select string_agg(distinct substring(what from '^\w+') || coalesce(substring(what from ' in \w+$'), ''), ', ')
    from unnest(waits_for) as w (parent), regexp_replace(parent, '^\w+ [^:'']*: ', '') as r (what)
$$;
comment on function sync.kinds_of_parents is 'What kinds of records somebody waits for, without saying which';

create function sync.cause(
    of_system text, of_flow text, of_state text, of_code text, of_field text, words text, waits_for text[]
) returns text language sql immutable as $$
    select left(md5(of_system || '|' || of_flow || '|' || of_state || '|' || coalesce(of_code, '') || '|'
                    || coalesce(of_field, '') || '|'
                    || case when waits_for is null then coalesce(sync.without_values(words), '')
                            when of_code is null then coalesce(sync.kinds_of_parents(waits_for), '') else '' end), 8)
$$;
comment on function sync.cause is 'The fingerprint of a failure: the same for all records that fail for the same reason';

create function sync.cause_of(m sync.map, d sync.delivery) returns text language sql stable as $$
    select sync.cause(m.system, m.name, case d.state when 'skipped' then substr(d.operation, 5) else d.state::text end,
                      d.code, d.field, d.reason, d.waits_for)
$$;
comment on function sync.cause_of is 'The cause by which a delivery is not in step; a skipped one keeps the cause that it had';
