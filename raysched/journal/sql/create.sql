-- A new, empty journal. All tables only ever grow: no key, no index, no update, no later change.
-- `journal` says once how the rest is written; format 2 is what this file creates.
CREATE TABLE journal (format INTEGER NOT NULL);
CREATE TABLE epochs (epoch INTEGER NOT NULL);
CREATE TABLE events (
    seq BIGINT NOT NULL,
    epoch INTEGER NOT NULL,
    "at" DOUBLE NOT NULL,
    kind VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    job VARCHAR,
    body VARCHAR NOT NULL,
    decided VARCHAR
);
-- Workflows that have ended and have left the scheduler's memory, each with the event that sent it.
CREATE TABLE archive (
    seq BIGINT NOT NULL,
    "user" VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    submitted_at DOUBLE NOT NULL,
    jobs VARCHAR[] NOT NULL,
    version INTEGER NOT NULL,
    body VARCHAR NOT NULL
);
INSERT INTO journal VALUES (2);
