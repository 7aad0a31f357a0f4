-- Where a user's ended workflows are, without their bodies, the one that was submitted last first;
-- from a place on, which is the one before it, and only what is not deleted.
SELECT rowid, len(jobs)
FROM archive
WHERE
    "user" = $user
    AND ($until IS NULL OR (submitted_at, workflow) <= ($until, $workflow))
    AND ($only IS NULL OR workflow = $only)
    AND (len($without::VARCHAR[]) = 0 OR workflow NOT IN (SELECT unnest($without::VARCHAR[])))
ORDER BY submitted_at DESC, workflow DESC
LIMIT $most OFFSET $skip;
