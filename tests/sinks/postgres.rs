//! PostgreSQL: tables of who is in which segment, who was, and what was computed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::common::Place;
use crate::live::clickstream;
use crate::stores::{Postgres, own};
use crate::{
    awaited_in_vain, job, killed_in_mid_stream, killed_often, refused, replayed_while_killed,
};

pub(crate) const FORGET: &str = "DROP SCHEMA IF EXISTS rivulet CASCADE";

impl Postgres {
    pub(crate) fn sink(&self, more: &str) -> String {
        format!("[[sink]]\nkind = \"postgres\"\nurl = {:?}\n{more}\n", self.url())
    }

    /// The rows of a query, each as text with bars between.
    fn rows(&self, query: &str) -> BTreeSet<String> {
        let rows = self.client().query(query, &[]).unwrap();
        let count = rows.len();
        let rows: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows.len(), count, "each is there once");
        rows
    }

    /// The position of the sink; none where there are no tables yet.
    pub(crate) fn position(&self) -> Option<i64> {
        let row = self.client().query_opt("SELECT position FROM rivulet.rivulet", &[]);
        row.ok().flatten().and_then(|row| row.get(0))
    }

    /// That the tables say what these differences come to.
    #[track_caller]
    pub(crate) fn check(&self, schema: &str, differences: &[String]) {
        let (stays, open) = stays(differences);
        let ms = |column: &str| format!("(extract(epoch from {column}) * 1000)::bigint");
        let (added, removed) = (ms("added_at"), ms("removed_at"));
        let pair = "segment_id || '|' || user_id || '|' ||";
        let over = format!("SELECT {pair} {added} || '|' || {removed} FROM {schema}");
        assert_eq!(self.rows(&format!("{over}.segment_membership_history")), stays);
        let going = format!("SELECT {pair} {added} FROM {schema}.segment_membership");
        assert_eq!(self.rows(&format!("{going} WHERE removed_at IS NULL")), open);
        let mut entries: BTreeMap<String, u32> = BTreeMap::new();
        let mut members: BTreeMap<String, i64> = BTreeMap::new();
        for stay in stays.iter().chain(&open) {
            let words: Vec<_> = stay.split('|').collect();
            *entries.entry(words[..2].join("|")).or_default() += 1;
            *members.entry(words[0].to_owned()).or_default() += i64::from(words.len() == 3);
        }
        let entries: BTreeSet<_> = entries.iter().map(|(pair, n)| format!("{pair}|{n}")).collect();
        let all = format!("SELECT {pair} entries FROM {schema}.segment_membership");
        assert_eq!(self.rows(&all), entries);
        let members: BTreeSet<_> = members.iter().map(|(id, n)| format!("{id}|{n}")).collect();
        let all = format!("SELECT id || '|' || members FROM {schema}.segment");
        assert_eq!(self.rows(&all), members);
        let sums = "coalesce(sum(entered), 0) || '|' || coalesce(sum(removed), 0)";
        let jobs = format!("SELECT {sums} FROM {schema}.segment_compute_job");
        let sums = [stays.len() + open.len(), stays.len()].map(|it| it.to_string()).join("|");
        assert_eq!(self.rows(&jobs), BTreeSet::from([sums]));
    }
}

/// Stays that are over, and those that go on, after these differences.
fn stays(differences: &[String]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut over, mut open) = (BTreeSet::new(), BTreeMap::new());
    for line in differences {
        let json: Json = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        let (pair, time) = (format!("{}|{}", text("segment"), text("user")), &json["time"]);
        if json["diff"] == 1 {
            assert!(open.insert(pair, time.to_string()).is_none());
        } else {
            let since = open.remove(&pair).unwrap();
            over.insert(format!("{pair}|{since}|{time}"));
        }
    }
    (over, open.into_iter().map(|(pair, since)| format!("{pair}|{since}")).collect())
}

/// A clickstream that ends while people are in segments, and its differences up to there.
fn busy(place: &Place, events: usize) -> Vec<String> {
    clickstream(place, events);
    place.replay("--events whole.jsonl --max-out-of-orderness 9s --until last --out last").fine();
    place.text("last").lines().map(own).collect()
}

fn lines(place: &Place, name: &str) -> Vec<String> {
    place.text(name).lines().map(own).collect()
}

#[test]
fn the_tables_are_those_of_a_replay() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let expected = busy(&place, 3_000);
    let some = postgres.sink("name = \"some\"\nschema = \"a \\\"b\"\nsegments = [\"looking\"]");
    job(&place, None, &[postgres.sink(""), some]);
    let done = place.run("replay --job job.toml --until last").fine();
    assert_eq!(done.stdout, "", "a server takes the place of standard output");
    postgres.check("rivulet", &expected);
    let of_some = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| line.contains("\"looking\"")).cloned().collect()
    };
    postgres.check("\"a \"\"b\"", &of_some(&expected));
    place.run("replay --job job.toml").fine();
    let all = lines(&place, "replayed");
    postgres.check("rivulet", &all);
    postgres.check("\"a \"\"b\"", &of_some(&all));
}

#[test]
fn killed_again_and_again_it_ends_as_if_undisturbed() {
    let (postgres, place) = (Postgres::new(), Place::new());
    clickstream(&place, 24_000);
    let expected = lines(&place, "replayed");
    for interval in [Some("20ms"), None] {
        postgres.do_it("DROP SCHEMA IF EXISTS rivulet CASCADE");
        job(&place, interval, &[postgres.sink("")]);
        killed_often(&place, || postgres.position());
        postgres.check("rivulet", &expected);
        assert_eq!(postgres.position(), Some(i64::MAX));
    }
}

