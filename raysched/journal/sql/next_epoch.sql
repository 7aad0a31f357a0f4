INSERT INTO epochs
SELECT greatest(coalesce(max(epoch), 0), $known::INTEGER) + 1 FROM epochs
RETURNING epoch;
