-- All that concerns one job. A submission is about many jobs and so has no job of its own: it is
-- found by the job's id in its body, where quotes inside texts are escaped and cannot be mistaken.
SELECT seq, "at", kind, version, body
FROM events
WHERE job = $job OR (kind = 'workflow_submitted' AND contains(body, $submitted))
ORDER BY seq;
