-- +goose Up
-- Times are Unix microseconds. Text compares bytewise (BINARY, the default).
CREATE TABLE users (
    id           TEXT    NOT NULL PRIMARY KEY,
    uid          TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    email        TEXT    NOT NULL,
    email_key    TEXT    NOT NULL,
    display_name TEXT    NOT NULL,
    given_name   TEXT    NOT NULL,
    family_name  TEXT    NOT NULL,
    labels       TEXT    NOT NULL,
    state        INTEGER NOT NULL,
    create_time  INTEGER NOT NULL,
    update_time  INTEGER NOT NULL,
    delete_time  INTEGER,
    purge_time   INTEGER
) STRICT, WITHOUT ROWID;

-- A soft-deleted user does not hold its e-mail; any number may have none.
CREATE UNIQUE INDEX users_email_live ON users (email_key) WHERE delete_time IS NULL AND email_key <> '';
CREATE INDEX users_email_key ON users (email_key, id);
CREATE INDEX users_display_name ON users (display_name, id);
CREATE INDEX users_create_time ON users (create_time, id);
CREATE INDEX users_update_time ON users (update_time, id);
CREATE INDEX users_purge_time ON users (purge_time, id) WHERE purge_time IS NOT NULL;

-- What was asked with a request ID, and what was answered.
CREATE TABLE user_requests (
    scope       TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    hash        BLOB    NOT NULL,
    response    BLOB,
    expire_time INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_requests_expire_time ON user_requests (expire_time);

-- The items of imports that are stored.
CREATE TABLE user_import_items (
    scope       TEXT    NOT NULL,
    import_id   TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    user_id     TEXT    NOT NULL,
    user_uid    TEXT    NOT NULL,
    expire_time INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    PRIMARY KEY (scope, import_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_import_items_expire_time ON user_import_items (expire_time);

-- The stream of changes. The single writer numbers it: AUTOINCREMENT never
-- gives a revision twice, and one that is rolled back was never given.
CREATE TABLE user_events (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    after    TEXT    NOT NULL,
    before   TEXT
) STRICT;

CREATE TABLE change_stream (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch     TEXT    NOT NULL,
    compacted INTEGER NOT NULL
) STRICT;
INSERT INTO change_stream VALUES (1, lower(hex(randomblob(16))), 0);

CREATE TABLE leases (
    name        TEXT    NOT NULL PRIMARY KEY,
    owner       TEXT    NOT NULL,
    expire_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
