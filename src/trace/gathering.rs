//! The notes of a record, put together: what came of it is complete once time has passed it and all
//! outputs have what it changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use dataflows::model::{EventTime, UserKey};
use opentelemetry_proto::tonic::trace::v1::Span;
use xxhash_rust::xxh3::xxh3_64;

use super::span::Ids;
use super::{
    BATCH_SPANS, Came, Counts, Fate, LINGER, LOOK, Moment, Note, Output, Place, Scene, Settled, now,
};

/// How many records may wait for time to pass them, and how many differences for their outputs.
const WAITING_MAX: usize = 8_192;
/// How many differences of which no record is known are remembered, and how long: another process
/// may yet tell of it. Most have none, as they come of the passing of time.
const LOOSE_MAX: usize = 4_096;
const LOOSE_FOR: Duration = Duration::from_secs(5);

/// The thread that puts notes together.
pub(super) struct Gatherer {
    gathering: Gathering,
    waits_for: Arc<AtomicI64>,
    counts: Counts,
    give: SyncSender<Vec<Span>>,
    /// Since when spans wait for others.
    since: Option<Instant>,
    /// When it was last looked what outputs have.
    looked: Instant,
}

impl Gatherer {
    pub(super) fn new(
        job: (&str, bool),
        waits_for: Arc<AtomicI64>,
        counts: Counts,
        give: SyncSender<Vec<Span>>,
    ) -> Self {
        let (gathering, looked) = (Gathering::new(job), Instant::now());
        Gatherer { gathering, waits_for, counts, give, since: None, looked }
    }

    pub(super) fn run(mut self, notes: &Receiver<Note>) {
        loop {
            let note = notes.recv_timeout(self.wait());
            let is_over = matches!(note, Ok(Note::End) | Err(RecvTimeoutError::Disconnected));
            note.into_iter().for_each(|note| self.gathering.take(note));
            if is_over || self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.gathering.look(now());
            }
            if let Some(time) = self.gathering.waits_for() {
                self.waits_for.fetch_min(time, Ordering::AcqRel);
            }
            self.counts.dropped.inc_by(std::mem::take(&mut self.gathering.dropped));
            self.give(is_over);
            if is_over {
                return;
            }
        }
    }

    /// How long to wait for a note.
    fn wait(&self) -> Duration {
        let is_awaited = !self.gathering.given.is_empty();
        let linger = self.since.map(|since| LINGER.saturating_sub(since.elapsed()));
        match (is_awaited, linger) {
            (true, Some(linger)) => linger.min(LOOK),
            (true, None) => LOOK,
            (false, Some(linger)) => linger,
            (false, None) => LOOSE_FOR,
        }
    }

    /// Gives what is complete to be posted, if that is much or has waited.
    fn give(&mut self, is_over: bool) {
        let spans = &mut self.gathering.complete;
        if spans.is_empty() {
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if !(is_over || spans.len() >= BATCH_SPANS || since.elapsed() >= LINGER) {
            return;
        }
        let (many, batch) = (spans.len(), std::mem::take(spans));
        self.since = None;
        self.counts.waiting.inc_by(i64::try_from(many).unwrap_or(i64::MAX));
        if self.give.try_send(batch).is_err() {
            self.counts.leave_the_queue(0, many);
        }
    }
}

/// Notes that are not complete yet, and spans that are.
struct Gathering {
    job: u64,
    scene: Scene,
    /// All before this has come out.
    passed: EventTime,
    /// Records time has not passed yet, by what differences know of them.
    waiting: BTreeMap<(EventTime, UserKey), Vec<Waiting>>,
    records: usize,
    /// Differences of which no record is known, in the order they came.
    loose: VecDeque<(Instant, Came)>,
    /// Whether other processes may yet tell of one.
    hears: bool,
    /// Differences that outputs do not have yet.
    given: Vec<Given>,
    /// How far outputs were when they were last looked at, if nothing has been given since.
    looked_at: Option<Vec<Option<EventTime>>>,
    complete: Vec<Span>,
    /// Spans there was no room for.
    dropped: u64,
}

struct Waiting {
    ids: Ids,
    /// Where it was read here.
    settled: Option<Settled>,
}

/// A difference of a record, and the outputs that do not have it yet.
struct Given {
    ids: Ids,
    came: Came,
}

