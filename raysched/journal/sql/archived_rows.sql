-- The bodies of some ended workflows, by where they are.
SELECT version, body
FROM archive
WHERE rowid IN (SELECT unnest($rows::BIGINT[]))
ORDER BY submitted_at DESC, workflow DESC;
