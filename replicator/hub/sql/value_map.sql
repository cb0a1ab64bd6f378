-- A named value map of schema/ in one direction: one JSON object, given anew to each plan and not stored with each view.
create function @{function}() returns jsonb language plpgsql immutable parallel safe as @{body}
