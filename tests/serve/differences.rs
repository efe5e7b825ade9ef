//! Differences as they come.

use crate::client::{JOB, START, Served, place, sets};

fn served(more: &str) -> (crate::common::Place, Served) {
    let place = place(&format!("{JOB}{more}"));
    let served = Served::start(&place);
    served.send(&[
        sets("u1", 0, "plan", "pro"),
        sets("u1", 10, "country", "DE"),
        sets("u2", 20, "plan", "pro"),
    ]);
    served.await_segments("u2", &["pro"]);
    (place, served)
}

#[test]
fn they_come_in_order_and_go_on_where_a_client_was() {
    let (_place, served) = served("");
    let mut events = served.stream(&format!("/v1/diffs?since={}", START - 1), "");
    let got: Vec<_> = (0..4).map(|_| events.next().unwrap()).collect();
    let names = |it: &crate::client::Event| {
        format!("{} {} {}", it.id, it.data["segment"].as_str().unwrap(), it.data["user"])
    };
    let of: Vec<_> = got.iter().map(names).collect();
    let at = |after: i64| START + after;
    assert_eq!(
        of,
        [
            format!("{}.1 pro \"u1\"", at(0)),
            format!("{}.1 both \"u1\"", at(10)),
            format!("{}.2 de \"u1\"", at(10)),
            format!("{}.1 pro \"u2\"", at(20)),
        ]
    );
    // After the first of two at one time.
    let header = format!("last-event-id: {}\r\n", got[1].id);
    let mut rest = served.stream("/v1/diffs", &header);
    assert_eq!(names(&rest.next().unwrap()), of[2]);
    let mut now = served.stream("/v1/diffs?segment=pro", "");
    let mut of_user = served.stream(&format!("/v1/diffs?user=u2&since={}", START - 1), "");
    assert_eq!(names(&of_user.next().unwrap()), of[3]);
    served.send(&[sets("u1", 30, "country", "FR"), sets("u2", 40, "plan", "free")]);
    let next = now.next().unwrap();
    assert_eq!((next.data["diff"].as_i64(), next.data["time"].as_i64()), (Some(-1), Some(at(40))));
    assert_eq!(of_user.next().unwrap().data, next.data);
    // They end with the job.
    assert_eq!(served.end(), Some(0));
    assert!(now.next().is_none());
}

#[test]
fn what_cannot_be_gone_on_from_is_refused() {
    let (_place, served) = served("");
    served.get(&format!("/v1/diffs?since={}", START + 1_000_000_000)).refused(409, "not_yet");
    served.get("/v1/diffs?since=noon").refused(400, "bad_request");
    let wrong = [("last-event-id", "x")];
    served.ask("GET", "/v1/diffs", &wrong, "").refused(400, "bad_request");
}

#[test]
fn who_does_not_read_is_dropped_and_holds_up_nobody() {
    let (place, served) = served("differences = 200\n");
    let mut slow = served.stream("/v1/diffs", "");
    // More than the buffers of the system take.
    let long = "u".repeat(1_000);
    for part in 0..40_i64 {
        let records = (0..500).map(|it| {
            let time = 100 + part * 500 + it;
            sets(&long, time, "plan", if it % 2 == 0 { "free" } else { "pro" })
        });
        served.send(&records.collect::<Vec<_>>());
    }
    served.send(&[sets("last", 100_000, "plan", "pro")]);
    served.await_segments("last", &["pro"]);
    // It reads on: what was on its way, and that it was too slow; or it is cut off by then.
    let mut last = None;
    while let Some(event) = slow.next() {
        last = Some(event);
    }
    let last = last.unwrap();
    let missed = last.kind == "dropped" && last.data["error"]["code"] == "too_slow";
    let cut_off = last.data["user"] == long.as_str();
    assert!(missed || cut_off, "{last:?}");
    assert!(place.text("differences").len() > 10_000_000);
}
