-- From version 1 to 2, which has attributes of users.
ALTER TABLE rivulet ADD attributes text[] NOT NULL DEFAULT '{}';
CREATE TABLE user_attribute_snapshot (
    user_id text PRIMARY KEY,
    attributes jsonb NOT NULL,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 70);
UPDATE rivulet SET version = 2;
