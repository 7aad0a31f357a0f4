-- The first layout did not keep what was decided.
SELECT seq, epoch, "at", kind, version, job, body, NULL FROM events WHERE seq > $after;
