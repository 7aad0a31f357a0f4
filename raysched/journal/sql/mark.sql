SELECT body FROM events WHERE seq = $seq;
