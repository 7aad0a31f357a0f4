-- A user's ended workflows, the one that was submitted last first.
SELECT version, body
FROM archive
WHERE "user" = $user AND submitted_at < $before
ORDER BY submitted_at DESC
LIMIT $most;