impl Given {
    /// Tells which outputs have it by this moment, being so far; whether all have.
    fn deliver(
        &mut self,
        outputs: &[Output],
        finals: &[Option<EventTime>],
        moment: Moment,
        to: &mut Vec<Span>,
    ) -> bool {
        let Given { ids, came } = self;
        let (given, time) = (came.given, came.difference.time);
        let is_awaited = |output: &usize| {
            finals.get(*output).copied().flatten().is_some_and(|before| before <= time)
        };
        let (awaited, has): (Vec<_>, Vec<_>) =
            std::mem::take(&mut came.outputs).into_iter().partition(is_awaited);
        for output in has.into_iter().filter_map(|output| outputs.get(output)) {
            let at = if output.made_final.is_some() { moment.max(given) } else { given };
            came.done = came.done.max(at);
            to.push(ids.delivered(came, &output.name, at));
        }
        came.outputs = awaited;
        if came.outputs.is_empty() {
            to.push(ids.came(came, came.done));
        }
        came.outputs.is_empty()
    }
}

impl Gathering {
    fn new((job, hears): (&str, bool)) -> Self {
        let name = Box::new(|index| (String::new(), index));
        Gathering {
            job: xxh3_64(job.as_bytes()),
            scene: Scene { outputs: Vec::new(), name },
            passed: EventTime::MIN,
            waiting: BTreeMap::new(),
            records: 0,
            loose: VecDeque::new(),
            hears,
            given: Vec::new(),
            looked_at: None,
            complete: Vec::new(),
            dropped: 0,
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Scene(scene) => self.scene = scene,
            Note::Settled(settled) => {
                let place = settled.place;
                match settled.fate {
                    Fate::Applied(_) => self.record(place, Some(settled)),
                    Fate::Late(_) | Fate::Rejected(_) => {
                        let done = settled.turn;
                        self.complete(Ids::of(self.job, &place), &settled, done);
                    }
                }
            }
            Note::Heard(place) => self.record(place, None),
            Note::Came(came) => self.came(came),
            Note::Passed(frontier, moment) => self.pass(frontier, moment),
            Note::End => {}
        }
    }

    /// The least time a record waits for.
    fn waits_for(&self) -> Option<EventTime> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// A record takes effect; what has come of it may be known already.
    fn record(&mut self, place: Place, settled: Option<Settled>) {
        if self.records >= WAITING_MAX {
            self.dropped += 4;
            return;
        }
        let ids = Ids::of(self.job, &place);
        let is_its =
            |it: &&(Instant, Came)| it.1.user == place.user && it.1.difference.time == place.at;
        self.looked_at = None;
        for (_, came) in self.loose.iter().filter(is_its) {
            self.given.push(Given { ids, came: came.clone() });
        }
        self.records += 1;
        let key = (place.at, place.user);
        self.waiting.entry(key).or_default().push(Waiting { ids, settled });
    }

    /// A difference came out: it is of all records of its user at its time.
    fn came(&mut self, came: Came) {
        let key = (came.difference.time, came.user);
        if let Some(records) = self.waiting.get(&key) {
            if self.given.len() + records.len() > WAITING_MAX {
                self.dropped += 1;
                return;
            }
            self.looked_at = None;
            let given = |it: &Waiting| Given { ids: it.ids, came: came.clone() };
            self.given.extend(records.iter().map(given));
        }
        if !self.hears {
            return;
        }
        if self.loose.len() == LOOSE_MAX {
            self.loose.pop_front();
        }
        self.loose.push_back((Instant::now(), came));
    }

    /// All before this time has come out.
    fn pass(&mut self, frontier: EventTime, moment: Moment) {
        self.passed = self.passed.max(frontier);
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 < self.passed
        {
            for Waiting { ids, settled } in entry.remove() {
                self.records -= 1;
                if let Some(settled) = settled {
                    self.complete(ids, &settled, moment);
                }
            }
        }
    }

    fn complete(&mut self, ids: Ids, settled: &Settled, done: Moment) {
        let source = (self.scene.name)(settled.place.position.partition);
        self.complete.extend(ids.settled(settled, source, done));
    }

