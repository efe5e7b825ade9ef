//! What has changed since the last checkpoint.

use super::events::{EventPage, Named, Told};
use super::image::{Disordered, FactImage, GONE, Image, KeptFact, Recent, RecentChange};
use super::pages::{PAGE_BYTES, UserPages};
use super::{Collection, Piece, is_needed};
use crate::model::time::leave_time;
use crate::model::{Change, Duration, EventTime, Hit, Payload, StreamId, UserKey, Value};
use crate::operators::attributes::Writer;
use crate::operators::cell::Cell;
use crate::operators::plan::{FactKind, Plan, Reader};
use crate::operators::slots::Slots;
use crate::operators::store::Store;
use crate::operators::users::{Effect, Slot, StateKind, User, Users};
use crate::operators::window::Entry;

/// How many users are written in one go, so that a checkpoint keeps nobody waiting: some tenths of a
/// millisecond. Few where tests want many slices.
const SLICE: usize = if cfg!(debug_assertions) { 2 } else { 512 };

/// Notes what the next checkpoint is to have (see the module above).
///
/// Cost: an event is written once, when it is applied. A user who changed is noted, and written
/// once the checkpoint has come: in slices, while the stream goes on, and before anything else
/// changes them.
#[derive(Debug)]
pub struct Recorder {
    granularity: Duration,
    /// Users whose image has changed, each once.
    changed: Vec<Slot>,
    is_changed: Slots,
    /// Pages that are full, and until when each is needed.
    full: Vec<(EventTime, Vec<u8>)>,
    page: EventPage,
    /// By the number of a stream, what is kept of its events; as far as it is known.
    kept: Vec<Option<Kept>>,
    /// When the last event of the page has left every window.
    until: EventTime,
    /// The users of the checkpoint that is being taken.
    writing: Option<Writing>,
}

/// Users that are being written.
#[derive(Debug)]
struct Writing {
    number: u64,
    before: EventTime,
    /// Nothing older takes effect after it.
    settled: EventTime,
    /// Those who were erased, and of whom something is kept all the same: as yet.
    gone: Vec<Slot>,
    /// Those who changed before it and are not written, and some who are.
    left: Vec<Slot>,
    is_left: Slots,
    pages: UserPages,
}

/// What is kept of an event of a stream.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// The longest window it enters, if any.
    window: Option<Duration>,
    /// Whether it also enters what the image of its user has.
    in_image: bool,
    /// What stands for its stream.
    fingerprint: u64,
}

/// What an image is made from.
pub(super) type Seen<'a> = (&'a Users, &'a Plan, &'a Store);

impl Recorder {
    /// Nothing has changed. Windows longer than a day leave at multiples of `granularity`.
    pub fn new(granularity: Duration) -> Self {
        Recorder {
            granularity,
            changed: Vec::new(),
            is_changed: Slots::default(),
            full: Vec::new(),
            page: EventPage::default(),
            kept: Vec::new(),
            until: EventTime::MIN,
            writing: None,
        }
    }

    /// A user is about to change.
    pub fn changes(&mut self, slot: Slot, seen: Seen<'_>) {
        if let Some(writing) = &mut self.writing
            && writing.is_left.take(slot)
        {
            writing.write(slot, seen);
        }
    }

    /// Whether users are being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Writes some of the users, or all; gives back the piece, once it is complete.
    pub fn write_some(&mut self, all: bool, seen: Seen<'_>) -> Option<Piece> {
        let writing = self.writing.as_mut()?;
        for _ in 0..if all { usize::MAX } else { SLICE } {
            let Some(slot) = writing.left.pop() else { break };
            if writing.is_left.take(slot) {
                writing.write(slot, seen);
            }
        }
        let done = self.writing.take_if(|writing| writing.left.is_empty())?;
        done.gone.into_iter().for_each(|slot| self.changed(slot));
        Some(Piece {
            number: done.number,
            before: done.before,
            settled: done.settled,
            collection: Collection::Users,
            until: EventTime::MAX,
            pages: done.pages.finish(),
        })
    }

    /// A user has changed.
    #[inline(never)]
    pub fn changed(&mut self, slot: Slot) {
        if self.is_changed.put(slot) {
            self.changed.push(slot);
        }
    }

