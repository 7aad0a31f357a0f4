-- What each user used on each day (UTC). Jobs that have ended long ago are in the archive, all
-- others are given ($jobs and what follows), as of event $end; what ran is in the events.
-- The number in a run's name counts dispatches since the first event: $runs of them so far, of
-- which those before the file's second layout are not written down.
WITH jobs AS (
    SELECT
        "user", job.spec.job AS job, job.state AS state, job.attempt AS attempt,
        job.cells AS cells, coalesce(job.progress.plan.reused, false) AS reused,
        job.submitted_at AS submitted_at, job.started_at AS started_at, job.ended_at AS ended_at
    FROM (
        SELECT "user", unnest(from_json(body -> '$.jobs', '[{
            "spec": {"job": "VARCHAR"}, "state": "VARCHAR", "attempt": "BIGINT",
            "cells": "BIGINT", "progress": {"plan": {"reused": "BOOLEAN"}},
            "submitted_at": "DOUBLE", "started_at": "DOUBLE", "ended_at": "DOUBLE"
        }]')) AS job
        FROM archive
        WHERE seq <= $end AND ($user IS NULL OR "user" = $user)
    )
    UNION ALL
    SELECT
        unnest($users::VARCHAR[]), unnest($jobs::VARCHAR[]), unnest($states::VARCHAR[]),
        unnest($attempts::BIGINT[]), unnest($cells::BIGINT[]), unnest($reused::BOOLEAN[]),
        unnest($submitted::DOUBLE[]), unnest($started::DOUBLE[]), unnest($ended::DOUBLE[])
),
history AS NOT MATERIALIZED (SELECT * FROM events WHERE seq <= $end),
-- In the order of writing, which is that of seq: see replay.sql.
dispatches AS MATERIALIZED (
    SELECT
        row_number() OVER () + $runs - (
            SELECT coalesce(sum(json_array_length(decided, '$[0]')), 0)::BIGINT
            FROM history WHERE decided <> ''
        ) AS number,
        seq, "at", unit[1] AS job, unit[2] AS stage, unit[3]::BIGINT AS chunk, unit[4] AS lane
    FROM (
        SELECT seq, "at", unnest((decided -> '$[0]')::VARCHAR[][]) AS unit
        FROM history WHERE decided <> ''
    )
),
reports AS MATERIALIZED (
    SELECT
        seq, "at", kind, job,
        split_part(body ->> '$.run', '-', 2)::BIGINT AS number,
        (body ->> '$.seconds')::DOUBLE AS seconds
    FROM history
    WHERE kind IN (
        'slide_planned', 'mpp_missed', 'chunk_finished', 'result_assembled', 'chunks_missed',
        'result_published', 'run_failed', 'run_lost', 'run_stopped'
    )
),
reported AS MATERIALIZED (
    SELECT
        r.seq, r."at", r.kind, d.chunk, coalesce(d.job, r.job) AS job,
        coalesce(d.stage, CASE r.kind
            WHEN 'slide_planned' THEN 'plan' WHEN 'mpp_missed' THEN 'plan'
            WHEN 'result_assembled' THEN 'assemble' WHEN 'chunks_missed' THEN 'assemble'
            WHEN 'result_published' THEN 'publish' ELSE 'segment'
        END) AS stage,
        -- A report without a number of seconds is charged the time in the lane.
        CASE WHEN isfinite(r.seconds) THEN r.seconds ELSE r."at" - d."at" END AS seconds
    FROM reports AS r LEFT JOIN dispatches AS d USING (number)
    WHERE r."at" >= epoch($since::DATE) AND r."at" < epoch($until::DATE + 1)
),
lanes_lost AS (
    SELECT seq, "at", body ->> '$.lane' AS lane FROM history WHERE kind = 'lane_lost'
),
lives AS (
    SELECT next.seq AS seq, last."at" AS "at"
    FROM history AS next JOIN history AS last ON last.seq = next.seq - 1
    WHERE next.kind = 'scheduler_started'
),
-- Runs without a report ended with their lane, or with the life of the scheduler: the last event of
-- that life is the last that is known of them. Those that are still in flight do not count yet.
unreported AS MATERIALIZED (
    SELECT d.* FROM dispatches AS d ANTI JOIN reports AS r USING (number)
),
in_lanes AS (
    SELECT u.*, l.seq AS lost_seq, l."at" AS lost_at
    FROM unreported AS u ASOF LEFT JOIN lanes_lost AS l ON u.lane = l.lane AND u.seq < l.seq
),
cut_short AS (
    SELECT
        u.job, u.stage, u."at" AS begun_at,
        CASE WHEN u.lost_seq < coalesce(e.seq, u.lost_seq + 1) THEN u.lost_at ELSE e."at" END
            AS ended_at
    FROM in_lanes AS u ASOF LEFT JOIN lives AS e ON u.seq < e.seq
    WHERE u.lost_seq IS NOT NULL OR e.seq IS NOT NULL
),
plans AS (
    SELECT coalesce(d.job, p.job) AS job, p.seq, plan
    FROM (
        SELECT
            seq, job, split_part(body ->> '$.run', '-', 2)::BIGINT AS number,
            (body -> '$.plan.chunk_tiles')::BIGINT[] AS plan
        FROM history WHERE kind = 'slide_planned'
    ) AS p LEFT JOIN dispatches AS d USING (number)
),
chunks AS (
    SELECT c.job, c."at", p.plan[c.chunk + 1] AS tiles
    FROM reported AS c ASOF JOIN plans AS p ON c.job = p.job AND c.seq > p.seq
    WHERE c.kind = 'chunk_finished'
),
work AS (
    SELECT job, "at", stage, seconds, kind FROM reported
    UNION ALL
    SELECT job, ended_at, stage, ended_at - begun_at, 'run_lost' FROM cut_short
),
ran AS (
    SELECT
        job, make_timestamp(("at" * 1e6)::BIGINT)::DATE AS day,
        count(*) AS runs,
        count(*) FILTER (WHERE kind = 'run_failed') AS runs_failed,
        count(*) FILTER (WHERE kind = 'run_lost') AS runs_lost,
        sum(greatest(seconds, 0)) FILTER (WHERE stage = 'plan') AS plan_s,
        sum(greatest(seconds, 0)) FILTER (WHERE stage = 'segment') AS segment_s,
        sum(greatest(seconds, 0)) FILTER (WHERE stage = 'assemble') AS assemble_s,
        sum(greatest(seconds, 0)) FILTER (WHERE stage = 'publish') AS publish_s
    FROM work GROUP BY ALL
),
tiled AS (
    SELECT job, make_timestamp(("at" * 1e6)::BIGINT)::DATE AS day, sum(tiles) AS tiles
    FROM chunks GROUP BY ALL
),
facts AS (
    SELECT "user", make_timestamp((submitted_at * 1e6)::BIGINT)::DATE AS day, count(*) AS submitted
    FROM jobs GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        "user", make_timestamp((started_at * 1e6)::BIGINT)::DATE AS day,
        count(*) AS begun,
        quantile_cont(started_at - submitted_at, 0.5) AS wait_median_s,
        quantile_cont(started_at - submitted_at, 0.9) AS wait_p90_s,
        max(started_at - submitted_at) AS wait_max_s
    FROM jobs WHERE started_at IS NOT NULL GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        "user", make_timestamp((ended_at * 1e6)::BIGINT)::DATE AS day,
        count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE state = 'skipped') AS skipped,
        count(*) FILTER (WHERE state = 'succeeded' AND reused) AS reused,
        sum(attempt - 1) AS retries,
        sum(cells) FILTER (WHERE state = 'succeeded') AS cells
    FROM jobs WHERE ended_at IS NOT NULL GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        "user", day, sum(runs) AS runs, sum(runs_failed) AS runs_failed, sum(runs_lost) AS runs_lost,
        sum(plan_s) AS plan_s, sum(segment_s) AS segment_s,
        sum(assemble_s) AS assemble_s, sum(publish_s) AS publish_s
    FROM ran JOIN jobs USING (job) GROUP BY ALL
    UNION ALL BY NAME
    SELECT "user", day, sum(tiles) AS tiles FROM tiled JOIN jobs USING (job) GROUP BY ALL
)
SELECT
    day, "user",
    coalesce(sum(submitted), 0)::BIGINT, coalesce(sum(begun), 0)::BIGINT,
    coalesce(sum(succeeded), 0)::BIGINT, coalesce(sum(failed), 0)::BIGINT,
    coalesce(sum(cancelled), 0)::BIGINT, coalesce(sum(skipped), 0)::BIGINT,
    coalesce(sum(reused), 0)::BIGINT, coalesce(sum(retries), 0)::BIGINT,
    coalesce(sum(cells), 0)::BIGINT, coalesce(sum(tiles), 0)::BIGINT,
    coalesce(sum(runs), 0)::BIGINT, coalesce(sum(runs_failed), 0)::BIGINT,
    coalesce(sum(runs_lost), 0)::BIGINT,
    coalesce(sum(plan_s), 0), coalesce(sum(segment_s), 0),
    coalesce(sum(assemble_s), 0), coalesce(sum(publish_s), 0),
    max(wait_median_s), max(wait_p90_s), max(wait_max_s)
FROM facts
WHERE day BETWEEN $since::DATE AND $until::DATE
GROUP BY day, "user"
ORDER BY day, "user"
LIMIT $most::BIGINT;
