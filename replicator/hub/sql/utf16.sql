-- Lengths of texts as the systems count them: in UTF-16 units, of which a character beyond U+FFFF has two.

create function sync.utf16_length(value text) returns integer language sql immutable strict parallel safe as
$$
    select case when octet_length(value) < char_length(value) + 3 then char_length(value)
                else char_length(value) + char_length(regexp_replace(value, '[^\U00010000-\U0010ffff]', '', 'g')) end
$$;
comment on function sync.utf16_length(text) is 'How many UTF-16 units a text has';

create function sync.utf16_left(value text, units integer) returns text language sql immutable strict parallel safe as
$$
    select case when octet_length(value) <= units then value
                when sync.utf16_length(left(value, units)) <= units then left(value, units)
                else left(value, (
                    select coalesce(max(place), 0)::integer
                    from (select place, sum(sync.utf16_length(character)) over (order by place) as so_far
                          from regexp_split_to_table(left(value, units), '') with ordinality as each(character, place)) as counted
                    where so_far <= units)) end
$$;
comment on function sync.utf16_left(text, integer) is 'The beginning of a text that fits into so many UTF-16 units, without half a character';
