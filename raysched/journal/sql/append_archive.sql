INSERT INTO archive VALUES ($seq, $user, $workflow, $key, $submitted_at, $jobs, $version, $body);
