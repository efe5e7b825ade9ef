//! A job that answers at once (`on_event`), keeps its state and writes servers, killed with no warning:
//! what a server was given stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::common::Place;
use crate::disorder::{killed_when, members, two_files};
use crate::stores::{Postgres, Redis};

const RECORDS: i64 = 20_000;
const JOB: &str = "segments = \"segments.json\"\n[state]\npath = \"state\"\ninterval = \"1s\"\n\
    [clock]\nemit = \"on_event\"\nmax_out_of_orderness = \"3s\"\n\
    [[source]]\nkind = \"file\"\npath = [\"a.jsonl\", \"b.jsonl\"]\n";

/// By user, who is in which segment.
fn by_user(members: BTreeSet<(String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_user: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (segment, user) in members {
        by_user.entry(user).or_default().insert(segment);
    }
    by_user
}

/// What is damaged before the end of the chronicle keeps the job from starting, by name.
fn damaged(place: &Place) {
    const MAGIC: &[u8] = b"\xffrvlfr\xfe\n";
    let files = fs::read_dir(place.path("state/chronicle")).unwrap();
    let files = files.map(|it| it.unwrap().path());
    let whole = files
        .map(|path| (fs::read(&path).unwrap(), path))
        .find(|(bytes, _)| bytes.windows(MAGIC.len()).filter(|eight| *eight == MAGIC).count() > 1);
    let (mut bytes, path) = whole.expect("something was appended to a file");
    let name = path.file_name().unwrap().to_str().unwrap();
    bytes[30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    place.run("run job.toml").refused_with(&[name, "is damaged in block 0, from byte 0"]);
    bytes[30] ^= 1;
    fs::write(&path, &bytes).unwrap();
}

#[test]
fn killed_at_any_moment_servers_have_what_a_replay_says() {
    let (redis, postgres, place) = (Redis::new(""), Postgres::new(), Place::new());
    let (expected, _) = two_files(&place, RECORDS);
    let table = postgres.sink("");
    place.write("job.toml", format!("{JOB}{}{table}", redis.sink("")));
    let mut killed = 0;
    for (life, processes) in [1, 2, 1, 1, 2, 1, 2].into_iter().enumerate() {
        let before = redis.position();
        let who = (processes, 1 + life % 3);
        killed += usize::from(killed_when(&place, who, || redis.position() > before));
    }
    assert!(killed > 2, "it was too fast to be killed: {killed}");
    damaged(&place);
    place.run("run job.toml --workers 3").fine();
    assert_eq!(redis.position(), Some(i64::MAX));
    let expected = by_user(members(&expected, i64::MAX));
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(redis.segments(""), expected);
    // Nobody entered who was in, or left who was not: these are counted by each difference.
    let mut client = postgres.client();
    client.batch_execute("SET search_path TO rivulet").unwrap();
    let now = "SELECT segment_id, user_id FROM segment_membership WHERE removed_at IS NULL";
    let rows = client.query(now, &[]).unwrap();
    assert_eq!(by_user(rows.iter().map(|row| (row.get(0), row.get(1))).collect()), expected);
    let wrong = "SELECT \
        (SELECT count(*) FROM segment s WHERE members <> (SELECT count(*) FROM segment_membership m \
            WHERE m.segment_id = s.id AND m.removed_at IS NULL)) + \
        (SELECT count(*) FROM segment_membership m WHERE entries <> \
            (CASE WHEN removed_at IS NULL THEN 1 ELSE 0 END) + \
            (SELECT count(*) FROM segment_membership_history h \
                WHERE (h.segment_id, h.user_id) = (m.segment_id, m.user_id)))";
    let wrong: i64 = client.query_one(wrong, &[]).unwrap().get(0);
    assert_eq!(wrong, 0);
}
