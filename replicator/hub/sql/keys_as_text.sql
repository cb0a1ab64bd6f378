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
