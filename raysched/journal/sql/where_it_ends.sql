-- What a writer must know of the past: the format, and the last number that was given out.
SELECT
    (SELECT max(format) FROM journal) AS format,
    (SELECT coalesce(max(seq), 0) FROM events) AS last_seq;
