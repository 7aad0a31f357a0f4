-- One column batch, one statement, so one transaction: all of it is durable, or none.
INSERT INTO events
SELECT
    unnest(range($first::BIGINT, $first::BIGINT + len($ats::DOUBLE[]))),
    $epoch::INTEGER,
    unnest($ats::DOUBLE[]),
    unnest($kinds::VARCHAR[]),
    unnest($versions::INTEGER[]),
    unnest($jobs::VARCHAR[]),
    unnest($bodies::VARCHAR[]),
    unnest($decided::VARCHAR[]);
