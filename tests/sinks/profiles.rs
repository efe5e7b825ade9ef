//! PostgreSQL: the attributes of users, as of the last step that was written.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::common::{BUSY_SEGMENTS, Place};
use crate::postgres::FORGET;
use crate::stores::Postgres;
use crate::{job, killed_in_mid_stream, killed_often, replayed_while_killed};

const START: i64 = 1_767_225_600_000;

/// The attributes of each user of whom any is known, and when one of them changed last.
type Profiles = BTreeMap<String, (Json, i64)>;

/// Numbers that look as if they were random.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % bound
    }
}

/// Users who tell of themselves, buy, take back what they told, and are erased: out of order by up
/// to eight seconds.
fn world(place: &Place, records: i64) -> Vec<Json> {
    let mut random = Random(11);
    let mut record = |number: i64| {
        let time = START + number * 50 + i64::try_from(random.below(8_000)).unwrap();
        let user = format!("u{}", random.below(60));
        let own = |kind| json!({ "type": kind, "userId": user, "timestamp": time });
        let (mut record, choice) = (own("identify"), random.below(100));
        match choice {
            0 => return own("delete"),
            1..40 => {
                let event = if choice % 2 == 0 { "page_view" } else { "purchase" };
                record = own("track");
                record["event"] = json!(event);
                record["properties"] = json!({ "amount": choice });
            }
            40..60 => {
                record["traits"] = json!({ "country": if choice % 2 == 0 { "US" } else { "DE" } })
            }
            60..65 => record["traits"] = json!({ "country": null, "plan": null }),
            65..85 => {
                let street = random.below(9);
                let address = json!({ "city": format!("c{}", choice % 3), "street": street });
                record["traits"] = json!({ "address": address, "other": choice });
            }
            _ => record["traits"] = json!({ "plan": if choice % 2 == 0 { "pro" } else { "free" } }),
        }
        record
    };
    let records: Vec<_> = (0..records).map(&mut record).collect();
    place.write("segments.json", BUSY_SEGMENTS);
    let lines: Vec<_> = records.iter().map(ToString::to_string).collect();
    place.write("whole.jsonl", lines.join("\n") + "\n");
    records
}

/// What these attributes of all users are after these records, by the rules alone.
fn expected(records: &[Json], attributes: &[&str]) -> Profiles {
    let time = |record: &Json| record["timestamp"].as_i64().unwrap();
    let mut ordered: Vec<_> = records.iter().collect();
    ordered.sort_by_key(|record| time(record)); // stable: of one time, by their place
    let mut users: BTreeMap<&str, serde_json::Map<String, Json>> = BTreeMap::new();
    let mut profiles = Profiles::new();
    for instant in ordered.chunk_by(|left, right| time(left) == time(right)) {
        let mut named = Vec::new();
        for record in instant {
            let user = record["userId"].as_str().unwrap();
            let own = users.entry(user).or_default();
            match record["type"].as_str() {
                Some("delete") => own.clear(),
                Some("identify") => own.extend(record["traits"].as_object().unwrap().clone()),
                _ => {}
            }
            named.push(user);
        }
        for user in named {
            let own = Json::Object(users[user].clone());
            let value = |path: &str| {
                let inner = path.replace('.', "/");
                own.pointer(&format!("/{inner}")).filter(|it| !it.is_null()).cloned()
            };
            let now = attributes.iter().filter_map(|path| Some(((*path).to_owned(), value(path)?)));
            let now: serde_json::Map<_, _> = now.collect();
            let now = Json::Object(now);
            let before = profiles.get(user).map_or(json!({}), |(before, _)| before.clone());
            if now == json!({}) {
                profiles.remove(user);
            } else if now != before {
                profiles.insert(user.to_owned(), (now, time(instant[0])));
            }
        }
    }
    assert!(profiles.len() > 20, "{profiles:?}");
    profiles
}

/// What the table says.
fn found(postgres: &Postgres, schema: &str) -> Profiles {
    let ms = "(extract(epoch from changed_at) * 1000)::bigint";
    let all =
        format!("SELECT user_id, attributes::text, {ms} FROM {schema}.user_attribute_snapshot");
    let rows = postgres.client().query(&all, &[]).unwrap();
    let profile = |row: &::postgres::Row| {
        let attributes: &str = row.get(1);
        (row.get(0), (serde_json::from_str(attributes).unwrap(), row.get(2)))
    };
    rows.iter().map(profile).collect()
}

const SOME: [&str; 3] = ["address.city", "country", "plan"];
const NAMED: &str = "attributes = [\"plan\", \"country\", \"address.city\", \"plan\"]";

#[test]
fn attributes_are_those_of_the_last_writers() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 3_000);
    let filtered =
        "name = \"some\"\nschema = \"picked\"\nsegments = [\"looking\"]\nattributes = [\"plan\"]";
    let none = "name = \"none\"\nschema = \"none\"";
    job(&place, None, &[postgres.sink(NAMED), postgres.sink(filtered), postgres.sink(none)]);
    place.run("replay --job job.toml --workers 2").fine();
    assert_eq!(found(&postgres, "rivulet"), expected(&records, &SOME));
    // All users stand there, and they have changed when their own attributes did.
    assert_eq!(found(&postgres, "picked"), expected(&records, &["plan"]));
    assert_eq!(found(&postgres, "none"), Profiles::new());
    place.replay("--events whole.jsonl --max-out-of-orderness 9s --out replayed").fine();
    let replayed: Vec<_> = place.text("replayed").lines().map(str::to_owned).collect();
    postgres.check("rivulet", &replayed);
}

