-- name: actor
-- Say who decides, for the rest of this transaction.
select set_config('sync.actor', :person, true);

-- name: retry
-- Try records again.
select sync.retry(of_flow => cast(:flow as text), of_record => cast(:record as text), of_cause => cast(:cause as text), of_records => cast(:records as text[]), why => cast(:why as text));

-- name: skip
-- Leave records as they are.
select sync.skip(of_flow => cast(:flow as text), of_record => cast(:record as text), of_cause => cast(:cause as text), of_records => cast(:records as text[]), why => cast(:why as text));

-- name: approve
-- Let held deletes and updates go.
select sync.approve(of_flow => cast(:flow as text), of_record => cast(:record as text), of_cause => cast(:cause as text), of_records => cast(:records as text[]), why => cast(:why as text));

-- name: reject
-- Keep what would have been deleted or updated.
select sync.reject(of_flow => cast(:flow as text), of_record => cast(:record as text), of_cause => cast(:cause as text), of_records => cast(:records as text[]), why => cast(:why as text));

-- name: resolve
-- Decide a conflict.
select sync.resolve(cast(:conflict as bigint), take => cast(:take as text), value => cast(:value as text), why => cast(:why as text));

-- name: pause
-- Let something stand still.
select sync.pause(cast(:scope as text), why => cast(:why as text));

-- name: resume
-- Let it go on.
select sync.resume(cast(:scope as text), why => cast(:why as text));

-- name: resync
-- Read a record again, on every side of it.
select sync.resync(cast(:kind as text), cast(:key as text), why => cast(:why as text));
