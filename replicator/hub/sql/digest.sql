-- What a mirror keeps of the bytes that its images were made of.

create function sync.forget_digest() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.digest := null;
    return new;
end
$$;
comment on function sync.forget_digest is 'Empties the digest of a mirror''s row whose image somebody writes without one';
