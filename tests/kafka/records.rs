//! What is read: the same differences as of files, whatever stands between the records.

use serde_json::Value as Json;

use crate::common::{BUSY_SEGMENTS, Place, Running};
use crate::harness::Broker;
use crate::{T0, catch_up, hosts, job, pro, view};

/// A clickstream in four partitions, in a topic and in files; and the least of their clocks.
pub(crate) fn clickstream(place: &Place, broker: &Broker) -> (String, i64) {
    place.write("segments.json", BUSY_SEGMENTS);
    let flags = "--events 3000 --users 80 --rate 20 --duplicates 0.05 --jitter 9s --identify 0.05";
    place.run(&format!("generate {flags} --out whole.jsonl")).fine();
    let whole = place.text("whole.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let topic = broker.topic(4);
    let mut least = i64::MAX;
    for partition in 0..4_usize {
        let own: Vec<&str> = lines.iter().skip(partition).step_by(4).copied().collect();
        place.write(&format!("{partition}.jsonl"), own.join("\n") + "\n");
        broker.send(&topic, i32::try_from(partition).unwrap(), &own);
        let time = |line: &&str| {
            let json: Json = serde_json::from_str(line).unwrap();
            let time = &json["timestamp"];
            time.as_i64()
                .or_else(|| dataflows::model::time::parse_time(time.as_str().unwrap()).ok())
        };
        least = least.min(own.iter().filter_map(time).max().unwrap() - 5_000);
    }
    (topic, least)
}

/// What a replay of the files gives before this time.
pub(crate) fn expected(place: &Place, before: i64) -> String {
    place.replay("--events 0.jsonl 1.jsonl 2.jsonl 3.jsonl --out replayed").fine();
    let whole = place.text("replayed");
    let time = |line: &str| serde_json::from_str::<Json>(line).unwrap()["time"].as_i64().unwrap();
    let lines: Vec<_> = whole.lines().filter(|line| time(line) < before).collect();
    assert!(lines.len() > 50 && lines.len() < whole.lines().count());
    lines.join("\n") + "\n"
}

#[test]
fn a_topic_gives_the_differences_of_its_partitions_as_files() {
    let (broker, place) = (Broker::shared(), Place::new());
    let (topic, least) = clickstream(&place, broker);
    let expected = expected(&place, least);
    job(&place, broker, &[&topic], "");
    for workers in [1, 2] {
        catch_up(&place, &format!("--workers {workers}"));
        assert!(place.text("differences") == expected, "{workers} workers");
    }
    hosts(&place);
    let start = |process| {
        let words = format!("run job.toml --until caught-up --process {process} --hosts hosts");
        Running::start(&mut place.command(&words))
    };
    let both = [start(0), start(1)];
    both.into_iter().for_each(|it| _ = it.end().fine());
    assert!(place.text("differences") == expected, "2 processes");
}

#[test]
fn aborted_records_are_not_read_and_line_feeds_stay_in_theirs() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    broker.transact(&topic, 0, &[&pro("kept", T0)], true);
    broker.transact(&topic, 0, &[&pro("aborted", T0 + 1)], false);
    let spread = pro("u\\n1", T0 + 2).replace(',', ",\n");
    broker.send(&topic, 0, &[spread, view("kept", T0 + 10_000)]);
    broker.transact(&topic, 0, &[&pro("aborted", T0 + 1)], false);
    job(&place, broker, &[&topic], "");
    catch_up(&place, "");
    let lines = place.json_lines("differences");
    let users: Vec<_> = lines.iter().map(|line| line["user"].as_str().unwrap()).collect();
    assert_eq!(users, ["kept", "u\n1"]);
    let stats = &place.json_lines("stats")[0]["partitions"][0];
    // 1 and its marker, 1 aborted and its marker, 2; then what was aborted last is not a record.
    assert_eq!((&stats["next_offset"], &stats["lag"]), (&Json::from(6), &Json::from(0)));
}

#[test]
fn what_is_no_record_is_rejected_with_its_place_in_kafka() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(2);
    broker.send(&topic, 0, &[view("u", T0)]);
    broker.send(&topic, 1, &[view("u", T0)]);
    broker.tombstone(&topic, 1);
    let long = format!(r#"{{"userId":"{}"}}"#, "x".repeat(900_000));
    broker.send(&topic, 1, &["nonsense".to_owned(), long, view("u", T0 + 9_000)]);
    broker.send(&topic, 0, &[view("u", T0 + 9_000)]);
    job(&place, broker, &[&topic], "");
    catch_up(&place, "");
    let rejected = place.json_lines("rejected");
    let offsets: Vec<_> = rejected.iter().map(|it| it["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3]);
    assert!(rejected.iter().all(|it| it["source"] == topic.as_str() && it["partition"] == 1));
    assert!(rejected[0]["reason"].as_str().unwrap().contains("tombstone"), "{rejected:?}");
}

#[test]
fn a_record_too_long_is_rejected() {
    let (broker, place) = (Broker::new_with("message.max.bytes=8000000\n"), Place::new());
    let topic = broker.topic(1);
    let long = view(&"x".repeat(2 << 20), T0);
    broker.send(&topic, 0, &[long, pro("u", T0), view("u", T0 + 9_000)]);
    job(&place, &broker, &[&topic], "");
    catch_up(&place, "");
    let rejected = place.json_lines("rejected");
    assert_eq!(rejected.len(), 1);
    assert!(
        rejected[0]["reason"].as_str().unwrap().contains("beyond 1048576"),
        "{}",
        rejected[0]["reason"]
    );
    assert_eq!(place.json_lines("differences").len(), 1);
}

#[test]
fn a_topic_of_another_shape_is_mapped() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    let record = |user, time| {
        format!(r#"{{"user_id":"{user}","attribute":"plan","value":"pro","ts":{time}}}"#)
    };
    broker.send(&topic, 0, &[record("a", T0), record("b", T0 + 9_000)]);
    let mapping = "[source.mapping]\nuser = \"user_id\"\nattribute = \"attribute\"\nvalue = \
                   \"value\"\ntime = \"ts\"";
    job(&place, broker, &[&topic], mapping);
    catch_up(&place, "");
    let lines = place.json_lines("differences");
    assert_eq!((lines.len(), &lines[0]["user"]), (1, &Json::from("a")));
}

#[test]
fn it_starts_where_it_is_told() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.topic(1);
    let records: Vec<_> = (0..5).map(|n| view("u", T0 + n * 10_000)).collect();
    broker.send(&topic, 0, &records);
    let read = |start: &str| {
        job(&place, broker, &[&topic], start);
        catch_up(&place, "");
        let stats = place.json_lines("stats").remove(0);
        assert_eq!(stats["partitions"][0]["next_offset"], 5, "{start}");
        stats["read"].as_u64().unwrap() + stats["waiting"].as_u64().unwrap()
    };
    assert_eq!(read(""), 5);
    assert_eq!(read("start = \"latest\""), 0);
    assert_eq!(read("start = \"2026-01-01T00:00:00Z\""), 5, "Kafka's stamps are of today");
    assert_eq!(read("start = \"2100-01-01T00:00:00Z\""), 0);
    let group = format!("group = \"of {topic}\"\n");
    assert_eq!(read(&format!("{group}start = \"committed\"")), 5, "nothing is committed yet");
    // The last record is 10 s after the one before, so the watermark has passed four.
    let committed = broker.committed(&format!("of {topic}"), &topic, 0);
    assert_eq!(committed, None, "all came in one chunk, of which the last is not passed");
}
