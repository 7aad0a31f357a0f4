-- What a writer must know of the past: the format, and the last numbers that were given out.
SELECT
    (SELECT max(format) FROM journal) AS format,
    (SELECT coalesce(max(seq), 0) FROM events) AS last_seq,
    (SELECT coalesce(max(epoch), 0) FROM epochs) AS last_epoch;