    /// Looks which outputs have what they were given, and forgets what no record was heard of.
    fn look(&mut self, moment: Moment) {
        if !self.given.is_empty() {
            let made_final = |it: &Output| it.made_final.as_ref().map(|it| it());
            let finals: Vec<_> = self.scene.outputs.iter().map(made_final).collect();
            if self.looked_at.as_ref() != Some(&finals) {
                let (outputs, to) = (&self.scene.outputs, &mut self.complete);
                self.given.retain_mut(|it| !it.deliver(outputs, &finals, moment, to));
                self.looked_at = Some(finals);
            }
        }
        while self.loose.front().is_some_and(|(since, _)| since.elapsed() >= LOOSE_FOR) {
            self.loose.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataflows::model::{Difference, Position, Sign};

    use super::super::Read;
    use super::*;

    const AT: EventTime = 1_000;

    fn place(offset: u64) -> Place {
        Place {
            position: Position { partition: 0, offset },
            user: UserKey::of("u"),
            at: AT,
            parent: None,
        }
    }

    fn came(segment: &str) -> Note {
        let (segment, user) = (segment.into(), "u".into());
        let difference = Difference { time: AT, segment, user, sign: Sign::Entered };
        let user = UserKey::of("u");
        Note::Came(Came { difference, user, came: 5, given: 6, done: 6, outputs: vec![0] })
    }

    fn settled(offset: u64) -> Note {
        let read = Read { asked: 1, taken: 2, decoded: 3 };
        Note::Settled(Settled { place: place(offset), read, turn: 4, fate: Fate::Applied(AT) })
    }

    /// One output, which is as far as this says.
    fn gathering(hears: bool) -> (Gathering, Arc<AtomicI64>) {
        let mut gathering = Gathering::new(("job", hears));
        let made_final = Arc::new(AtomicI64::new(0));
        let own = Arc::clone(&made_final);
        let made_final_by = Box::new(move || own.load(Ordering::Acquire));
        let output = Output { name: "sink".to_owned(), made_final: Some(made_final_by) };
        let name = Box::new(|index| (String::new(), index));
        gathering.take(Note::Scene(Scene { outputs: vec![output], name }));
        (gathering, made_final)
    }

    fn names(gathering: &mut Gathering) -> Vec<String> {
        gathering.complete.drain(..).map(|span| span.name).collect()
    }

    #[test]
    fn a_difference_is_told_once_its_output_has_it() {
        let (mut gathering, made_final) = gathering(false);
        gathering.take(settled(7));
        assert_eq!(gathering.waits_for(), Some(AT));
        gathering.take(came("a"));
        gathering.take(Note::Passed(AT, 8));
        assert_eq!(names(&mut gathering), [""; 0], "time has come to it, and not passed it");
        gathering.take(Note::Passed(AT + 1, 9));
        assert_eq!(names(&mut gathering), ["record", "read", "decode", "apply"]);
        assert_eq!(gathering.waits_for(), None);
        gathering.look(10);
        assert_eq!(names(&mut gathering), [""; 0]);
        made_final.store(AT + 1, Ordering::Release);
        gathering.look(11);
        let ends: Vec<_> = gathering.complete.iter().map(|it| it.end_time_unix_nano).collect();
        assert_eq!(ends, [11, 11]);
        assert_eq!(names(&mut gathering), ["deliver", "difference"]);
        gathering.take(came("by the passing of time"));
        gathering.look(12);
        assert_eq!(names(&mut gathering), [""; 0]);
    }

    #[test]
    fn another_process_may_tell_of_the_record_before_or_after() {
        let (mut gathering, made_final) = gathering(true);
        made_final.store(AT + 1, Ordering::Release);
        gathering.take(Note::Heard(place(1)));
        gathering.take(came("a"));
        gathering.take(Note::Heard(place(2)));
        gathering.take(Note::Passed(AT + 1, 9));
        gathering.look(10);
        let traces: Vec<_> = gathering.complete.iter().map(|it| it.trace_id.clone()).collect();
        assert!(traces.len() == 4 && traces[0] != traces[3], "{traces:?}");
        assert_eq!(names(&mut gathering), ["deliver", "difference", "deliver", "difference"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut gathering, _) = gathering(false);
        let most = u64::try_from(WAITING_MAX).unwrap();
        (0..most + 5).for_each(|offset| gathering.take(settled(offset)));
        assert_eq!((gathering.records, gathering.dropped), (WAITING_MAX, 20));
        gathering.take(Note::Passed(EventTime::MAX, 1));
        assert_eq!((gathering.records, gathering.complete.len()), (0, 4 * WAITING_MAX));
    }
}
