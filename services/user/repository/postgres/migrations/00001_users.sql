-- +goose Up
-- Text compares bytewise (COLLATE "C"), as in the other store.
CREATE TABLE users (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    uid          text COLLATE "C" NOT NULL,
    version      bigint           NOT NULL,
    email        text COLLATE "C" NOT NULL,
    email_key    text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL,
    given_name   text COLLATE "C" NOT NULL,
    family_name  text COLLATE "C" NOT NULL,
    labels       jsonb            NOT NULL,
    state        smallint         NOT NULL,
    create_time  timestamptz      NOT NULL,
    update_time  timestamptz      NOT NULL,
    delete_time  timestamptz,
    purge_time   timestamptz
);

-- A soft-deleted user does not hold its e-mail; any number may have none.
CREATE UNIQUE INDEX users_email_live ON users (email_key) WHERE delete_time IS NULL AND email_key <> '';
CREATE INDEX users_email_key ON users (email_key, id);
CREATE INDEX users_display_name ON users (display_name, id);
CREATE INDEX users_create_time ON users (create_time, id);
CREATE INDEX users_update_time ON users (update_time, id);
CREATE INDEX users_purge_time ON users (purge_time, id) WHERE purge_time IS NOT NULL;

-- What was asked with a request ID, and what was answered.
CREATE TABLE user_requests (
    scope       text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    method      text             NOT NULL,
    hash        bytea            NOT NULL,
    response    bytea,
    expire_time timestamptz      NOT NULL,
    PRIMARY KEY (scope, id)
);
CREATE INDEX user_requests_expire_time ON user_requests (expire_time);

-- The items of imports that are stored.
CREATE TABLE user_import_items (
    scope       text COLLATE "C" NOT NULL,
    import_id   text COLLATE "C" NOT NULL,
    sequence    bigint           NOT NULL,
    user_id     text             NOT NULL,
    user_uid    text             NOT NULL,
    expire_time timestamptz      NOT NULL,
    hash        bytea            NOT NULL,
    PRIMARY KEY (scope, import_id, sequence)
);
CREATE INDEX user_import_items_expire_time ON user_import_items (expire_time);

-- A change writes its event into the queue. A sequencer moves committed
-- events, in the order of seq, into the stream and numbers them; see
-- docs/adr/0010-change-stream-order.md.
CREATE TABLE user_event_queue (
    seq    bigserial   NOT NULL PRIMARY KEY,
    kind   smallint    NOT NULL,
    time   timestamptz NOT NULL,
    after  text        NOT NULL,
    before text
);
CREATE TABLE user_events (
    revision bigint      NOT NULL PRIMARY KEY,
    kind     smallint    NOT NULL,
    time     timestamptz NOT NULL,
    after    text        NOT NULL,
    before   text
);
-- The queue empties all the time: statistics would only ever mislead, and
-- dead rows must go soon.
ALTER TABLE user_event_queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE change_stream (
    one       boolean NOT NULL PRIMARY KEY CHECK (one),
    epoch     text    NOT NULL,
    revision  bigint  NOT NULL,
    compacted bigint  NOT NULL
);
INSERT INTO change_stream VALUES (true, replace(gen_random_uuid()::text, '-', ''), 0, 0);

CREATE TABLE leases (
    name        text        NOT NULL PRIMARY KEY,
    owner       text        NOT NULL,
    expire_time timestamptz NOT NULL
);
