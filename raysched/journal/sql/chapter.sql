-- The story of one job from an event on, with what was decided after each: its name is in the
-- decisions that sent its units or parked it. `since` and `until`, when it was submitted and ended,
-- spare reading the rest.
SELECT seq, "at", kind, version, body, decided, job
FROM events
WHERE
    seq > $after
    AND "at" BETWEEN $since AND $until
    AND (
        job = $job
        OR contains(decided, $named)
        OR (kind = 'workflow_submitted' AND contains(body, $submitted))
    )
ORDER BY seq
LIMIT $most;