    /// An update of this user took effect at this instant.
    pub fn applied(&mut self, (user, at): (UserKey, EventTime), update: &Effect, plan: &Plan) {
        match &update.change {
            Change::Event(hits) => hits.iter().for_each(|hit| self.hit(user, update, hit, plan)),
            Change::Attributes(_) => self.changed(update.slot),
            Change::Delete => {
                self.changed(update.slot);
                // What it makes void may be later than it, but not than when it came.
                self.page.push(user, at, Told::Erased);
                self.needed(at, plan.longest_window());
            }
        }
    }

    // What is seldom so stands in functions of its own: an event passes here once, and that is most
    // of what a checkpoint costs.
    fn hit(&mut self, user: UserKey, update: &Effect, hit: &Hit, plan: &Plan) {
        let Kept { window, in_image, fingerprint } =
            match self.kept.get(hit.stream.0 as usize).copied().flatten() {
                Some(known) => known,
                None => self.learn(hit.stream, plan),
            };
        let micros = match hit.payload {
            Payload::Mismatch => return,
            Payload::Happened => Some(None),
            Payload::Micros(micros) => Some(Some(micros)),
            _ => None,
        };
        if in_image {
            self.changed(update.slot);
        }
        let (time, stream) = (update.time, (hit.stream, fingerprint));
        match (window, micros) {
            (Some(window), Some(micros)) => {
                self.page.push_short(user, time, (stream, micros));
                self.needed(time, window);
            }
            (Some(window), None) => self.long(user, update, (stream, &hit.payload), window),
            (None, _) => {}
        }
    }

    /// An event entered a window, and more is kept of it than a number.
    #[inline(never)]
    fn long(
        &mut self,
        user: UserKey,
        update: &Effect,
        (stream, payload): (Named, &Payload),
        window: Duration,
    ) {
        if let Some(entry) = Entry::of(payload, update.position) {
            self.page.push(user, update.time, Told::Event(stream, &entry));
            self.needed(update.time, window);
        }
    }

    /// What is kept of the events of a stream, noted for the next one.
    #[inline(never)]
    fn learn(&mut self, stream: StreamId, plan: &Plan) -> Kept {
        let (number, kept) = (stream.0 as usize, Kept::of(stream, plan));
        if self.kept.len() <= number {
            self.kept.resize(number + 1, None);
        }
        self.kept[number] = Some(kept);
        kept
    }

    /// The plan is about to change.
    pub fn plan_changes(&mut self) {
        self.kept.clear();
    }

    /// What is held of a stream has been worked out anew by now.
    pub fn refilled(&mut self, user: &User, stream: StreamId, at: EventTime, plan: &Plan) {
        let Some(log) = user.log(stream) else { return };
        let windows = plan.stream_readers(stream).iter().filter_map(|reader| {
            let Reader::Aggregate(id) = *reader else { return None };
            plan.aggregate(id)?.window
        });
        let window = windows.max().unwrap_or_default();
        let named = (stream, plan.streams().fingerprint(stream));
        self.page.push(user.key(), at, Told::Void(named));
        self.needed(at, plan.longest_window());
        for (time, entry) in (0..log.len()).filter_map(|place| log.entry(place)) {
            self.page.push(user.key(), time, Told::Event(named, &entry));
            self.needed(time, window);
        }
    }

    /// What was written last is needed until it has left a window so long.
    #[inline]
    fn needed(&mut self, time: EventTime, window: Duration) {
        self.until = self.until.max(leave_time(time, window, self.granularity));
        if self.page.bytes() >= PAGE_BYTES {
            self.end_page();
        }
    }

    #[inline(never)]
    fn end_page(&mut self) {
        let until = std::mem::replace(&mut self.until, EventTime::MIN);
        let page = self.page.finish();
        self.full.extend(Some((until, page)).filter(|(_, page)| !page.is_empty()));
    }

