-- +goose Up
-- Text compares bytewise (COLLATE "C"), as in the other store.
-- The history: only ever appended to.
CREATE TABLE audit_changes (
    position    bigint           NOT NULL PRIMARY KEY,
    kind        smallint         NOT NULL,
    user_id     text COLLATE "C" NOT NULL,
    user_uid    text COLLATE "C" NOT NULL,
    user_etag   text COLLATE "C" NOT NULL,
    fields      smallint         NOT NULL,
    change_time timestamptz      NOT NULL,
    record_time timestamptz      NOT NULL,
    inferred    boolean          NOT NULL,
    generation  bigint           NOT NULL
);
-- A user has an etag once, and once more when it is purged. Only data of the
-- user service that were put back can repeat one, and that begins a generation.
CREATE UNIQUE INDEX audit_changes_once ON audit_changes (user_uid, user_etag, (kind = 7), generation);
CREATE INDEX audit_changes_user ON audit_changes (user_id, position);
CREATE INDEX audit_changes_time ON audit_changes (change_time, position);

-- What is known of each user that is not purged.
CREATE TABLE audit_subjects (
    uid        text COLLATE "C" NOT NULL PRIMARY KEY,
    id         text             NOT NULL,
    etag       text             NOT NULL,
    deleted    boolean          NOT NULL,
    suspended  boolean          NOT NULL,
    digest     bytea            NOT NULL,
    generation bigint           NOT NULL
);
CREATE INDEX audit_subjects_generation ON audit_subjects (generation, uid);

-- Who continues the history, and from where. One row, changed with each append.
CREATE TABLE audit_recorder (
    one         boolean     NOT NULL PRIMARY KEY CHECK (one),
    fence       bigint      NOT NULL,
    owner       text        NOT NULL,
    expire_time timestamptz NOT NULL,
    step        bigint      NOT NULL,
    position    bigint      NOT NULL,
    cursor      text        NOT NULL,
    syncing     boolean     NOT NULL,
    generation  bigint      NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit_recorder VALUES (true, 0, '', 'epoch', 0, 0, '', false, 0);

-- How far each consumer is.
CREATE TABLE audit_consumers (
    name        text COLLATE "C" NOT NULL PRIMARY KEY,
    session     bigint           NOT NULL,
    position    bigint           NOT NULL,
    update_time timestamptz      NOT NULL
) WITH (fillfactor = 50);
