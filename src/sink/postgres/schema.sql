-- Version 2. `rivulet` has one row: whose tables these are, the attributes of users that are written,
-- and the event time before which all has been written, in milliseconds.
CREATE TABLE rivulet (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL,
    job text NOT NULL,
    sink text NOT NULL,
    position bigint,
    attributes text[] NOT NULL DEFAULT '{}'
);
-- Each segment that anyone has entered, and how many are in it.
CREATE TABLE segment (
    id text PRIMARY KEY,
    members bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL
);
-- Each pair of segment and user there has been, with its latest stay: one is in the segment while
-- removed_at is null. Changes stay in their page where it has room.
CREATE TABLE segment_membership (
    segment_id text NOT NULL,
    user_id text NOT NULL,
    added_at timestamptz NOT NULL,
    removed_at timestamptz,
    entries bigint NOT NULL,
    PRIMARY KEY (segment_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX segment_membership_by_user ON segment_membership (user_id);
-- Every stay that is over.
CREATE TABLE segment_membership_history (
    segment_id text NOT NULL,
    user_id text NOT NULL,
    added_at timestamptz NOT NULL,
    removed_at timestamptz NOT NULL
);
CREATE INDEX segment_membership_history_by_user
    ON segment_membership_history (user_id, segment_id, added_at);
-- Every step in which differences were written.
CREATE TABLE segment_compute_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written_at timestamptz NOT NULL DEFAULT now(),
    cause text NOT NULL,
    from_time timestamptz NOT NULL,
    upto_time timestamptz NOT NULL,
    entered bigint NOT NULL,
    removed bigint NOT NULL,
    segments bigint NOT NULL,
    users bigint NOT NULL
);
-- Each user of whom any of the attributes is known: all that are, and when one of them changed last.
CREATE TABLE user_attribute_snapshot (
    user_id text PRIMARY KEY,
    attributes jsonb NOT NULL,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 70);
