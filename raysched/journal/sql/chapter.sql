-- The story of one job from an event on, with what was decided after each: its name is in the
-- decisions that sent its units or parked it. `since` (when it was submitted) spares reading what is
-- older.
SELECT seq, "at", kind, version, body, decided, job
FROM events
WHERE
    seq > $after
    AND "at" >= $since
    AND (
        job = $job
        OR contains(decided, $named)
        OR (kind = 'workflow_submitted' AND contains(body, $submitted))
    )
ORDER BY seq
LIMIT $most;
