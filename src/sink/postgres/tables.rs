//! The tables, and the transaction that takes a step in all of them.

use std::io::Write;

use dataflows::model::{EventTime, Path};
use postgres::{Client, Error, IsolationLevel, Statement, Transaction};

use super::Settings;
use super::Writes;
use super::stays::Stays;
use super::text::timestamp;

/// The version of the tables that are made.
pub(super) const VERSION: i32 = 2;

const SCHEMA: &str = include_str!("schema.sql");
/// What leads from the version before to this one.
const FROM_1: &str = include_str!("from_1.sql");

/// Each row of a step is looked up by its key, whatever the planner, who does not know what is in a
/// step, thinks of going through whole tables instead: cost follows change.
const BY_KEY: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// What a step is copied into; empty again at its end.
const CHANGED: &str = "CREATE TEMP TABLE changed (segment_id text, user_id text, \
    closed_at timestamptz, added_at timestamptz, removed_at timestamptz, entries bigint) \
    ON COMMIT DELETE ROWS";

const BECOME: &str = "CREATE TEMP TABLE become (user_id text, attributes jsonb, \
    changed_at timestamptz) ON COMMIT DELETE ROWS";

/// A stay that is over is the one that was still going on.
const CLOSE: &str = "INSERT INTO segment_membership_history \
    SELECT c.segment_id, c.user_id, m.added_at, c.closed_at FROM changed c, LATERAL (\
        SELECT added_at FROM segment_membership m \
        WHERE (m.segment_id, m.user_id) = (c.segment_id, c.user_id) AND m.removed_at IS NULL \
        OFFSET 0) m \
    WHERE c.closed_at IS NOT NULL AND c.added_at IS NOT NULL";
/// The same, where no other stay began: the row is looked up once for both tables.
const LEAVE: &str = "WITH gone AS (\
    UPDATE segment_membership m SET removed_at = c.closed_at FROM changed c \
    WHERE m.segment_id = c.segment_id AND m.user_id = c.user_id AND c.added_at IS NULL \
    RETURNING m.segment_id, m.user_id, m.added_at, m.removed_at) \
    INSERT INTO segment_membership_history SELECT * FROM gone";
const ENTER: &str = "INSERT INTO segment_membership AS m \
    SELECT segment_id, user_id, added_at, removed_at, entries FROM changed \
    WHERE added_at IS NOT NULL ON CONFLICT (segment_id, user_id) DO UPDATE SET \
    added_at = excluded.added_at, removed_at = excluded.removed_at, \
    entries = m.entries + excluded.entries";
/// The last stay that began in the step, and ended in it too.
const CLOSE_LAST: &str = "INSERT INTO segment_membership_history \
    SELECT segment_id, user_id, added_at, removed_at FROM changed WHERE removed_at IS NOT NULL";
const COUNT: &str = "INSERT INTO segment AS s \
    SELECT segment_id, count(*) FILTER (WHERE added_at IS NOT NULL AND removed_at IS NULL) \
        - count(*) FILTER (WHERE closed_at IS NOT NULL), $1::text::timestamptz \
    FROM changed GROUP BY segment_id \
    ON CONFLICT (id) DO UPDATE SET \
    members = s.members + excluded.members, changed_at = excluded.changed_at";
const AUDIT: &str = "INSERT INTO segment_compute_job \
    (cause, from_time, upto_time, entered, removed, segments, users) \
    VALUES ($1, $2::text::timestamptz, $3::text::timestamptz, $4, $5, $6, $7)";
const FORGET: &str = "DELETE FROM user_attribute_snapshot u USING become b \
    WHERE u.user_id = b.user_id AND b.attributes IS NULL";
const KEEP: &str = "INSERT INTO user_attribute_snapshot \
    SELECT user_id, attributes, changed_at FROM become WHERE attributes IS NOT NULL \
    ON CONFLICT (user_id) DO UPDATE SET \
    attributes = excluded.attributes, changed_at = excluded.changed_at";
/// Whoever else would move it on waits here, and then finds it moved.
const MOVE_ON: &str =
    "UPDATE rivulet SET position = $1 WHERE position IS NOT DISTINCT FROM $2::bigint";

/// What is found in the tables.
pub(super) struct Found {
    pub(super) version: i32,
    pub(super) job: String,
    pub(super) sink: String,
    pub(super) position: Option<EventTime>,
    /// The attributes that are written.
    pub(super) attributes: Vec<String>,
}

