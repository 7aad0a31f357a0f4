-- The same for one event, as most are that come alone: half the time, since DuckDB plans each anew.
INSERT INTO events VALUES ($first, $epoch, $at, $kind, $version, $job, $body, $decided);