#[test]
fn a_server_that_is_killed_loses_and_doubles_nothing() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let expected = busy(&place, 6_000);
    job(&place, None, &[postgres.sink("")]);
    let (kill, start) = (|| postgres.kill(), || postgres.start());
    replayed_while_killed(&place, 3, || postgres.position(), (kill, start));
    postgres.check("rivulet", &expected);
}

#[test]
fn what_has_been_lost_is_noticed_and_filled_anew() {
    let (postgres, place) = (Postgres::new(), Place::new());
    clickstream(&place, 24_000);
    let pro =
        r#"{"type":"identify","userId":"p","timestamp":1767225600000,"traits":{"plan":"pro"}}"#;
    place.write("whole.jsonl", format!("{pro}\n{}", place.text("whole.jsonl")));
    let pro = r#"{"id":"pro","rules":{"attribute":"plan","op":"eq","value":"pro"}}"#;
    let segments = place.text("segments.json").replacen('[', &format!("[{pro},"), 1);
    place.write("segments.json", segments);
    job(&place, Some("20ms"), &[postgres.sink("")]);
    killed_in_mid_stream(&place, || postgres.do_it(FORGET), || postgres.position());
    postgres.do_it("UPDATE rivulet.rivulet SET position = 5");
    place.run("run job.toml").refused_with(&["behind the checkpoint", "--rebuild postgres"]);
    let done = place.run("run job.toml --rebuild postgres").fine();
    assert!(done.stderr.contains("going on from checkpoint"), "{done:?}");
    let current = "SELECT segment_id || '|' || user_id FROM rivulet.segment_membership \
                   WHERE removed_at IS NULL";
    assert_eq!(postgres.rows(current), BTreeSet::from([own("pro|p")]));
    let causes = "SELECT DISTINCT cause FROM rivulet.segment_compute_job";
    assert_eq!(postgres.rows(causes), BTreeSet::from(["rebuild", "stream"].map(own)));
}

#[test]
fn odd_names_are_kept_as_far_as_they_can_be() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let users = [
        "tab\tand \\ and \n",
        "nul\0nul",
        "'; DROP SCHEMA rivulet; --",
        &"x".repeat(1_024),
        "nul\u{2400}nul",
        "nul\u{241b}\u{2400}nul",
    ];
    let line = |user: &&str| {
        let user = serde_json::to_string(user).unwrap();
        format!(
            r#"{{"type":"identify","userId":{user},"timestamp":1767225600000,"traits":{{"plan":"pro"}}}}"#
        )
    };
    place.write("whole.jsonl", users.iter().map(line).collect::<Vec<_>>().join("\n"));
    job(&place, None, &[postgres.sink("")]);
    place.run("replay --job job.toml").fine();
    let kept = postgres.rows("SELECT user_id FROM rivulet.segment_membership");
    assert_eq!(kept.len(), 6, "each has a row of its own");
    assert!(kept.contains(users[0]) && kept.contains("nul\u{2400}nul") && kept.contains(users[2]));
    assert!(kept.contains(users[3]) && kept.contains("nul\u{241b}\u{2400}nul"));
    assert!(kept.contains("nul\u{241b}\u{241b}\u{241b}\u{2400}nul"));
}

#[test]
fn what_is_wrong_is_told_with_the_remedy_and_without_the_password() {
    let (postgres, place) = (Postgres::new(), Place::new());
    place.write("whole.jsonl", place.text("events.jsonl"));
    let refused = |sink: &str, parts: &[&str]| refused(&place, sink, parts);
    let sink = postgres.sink("");
    refused(&sink.replace("hunter2", "hunter3"), &["does not let it in", "the url"]);
    refused(&sink.replace("/postgres\"", "/nowhere\""), &["does not let it in", "nowhere"]);
    refused(&sink.replace("postgres://", "mysql://"), &["not an address of PostgreSQL"]);
    refused(&sink.replace("127.0.0.1:", "127.0.0.1:x"), &["not an address of PostgreSQL"]);
    postgres.do_it("CREATE ROLE guest LOGIN PASSWORD 'hunter2'");
    refused(&sink.replace("shop:", "guest:"), &["does not let it in", "permission denied"]);
    job(&place, None, std::slice::from_ref(&sink));
    place.run("replay --job job.toml").fine();
    let other = postgres.sink("name = \"other\"");
    refused(
        &other,
        &["is that of the sink \"postgres\" of the job \"job\"", "a schema of its own"],
    );
    postgres.do_it("UPDATE rivulet.rivulet SET position = NULL");
    postgres.do_it("ALTER TABLE rivulet.segment_membership RENAME COLUMN added_at TO since");
    refused(&sink, &["not as they were made", "added_at", "--rebuild postgres"]);
    postgres.do_it("UPDATE rivulet.rivulet SET version = 9");
    refused(&sink, &["version 9", "version 2"]);
}

#[test]
fn a_run_that_waits_for_its_server_ends_when_told() {
    let (said, address) = awaited_in_vain(|address| {
        format!("[[sink]]\nkind = \"postgres\"\nurl = \"postgres://a:hush@{address}/x\"\n")
    });
    assert!(said.contains(&address.to_string()) && !said.contains("hush"), "{said}");
}