/// Finds the tables or makes them; empties them, if they are the sink's and it is to be rebuilt.
pub(super) fn open(
    client: &mut Client,
    settings: &Settings,
    rebuild: bool,
) -> Result<Found, Error> {
    let schema = settings.schema.replace('"', "\"\"");
    let mut within = client.transaction()?;
    // Two processes do not make them at once.
    within.execute("SELECT pg_advisory_xact_lock(hashtext($1))", &[&settings.schema])?;
    let is_there = "SELECT FROM pg_namespace WHERE nspname = $1";
    if within.query_opt(is_there, &[&settings.schema])?.is_none() {
        within.batch_execute(&format!("CREATE SCHEMA \"{schema}\""))?;
    }
    within.batch_execute(&format!("SET search_path TO \"{schema}\""))?;
    let is_there = "SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'rivulet'";
    if within.query_opt(is_there, &[&settings.schema])?.is_none() {
        within.batch_execute(SCHEMA)?;
        let own = "INSERT INTO rivulet (version, job, sink) VALUES ($1, $2, $3)";
        within.execute(own, &[&VERSION, &settings.job, &settings.name])?;
    }
    let mut found = read(&mut within)?;
    let is_own = (&found.job, &found.sink) == (&settings.job, &settings.name);
    if is_own && found.version == 1 {
        within.batch_execute(FROM_1)?;
        found.version = 2;
    }
    if is_own && found.version == VERSION {
        if rebuild {
            within.batch_execute(
                "TRUNCATE segment, segment_membership, segment_membership_history, \
                 segment_compute_job, user_attribute_snapshot; UPDATE rivulet SET position = NULL",
            )?;
            found.position = None;
        }
        found.attributes = attributes(&mut within, settings, found.position)?;
    }
    within.commit()?;
    client.batch_execute(BY_KEY)?;
    client.batch_execute(CHANGED)?;
    client.batch_execute(BECOME)?;
    Ok(found)
}

/// What the one row says.
fn read(within: &mut Transaction<'_>) -> Result<Found, Error> {
    let row = within.query_one("SELECT version, job, sink, position FROM rivulet", &[])?;
    let (version, job, sink) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Found { version, job, sink, position: row.try_get(3)?, attributes: Vec::new() })
}

/// The attributes that are written: those of the job, where nothing has been written yet.
fn attributes(
    within: &mut Transaction<'_>,
    settings: &Settings,
    position: Option<EventTime>,
) -> Result<Vec<String>, Error> {
    let wanted: Vec<_> = settings.attributes.iter().map(Path::as_str).collect();
    if position.is_none() {
        within.execute("UPDATE rivulet SET attributes = $1", &[&wanted])?;
    }
    within.query_one("SELECT attributes FROM rivulet", &[])?.try_get(0)
}

/// The statements of a step, understood once by the server.
pub(super) struct Step {
    move_on: Statement,
    close: Statement,
    leave: Statement,
    enter: Statement,
    close_last: Statement,
    count: Statement,
    audit: Statement,
    forget: Statement,
    keep: Statement,
}

impl Step {
    pub(super) fn prepare(client: &mut Client) -> Result<Self, Error> {
        Ok(Step {
            move_on: client.prepare(MOVE_ON)?,
            close: client.prepare(CLOSE)?,
            leave: client.prepare(LEAVE)?,
            enter: client.prepare(ENTER)?,
            close_last: client.prepare(CLOSE_LAST)?,
            count: client.prepare(COUNT)?,
            audit: client.prepare(AUDIT)?,
            forget: client.prepare(FORGET)?,
            keep: client.prepare(KEEP)?,
        })
    }

    /// Takes a step: all of it, or nothing. False, if the position was not where it was thought.
    pub(super) fn write(
        &self,
        client: &mut Client,
        Writes { stays, profiles }: &Writes,
        (from, upto): (Option<EventTime>, EventTime),
        cause: &str,
    ) -> Result<bool, Error> {
        let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        let mut step = begin.start()?;
        if step.execute(&self.move_on, &[&upto, &from])? != 1 {
            return Ok(false);
        }
        if let Some((first, last)) = stays.times {
            copy(&mut step, "changed", &stays.changed)?;
            copy(&mut step, "segment_membership_history", &stays.over)?;
            step.execute(&self.close, &[])?;
            step.execute(&self.leave, &[])?;
            step.execute(&self.enter, &[])?;
            step.execute(&self.close_last, &[])?;
            let (first, last) = (timestamp(first), timestamp(last));
            step.execute(&self.count, &[&last])?;
            let Stays { entered, left, segments, users, .. } = stays;
            step.execute(&self.audit, &[&cause, &first, &last, entered, left, segments, users])?;
        }
        if !profiles.is_empty() {
            copy(&mut step, "become", profiles)?;
            step.execute(&self.forget, &[])?;
            step.execute(&self.keep, &[])?;
        }
        step.commit()?;
        Ok(true)
    }
}

fn copy(step: &mut Transaction<'_>, table: &str, rows: &[u8]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut writer = step.copy_in(&format!("COPY {table} FROM STDIN"))?;
    // What fails here is told by the end of it, too.
    let _ = writer.write_all(rows);
    writer.finish().map(drop)
}
