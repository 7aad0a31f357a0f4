-- In the order of writing, on purpose without ORDER BY: the reader checks that seq goes up by one,
-- which a sort would hide, and rows stream instead of being gathered.
SELECT seq, epoch, "at", kind, version, job, body, decided FROM events WHERE seq > $after;
