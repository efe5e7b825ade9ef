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
    BATCH_SPANS, Came, Counts, Fate, LINGER, LOOK, Moment, Note, Place, Scene, Settled, now,
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
}

impl Gatherer {
    pub(super) fn new(
        job: (&str, bool),
        waits_for: Arc<AtomicI64>,
        counts: Counts,
        give: SyncSender<Vec<Span>>,
    ) -> Self {
        Gatherer { gathering: Gathering::new(job), waits_for, counts, give, since: None }
    }

    pub(super) fn run(mut self, notes: &Receiver<Note>) {
        loop {
            let note = notes.recv_timeout(self.wait());
            let is_over = matches!(note, Ok(Note::End) | Err(RecvTimeoutError::Disconnected));
            note.into_iter().for_each(|note| self.gathering.take(note));
            self.gathering.look(now());
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
        let (batch, many) = (std::mem::take(spans), spans.len());
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
        let finals: Vec<Option<EventTime>> = match self.given.is_empty() {
            true => Vec::new(),
            false => {
                let made_final = |it: &super::Output| it.made_final.as_ref().map(|it| it());
                self.scene.outputs.iter().map(made_final).collect()
            }
        };
        let (scene, complete) = (&self.scene, &mut self.complete);
        self.given.retain_mut(|Given { ids, came }| {
            let mut done = came.given;
            let given = came.given;
            let time = came.difference.time;
            let outputs = std::mem::take(&mut came.outputs);
            let is_awaited = |output: &usize| {
                finals.get(*output).copied().flatten().is_some_and(|before| before <= time)
            };
            let (awaited, has): (Vec<_>, Vec<_>) = outputs.into_iter().partition(is_awaited);
            for output in has {
                let Some(output) = scene.outputs.get(output) else { continue };
                let at = if output.made_final.is_some() { moment.max(given) } else { given };
                done = done.max(at);
                complete.push(ids.delivered(came, &output.name, at));
            }
            came.given = done;
            came.outputs = awaited;
            if came.outputs.is_empty() {
                complete.push(ids.came(came, done));
            }
            !came.outputs.is_empty()
        });
        while self.loose.front().is_some_and(|(since, _)| since.elapsed() >= LOOSE_FOR) {
            self.loose.pop_front();
        }
    }
}