    /// Everything before `before` has been applied, and nothing else: the events of the checkpoint
    /// of this number. The users are written from now on; those of an earlier one must have been.
    /// Nothing older than `settled` will be applied.
    pub fn checkpoint(&mut self, number: u64, before: EventTime, settled: EventTime) -> Piece {
        assert!(self.writing.is_none(), "checkpoints are taken one after the other");
        self.writing = Some(Writing {
            number,
            before,
            settled,
            gone: Vec::new(),
            left: std::mem::take(&mut self.changed),
            is_left: std::mem::take(&mut self.is_changed),
            pages: UserPages::default(),
        });
        self.end_page();
        let mut events = std::mem::take(&mut self.full);
        // Where time flies, as over the backlog of a topic, much has left its windows by now.
        events.retain(|(until, _)| is_needed(*until, before));
        let until = events.iter().map(|(until, _)| *until).max().unwrap_or(EventTime::MIN);
        let pages = events.into_iter().map(|(_, page)| page).collect();
        Piece { number, before, settled, collection: Collection::Events, until, pages }
    }
}

impl Kept {
    fn of(stream: StreamId, plan: &Plan) -> Self {
        let (mut window, mut in_image) = (None, false);
        for reader in plan.stream_readers(stream) {
            let (Reader::Aggregate(id) | Reader::Step(id, _)) = *reader;
            match plan.fact(id).map(|fact| &fact.kind) {
                Some(FactKind::Number { aggregate, .. } | FactKind::Value { aggregate })
                    if aggregate.window.is_some() =>
                {
                    window = window.max(aggregate.window);
                }
                _ => in_image = true,
            }
        }
        Kept { window, in_image, fingerprint: plan.streams().fingerprint(stream) }
    }
}

impl Writing {
    fn write(&mut self, slot: Slot, (users, plan, store): Seen<'_>) {
        let user = users.get(slot);
        if let Some(since) = user.since().filter(|_| user.is_bare()) {
            return self.pages.push_bare(user.key(), user.name.as_bytes(), since);
        }
        let image = image_of(user, plan, store, self.settled);
        if image.as_ref().is_some_and(|image| image.since == GONE) {
            self.gone.push(slot);
        }
        self.pages.push(user.key(), image.as_ref());
    }
}

/// What is to be kept of a user, where nothing older than `settled` comes any more.
fn image_of(user: &User, plan: &Plan, store: &Store, settled: EventTime) -> Option<Image> {
    let disorder = Some(disordered(user, plan, settled)).filter(|it| !it.is_empty());
    let since = user.since().or(disorder.is_some().then_some(GONE))?;
    let value = |cell: Cell| cell.value(&store.pool).unwrap_or(Value::Null);
    let attributes = user.attributes.cells().iter();
    let attributes = attributes.map(|(number, cell)| (store.key(*number), value(*cell)));
    let facts = user.states.iter().filter_map(|(id, state)| {
        let fact = plan.fact(*id)?;
        let image = match &state.kind {
            StateKind::Attribute(held) => {
                FactImage::Held(held.as_ref()?.image(|number| store.key(number)))
            }
            StateKind::Window(_) => return None,
            StateKind::Total(total) => FactImage::Total(total.clone()),
            StateKind::Sequence(progress) => FactImage::Sequence(progress.clone()),
        };
        Some((KeptFact { fingerprint: fact.fingerprint, from: fact.from }, image))
    });
    let (attributes, facts) = (attributes.collect(), facts.collect());
    Some(Image { name: user.name.give(), since, attributes, facts, disorder })
}

fn disordered(user: &User, plan: &Plan, settled: EventTime) -> Disordered {
    let matters = |writer: &Writer| writer.0 >= settled;
    let cells = user.attributes.cells().iter().enumerate();
    let writers = cells
        .filter_map(|(place, (number, _))| Some((place, user.writer(*number).filter(matters)?)));
    let recent = user.recent().iter().filter(|update| update.time >= settled);
    let recent = recent.filter_map(|update| {
        let change = match &update.change {
            Change::Event(hits) => {
                let hit = |hit: &Hit| (plan.streams().fingerprint(hit.stream), hit.payload.clone());
                RecentChange::Event(hits.iter().map(hit).collect())
            }
            Change::Attributes(attributes) => RecentChange::Attributes(attributes.to_vec()),
            Change::Delete => return None,
        };
        Some(Recent { time: update.time, position: update.position, change })
    });
    let (writers, recent) = (writers.collect(), recent.collect());
    Disordered { writers, recent, erased: user.erased().filter(matters) }
}
