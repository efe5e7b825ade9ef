//! Redis: sets of users and of segments, in step.

use std::collections::{BTreeMap, BTreeSet};

use ::redis::cmd;

use crate::common::Place;
use crate::live::{clickstream, segments_after};
use crate::stores::Redis;
use crate::{
    awaited_in_vain, job, killed_in_mid_stream, killed_often, refused, replayed_while_killed,
};

impl Redis {
    pub(crate) fn sink(&self, more: &str) -> String {
        format!("[[sink]]\nkind = \"redis\"\nurl = {:?}\n{more}\n", self.url())
    }

    /// Who is in which segment by the sets of users; those of segments say the same.
    fn segments(&self, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut connection = self.connection();
        let (mut by_user, mut by_segment) = (BTreeMap::new(), BTreeMap::new());
        let keys: Vec<String> = cmd("KEYS").arg("*").query(&mut connection).unwrap();
        for key in keys {
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let user = rest.strip_prefix("user:").and_then(|it| it.strip_suffix(":segments"));
            let segment = rest.strip_prefix("segment:").and_then(|it| it.strip_suffix(":users"));
            let mut members =
                || cmd("SMEMBERS").arg(&key).query::<BTreeSet<String>>(&mut connection).unwrap();
            if let Some(user) = user {
                by_user.insert(user.to_owned(), members());
            } else if let Some(segment) = segment {
                by_segment.insert(segment.to_owned(), members());
            }
        }
        let mut turned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (segment, users) in by_segment {
            for user in users {
                turned.entry(user).or_default().insert(segment.clone());
            }
        }
        assert_eq!(by_user, turned, "both kinds of sets say the same");
        by_user
    }

    /// The position of the sink `redis` of the job `job`.
    fn position(&self) -> Option<i64> {
        cmd("HGET").arg("rivulet:job:redis").arg("position").query(&mut self.connection()).unwrap()
    }

    pub(crate) fn do_it(&self, words: &str) {
        let mut words = words.split(' ');
        let mut what = cmd(words.next().unwrap());
        words.for_each(|word| _ = what.arg(word));
        what.query::<::redis::Value>(&mut self.connection()).unwrap();
    }
}

/// A clickstream that ends while people are in segments, and who is in which then.
fn busy(place: &Place, events: usize) -> BTreeMap<String, BTreeSet<String>> {
    clickstream(place, events);
    place.replay("--events whole.jsonl --max-out-of-orderness 9s --until last --out last").fine();
    let lines: Vec<_> = place.text("last").lines().map(str::to_owned).collect();
    let expected = segments_after(&lines);
    assert!(expected.len() > 5, "{expected:?}");
    expected
}

#[test]
fn the_sets_are_those_of_a_replay() {
    let (redis, place) = (Redis::new(""), Place::new());
    let expected = busy(&place, 2_000);
    let prefixed = "name = \"some\"\nprefix = \"p:\"\nsegments = [\"loo*\", \"buyer\"]";
    job(&place, None, &[redis.sink(""), redis.sink(prefixed)]);
    let done = place.run("replay --job job.toml --until last").fine();
    assert_eq!(done.stdout, "", "a server takes the place of standard output");
    assert_eq!(redis.segments(""), expected);
    let mut some = expected.clone();
    some.values_mut().for_each(|of| _ = of.remove("about_to"));
    some.retain(|_, of| !of.is_empty());
    assert_eq!(redis.segments("p:"), some);
    // The same again has nothing to give, and at the end of all time nobody is left.
    place.run("replay --job job.toml --until last").fine();
    assert_eq!(redis.segments(""), expected);
    place.run("replay --job job.toml").fine();
    assert_eq!(redis.segments(""), BTreeMap::new());
    assert_eq!(redis.segments("p:"), BTreeMap::new());
}

#[test]
fn killed_again_and_again_it_ends_as_if_undisturbed() {
    let (redis, place) = (Redis::new("hush"), Place::new());
    let expected = busy(&place, 24_000);
    for interval in [Some("20ms"), None] {
        redis.do_it("FLUSHALL");
        let prefixed = "name = \"some\"\nprefix = \"p:\"\nsegments = [\"looking\"]";
        job(&place, interval, &[redis.sink(""), redis.sink(prefixed)]);
        killed_often(&place, || redis.position());
        // All time has passed at the end of its files.
        assert_eq!(redis.segments(""), BTreeMap::new());
        assert_eq!(redis.segments("p:"), BTreeMap::new());
        assert_eq!(redis.position(), Some(i64::MAX));
    }
    // The same as far as the last record: sets are not empty.
    redis.do_it("FLUSHALL");
    job(&place, None, &[redis.sink("")]);
    place.run("replay --job job.toml --until last --workers 2").fine();
    assert_eq!(redis.segments(""), expected);
}

