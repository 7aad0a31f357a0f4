-- A new, empty journal. Both tables only ever grow: no key, no index, no update, no later change.
-- `journal` says once how the rest is written; format 1 is what this file creates.
CREATE TABLE journal (format INTEGER NOT NULL);
CREATE TABLE epochs (epoch INTEGER NOT NULL);
CREATE TABLE events (
    seq BIGINT NOT NULL,
    epoch INTEGER NOT NULL,
    "at" DOUBLE NOT NULL,
    kind VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    job VARCHAR,
    body VARCHAR NOT NULL
);
INSERT INTO journal VALUES (1);
