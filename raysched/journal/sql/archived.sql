-- One ended workflow, by whichever of its names is given.
SELECT version, body
FROM archive
WHERE
    ($user IS NULL OR "user" = $user)
    AND ($workflow IS NULL OR workflow = $workflow)
    AND ($key IS NULL OR "key" = $key)
    AND ($job IS NULL OR list_contains(jobs, $job))
LIMIT 1;
