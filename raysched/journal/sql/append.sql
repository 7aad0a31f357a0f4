-- One column batch, one statement, so one transaction: all of it is durable, or none.
INSERT INTO events SELECT * FROM batch;
