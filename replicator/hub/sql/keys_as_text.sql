-- Keys that people and systems give as texts.

comment on function sync.fold(text) is 'A text as keys are compared: normalised, outer blanks and case ignored';

create function sync.as_uuid(value text) returns uuid language plpgsql immutable strict as $$
begin
    return value::uuid;
exception when invalid_text_representation then
    return null;
end
$$;
comment on function sync.as_uuid is 'A text as a GUID; null where it is none';

-- 'Q-1,1' and the 'Q-1 1' that people read; a value may hold a comma or a blank as well: 'AC,1,2' is 'AC' and '1,2' or 'AC,1' and '2'.
create function sync.cuts(key text, parts integer) returns setof text[] language plpgsql immutable strict rows 1 as $$
begin
    if cuts.parts = 1 then
        return next array[cuts.key];
        return;
    elsif length(translate(cuts.key, ', ', '')) < length(cuts.key) - 40 then
        return;  -- no key of several parts: there would be too many ways
    end if;
    return query
        select array[left(cuts.key, at - 1)] || rest
        from generate_series(1, length(cuts.key)) at, sync.cuts(substr(cuts.key, at + 1), cuts.parts - 1) rest
        where substr(cuts.key, at, 1) in (',', ' ');
end
$$;
comment on function sync.cuts is 'Every way to cut a key that somebody gave into its parts, at commas or blanks';
