CREATE TABLE old_passwords (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);
