INSERT INTO epochs SELECT coalesce(max(epoch), 0) + 1 FROM epochs RETURNING epoch;
