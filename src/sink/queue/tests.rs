//! What is promised of a queue: its bounds, its order, and how it ends.

use super::*;

fn item(time: EventTime) -> Item {
    Item::Line { time, key: "k".into(), line: vec![] }
}

const PACE: Pace = Pace {
    items: 10_000,
    every: Duration::from_millis(100),
    position_every: Duration::from_secs(10),
    only_what_is_stored: false,
};

fn queue() -> Queue {
    held_queue(PACE, EventTime::MIN)
}

fn held_queue(pace: Pace, hold: EventTime) -> Queue {
    Queue::new("t".into(), pace, (MadeFinal::since(EventTime::MIN), hold), (None, None))
}

fn long_ago() -> Instant {
    Instant::now().checked_sub(PACE.position_every).unwrap()
}

#[test]
fn an_instant_is_written_when_time_has_passed_it() {
    let queue = queue();
    queue.give(vec![item(1), item(2), item(2)]).unwrap();
    let due = queue.next(long_ago(), None).unwrap();
    assert_eq!((due.items, due.upto), (vec![item(1)], 2));
    queue.advance(7).unwrap();
    let due = queue.next(long_ago(), Some(2)).unwrap();
    assert_eq!((due.items.len(), due.upto), (2, 7));
    queue.advance(8).unwrap();
    let due = queue.next(long_ago(), Some(7)).unwrap();
    assert_eq!((due.items.len(), due.upto), (0, 8), "the position alone");
    assert_eq!(queue.made_final.time(), 8);
}

#[test]
fn a_transaction_holds_whole_instants() {
    let queue = queue();
    let many = PACE.items + 5;
    queue.give((0..many).map(|_| item(1)).chain([item(2)]).collect()).unwrap();
    queue.give((0..many).map(|at| item(if at < 9 { 3 } else { 4 })).collect()).unwrap();
    queue.advance(EventTime::MAX).unwrap();
    let now = Instant::now();
    let sizes = [(many, 2), (10, 4), (many - 9, EventTime::MAX)];
    for (size, upto) in sizes {
        let due = queue.next(now.checked_sub(PACE.every).unwrap(), None).unwrap();
        assert_eq!((due.items.len(), due.upto), (size, upto));
    }
}

#[test]
fn a_full_queue_ends_a_run_that_was_told_what_is_wrong() {
    let queue = queue();
    queue.end(Some(SinkError::Closed));
    assert!(matches!(queue.give(vec![item(1)]), Err(SinkError::Closed)));
}

#[test]
fn an_instant_that_is_larger_than_the_queue_is_taken_in_whole() {
    let queue = queue();
    let long = |time| Item::Line { time, key: "k".into(), line: vec![0; WAITING_BYTES / 2] };
    queue.give(vec![long(1), long(1), long(1)]).unwrap();
    queue.give(vec![long(1)]).unwrap();
    queue.advance(2).unwrap();
    assert_eq!(queue.next(long_ago(), None).unwrap().items.len(), 4);
}

#[test]
fn what_does_not_fit_into_memory_waits_on_disk_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { folder: folder.path().into(), bytes: 4 * count(WAITING_BYTES) };
    let made_final = MadeFinal::since(EventTime::MIN);
    let ends = (made_final, EventTime::MIN);
    let queue = Queue::new("t".into(), PACE, ends, (Some(place), None));
    let long = |time| Item::Line { time, key: "k".into(), line: vec![0; WAITING_BYTES / 4] };
    let times = [1, 2, 3, 4, 5, 5, 6, 6, 6, 7, 8];
    queue.give(times.map(long).into()).unwrap();
    queue.advance(9).unwrap();
    assert!(lock(&queue.state).buffer.as_ref().unwrap().items() > 4);
    let (mut taken, mut upto) = (Vec::new(), EventTime::MIN);
    while upto < 9 {
        let due = queue.next(long_ago(), Some(upto)).unwrap();
        let found: Vec<_> = due.items.iter().map(Item::time).collect();
        assert!(found.iter().all(|time| (upto..due.upto).contains(time)), "{found:?}");
        taken.extend(found);
        upto = due.upto;
        queue.wrote(&due);
    }
    assert_eq!((taken.as_slice(), queue.made_final.time()), (times.as_slice(), 9));
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

#[test]
fn what_is_held_back_is_written_together() {
    let queue = held_queue(Pace { items: 2, only_what_is_stored: true, ..PACE }, 5);
    queue.give(vec![item(1), item(3), item(5), item(5), item(5), item(6)]).unwrap();
    let due = queue.next(long_ago(), None).unwrap();
    assert_eq!((due.items.len(), due.upto), (5, 6));
    assert_eq!(queue.made_final.time(), EventTime::MIN, "it is not written yet");
    let queue = held_queue(PACE, 5);
    queue.give(vec![item(1), item(5)]).unwrap();
    queue.abandon();
    assert!(queue.next(long_ago(), None).is_none());
}

#[test]
fn at_the_end_the_position_is_stored_if_it_is_all_that_counts() {
    let pace = Pace { only_what_is_stored: true, ..PACE };
    let queue = held_queue(pace, EventTime::MIN);
    queue.advance(7).unwrap();
    lock(&queue.state).is_last = true;
    let due = queue.next(Instant::now(), None).unwrap();
    assert_eq!((due.items.len(), due.upto), (0, 7));
    assert!(queue.next(Instant::now(), Some(7)).is_none());
}
