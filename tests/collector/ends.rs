//! `--until caught-up`: a job that clients send to ends once all has been read that there was.

use crate::common::{DIFFERENCES, Done, EVENTS, Place, Running, hosts};
use crate::{BASIC, Live, job, post};

const WORDS: &str = "run job.toml --until caught-up --stats stats";
/// Time goes on with records alone, to the last of them.
const CLOCK: &str = "max_out_of_orderness = \"0s\"\nidle_timeout = \"1d\"";
const FILES: &str = "[[source]]\nkind = \"file\"\npath = [\"a.jsonl\", \"b.jsonl\"]";

fn caught_up(place: &Place) -> Done {
    place.run(WORDS).fine()
}

/// The same of two processes, of which the first takes what clients send.
fn both_caught_up(place: &Place) {
    hosts(place, 2);
    let start = |process: usize| {
        let words = format!("{WORDS}{process} --process {process} --hosts hosts");
        Running::start(&mut place.command(&words))
    };
    [start(0), start(1)].into_iter().for_each(|it| _ = it.end().fine());
}

/// The differences there are by the time of the last record.
fn by_then() -> String {
    DIFFERENCES.lines().take(2).map(|line| format!("{line}\n")).collect()
}

/// One more record, so that time comes to the end of the second.
const LATER: &str =
    r#"{"type":"page","messageId":"z","userId":"u9","timestamp":1767225609001,"name":"x"}"#;

#[test]
fn an_empty_log_is_read_at_once() {
    let place = Place::new();
    job(&place, CLOCK, "", "[state]\npath = \"state\"");
    for _ in 0..2 {
        caught_up(&place);
        assert_eq!(place.text("differences"), "");
    }
    both_caught_up(&place);
}

#[test]
fn what_clients_have_sent_is_read_to_its_end() {
    let place = Place::new();
    job(&place, CLOCK, "log = \"log\"", "");
    let live = Live::start(&place);
    let batch: Vec<_> = EVENTS.lines().filter(|line| *line != "nonsense").chain([LATER]).collect();
    let body = format!(r#"{{"batch":[{}]}}"#, batch.join(","));
    let (code, ..) = post(&format!("{}/v1/batch", live.url), &[BASIC], body.as_bytes()).unwrap();
    assert_eq!(code, 200);
    live.kill();
    for flags in ["--workers 1", "--workers 2"] {
        place.run(&format!("{WORDS} {flags}")).fine();
        assert_eq!(place.text("differences"), by_then(), "{flags}");
    }
    both_caught_up(&place);
    assert_eq!(place.text("differences"), by_then());
}

#[test]
fn files_beside_an_empty_log_are_applied_as_far_as_they_go() {
    let place = Place::new();
    let (a, b) = EVENTS.split_at(EVENTS.find("nonsense").unwrap());
    place.write("a.jsonl", format!("{a}{LATER}\n"));
    place.write("b.jsonl", b);
    for state in ["", "[state]\npath = \"state\""] {
        job(&place, CLOCK, "log = \"log\"", &format!("{FILES}\n{state}"));
        caught_up(&place);
        assert_eq!(place.text("differences"), by_then());
    }
    // What is kept goes on: windows are as they were, and nothing is given out twice.
    caught_up(&place);
    assert_eq!(place.text("differences"), by_then());
    both_caught_up(&place);
    assert_eq!(place.text("differences"), by_then());
}