#[test]
fn a_server_that_is_killed_loses_and_doubles_nothing() {
    let (redis, place) = (Redis::new(""), Place::new());
    let expected = busy(&place, 6_000);
    job(&place, None, &[redis.sink("")]);
    let (kill, start) = (|| redis.server.kill(), || redis.start());
    replayed_while_killed(&place, 3, || redis.position(), (kill, start));
    assert_eq!(redis.segments(""), expected);
}

#[test]
fn what_has_been_lost_is_noticed_and_filled_anew() {
    let (redis, place) = (Redis::new(""), Place::new());
    clickstream(&place, 24_000);
    let pro =
        r#"{"type":"identify","userId":"p","timestamp":1767225600000,"traits":{"plan":"pro"}}"#;
    place.write("whole.jsonl", format!("{pro}\n{}", place.text("whole.jsonl")));
    let (pro, all) = (r#""plan","op":"eq","value":"pro""#, place.text("segments.json"));
    let refers =
        r#"{"id":"no_buyer","rules":{"operator":"NOT","conditions":[{"segment":"buyer"}]}}"#;
    let added = format!(r#"[{{"id":"pro","rules":{{"attribute":{pro}}}}},{refers},"#);
    place.write("segments.json", all.replacen('[', &added, 1));
    job(&place, None, &[redis.sink("")]);
    place.run("run job.toml").fine();
    let expected = redis.segments("");
    assert!(expected.len() > 50 && expected["p"].contains("pro"), "{expected:?}");
    job(&place, Some("20ms"), &[redis.sink("")]);
    killed_in_mid_stream(&place, || redis.do_it("FLUSHALL"), || redis.position());
    // What others have put beside it stays as it is.
    redis.do_it("SADD user:other:segments mine");
    redis.do_it("SADD user:p:segments old");
    redis.do_it("SREM user:p:segments pro");
    redis.do_it("SADD segment:pro:users stranger");
    redis.do_it("HSET rivulet:job:redis position 5");
    place.run("run job.toml").refused_with(&["behind the checkpoint", "--rebuild redis"]);
    place.run("run job.toml --rebuild some").refused_with(&["--rebuild some", "\"redis\""]);
    let done = place.run("run job.toml --rebuild redis").fine();
    assert!(done.stderr.contains("going on from checkpoint"), "{done:?}");
    redis.do_it("SREM user:p:segments old");
    redis.do_it("DEL user:other:segments");
    assert_eq!(redis.segments(""), expected);
    // A server that has lost all is filled without being asked for.
    killed_in_mid_stream(&place, || redis.do_it("FLUSHALL"), || redis.position());
    redis.do_it("FLUSHALL");
    place.run("run job.toml --workers 2").fine();
    assert_eq!(redis.segments(""), expected);
}

#[test]
fn what_is_wrong_is_told_with_the_remedy_and_without_the_password() {
    let (redis, place) = (Redis::new("hunter2"), Place::new());
    place.write("whole.jsonl", place.text("events.jsonl"));
    let refused = |sink: &str, parts: &[&str]| refused(&place, sink, parts);
    let sink = redis.sink("");
    refused(&sink.replace("hunter2", "hunter3"), &["does not let it in", "the url"]);
    refused(&sink.replace(":hunter2@", ""), &["does not let it in", "the url"]);
    refused(&sink.replace("redis://", "http://"), &["not an address of Redis", "redis://"]);
    redis.do_it("SET segment:pro:users oops");
    refused(&sink, &["something else than a set", "--rebuild redis"]);
    redis.do_it("HSET rivulet:job:redis version 9");
    refused(&sink, &["version 9", "writes version 1"]);
}

#[test]
fn a_run_that_waits_for_its_server_ends_when_told() {
    let (said, address) = awaited_in_vain(|address| {
        format!("[[sink]]\nkind = \"redis\"\nurl = \"redis://{address}\"\n")
    });
    assert!(said.contains(&address.to_string()), "{said}");
}