#[test]
fn as_of_the_last_record_they_are_what_is_known_then() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 1_000);
    job(&place, None, &[postgres.sink(NAMED)]);
    let until = START + 20_000;
    let early: Vec<_> = records
        .iter()
        .filter(|record| record["timestamp"].as_i64().unwrap() <= until)
        .cloned()
        .collect();
    place.run("replay --job job.toml --until 2026-01-01T00:00:20Z").fine();
    assert_eq!(found(&postgres, "rivulet"), expected(&early, &SOME));
    postgres.do_it(FORGET);
    place.run("replay --job job.toml --until last --emit on_event").fine();
    let only = |profiles: Profiles| -> BTreeMap<String, Json> {
        profiles.into_iter().map(|(user, (attributes, _))| (user, attributes)).collect()
    };
    assert_eq!(only(found(&postgres, "rivulet")), only(expected(&records, &SOME)));
}

#[test]
fn killed_again_and_again_attributes_end_as_if_undisturbed() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 24_000);
    let expected = expected(&records, &SOME);
    for interval in [Some("20ms"), None] {
        postgres.do_it(FORGET);
        job(&place, interval, &[postgres.sink(NAMED)]);
        killed_often(&place, || postgres.position());
        assert_eq!(found(&postgres, "rivulet"), expected);
    }
}

#[test]
fn a_server_that_is_killed_loses_no_attributes() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 4_000);
    job(&place, None, &[postgres.sink(NAMED)]);
    let (kill, start) = (|| postgres.kill(), || postgres.start());
    replayed_while_killed(&place, 2, || postgres.position(), (kill, start));
    assert_eq!(found(&postgres, "rivulet"), expected(&records, &SOME));
}

#[test]
fn attributes_that_are_named_later_are_filled_in_from_a_checkpoint() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 60_000);
    job(&place, Some("20ms"), &[postgres.sink("")]);
    killed_in_mid_stream(&place, || postgres.do_it(FORGET), || postgres.position());
    job(&place, Some("20ms"), &[postgres.sink(NAMED)]);
    place.run("run job.toml").refused_with(&["[]", "not those of the job", "--rebuild postgres"]);
    let done = place.run("run job.toml --rebuild postgres").fine();
    assert!(done.stderr.contains("going on from checkpoint"), "{done:?}");
    let (found, expected) = (found(&postgres, "rivulet"), expected(&records, &SOME));
    let users = |profiles: &Profiles| profiles.keys().cloned().collect::<Vec<_>>();
    assert_eq!(users(&found), users(&expected));
    for (user, (attributes, changed_at)) in &found {
        // What has not changed since is told as of the checkpoint.
        let (wanted, time) = &expected[user];
        assert_eq!(attributes, wanted, "{user}");
        assert!(changed_at >= time, "{user}");
    }
}

#[test]
fn tables_of_the_version_before_are_taken_over() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let records = world(&place, 1_000);
    job(&place, None, &[postgres.sink("")]);
    place.run("replay --job job.toml --until 2026-01-01T00:00:20Z").fine();
    postgres.do_it(
        "DROP TABLE rivulet.user_attribute_snapshot; UPDATE rivulet.rivulet SET version = 1; \
         ALTER TABLE rivulet.rivulet DROP attributes",
    );
    place.run("replay --job job.toml").fine();
    place.replay("--events whole.jsonl --max-out-of-orderness 9s --out replayed").fine();
    let replayed: Vec<_> = place.text("replayed").lines().map(str::to_owned).collect();
    postgres.check("rivulet", &replayed);
    // Empty tables take any attributes.
    postgres.do_it("UPDATE rivulet.rivulet SET position = NULL");
    postgres.do_it("TRUNCATE rivulet.segment, rivulet.segment_membership");
    job(&place, None, &[postgres.sink(NAMED)]);
    place.run("replay --job job.toml").fine();
    assert_eq!(found(&postgres, "rivulet"), expected(&records, &SOME));
}

#[test]
fn odd_values_are_kept_as_far_as_they_can_be() {
    let (postgres, place) = (Postgres::new(), Place::new());
    let odd = [
        ("plan", json!("nul\0 \\u0000 \" \\")),
        ("a\"b\t", json!({ "k\0": ["é\u{1f600}", true, { "x": null }] })),
        ("n", json!(0.1)),
        ("empty", json!("")),
    ];
    let traits: serde_json::Map<_, _> =
        odd.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let record = json!({ "type": "identify", "userId": "u", "timestamp": START, "traits": traits });
    let long = format!(
        r#"{{"type":"identify","userId":"v","timestamp":{START},"traits":{{"n":-1234567890123456789e100}}}}"#
    );
    place.write("whole.jsonl", format!("{record}\n{long}\n"));
    job(&place, None, &[postgres.sink(r#"attributes = ["plan", "a\"b\t", "n", "empty"]"#)]);
    place.run("replay --job job.toml").fine();
    let found = found(&postgres, "rivulet");
    let kept = json!({
        "plan": "nul\u{2400} \\u0000 \" \\",
        "a\"b\t": { "k\u{2400}": ["é\u{1f600}", true, { "x": null }] },
        "n": 0.1,
        "empty": "",
    });
    assert_eq!(found["u"].0, kept);
    let exact = "SELECT attributes->>'n' = '-1234567890123456789' || repeat('0', 100) \
                 FROM rivulet.user_attribute_snapshot WHERE user_id = 'v'";
    assert!(postgres.client().query_one(exact, &[]).unwrap().get::<_, bool>(0));
}
