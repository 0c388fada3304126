-- +goose Up
-- Times are Unix microseconds. Text compares bytewise (BINARY, the default).
-- The history: only ever appended to.
CREATE TABLE audit_changes (
    position    INTEGER PRIMARY KEY,
    kind        INTEGER NOT NULL,
    user_id     TEXT    NOT NULL,
    user_uid    TEXT    NOT NULL,
    user_etag   TEXT    NOT NULL,
    fields      INTEGER NOT NULL,
    change_time INTEGER NOT NULL,
    record_time INTEGER NOT NULL,
    inferred    INTEGER NOT NULL,
    generation  INTEGER NOT NULL
) STRICT;
-- A user has an etag once, and once more when it is purged. Only data of the
-- user service that were put back can repeat one, and that begins a generation.
CREATE UNIQUE INDEX audit_changes_once ON audit_changes (user_uid, user_etag, (kind = 7), generation);
CREATE INDEX audit_changes_user ON audit_changes (user_id, position);
CREATE INDEX audit_changes_time ON audit_changes (change_time, position);

-- What is known of each user that is not purged.
CREATE TABLE audit_subjects (
    uid        TEXT    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL,
    etag       TEXT    NOT NULL,
    deleted    INTEGER NOT NULL,
    suspended  INTEGER NOT NULL,
    digest     BLOB    NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_subjects_generation ON audit_subjects (generation, uid);

-- Who continues the history, and from where.
CREATE TABLE audit_recorder (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    fence       INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    expire_time INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    cursor      TEXT    NOT NULL,
    syncing     INTEGER NOT NULL,
    generation  INTEGER NOT NULL
) STRICT;
INSERT INTO audit_recorder VALUES (1, 0, '', 0, 0, 0, '', 0, 0);

-- How far each consumer is.
CREATE TABLE audit_consumers (
    name        TEXT    NOT NULL PRIMARY KEY,
    session     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    update_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
