SELECT seq, "user", workflow, "key", submitted_at, jobs, version, body
FROM archive
WHERE seq BETWEEN $first AND $last
ORDER BY seq, rowid;
