-- Whoever writes an image without the digest of its bytes, as a person with SQL does, leaves one that is true of no bytes.
create trigger forget_digest before update on @{table} for each row
    when (old.digest is not null and new.digest = old.digest) execute function sync.forget_digest();
alter table @{table} enable always trigger forget_digest;
