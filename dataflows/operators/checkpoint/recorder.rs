//! What has changed since the last checkpoint.

use super::events::EventPage;
use super::image::{FactImage, Image, KeptFact};
use super::pages::{PAGE_BYTES, UserPages};
use super::{Collection, Piece};
use crate::model::time::leave_time;
use crate::model::{Change, Duration, EventTime, Hit, Update, Value};
use crate::operators::cell::Cell;
use crate::operators::plan::{FactKind, Plan, Reader};
use crate::operators::slots::Slots;
use crate::operators::store::Store;
use crate::operators::users::{Slot, StateKind, User, Users};
use crate::operators::window::Entry;

/// Notes what the next checkpoint is to have (see the module above).
///
/// Cost: an event is written once, when it is applied; a user who changed is noted, and written
/// when the checkpoint comes.
#[derive(Debug)]
pub struct Recorder {
    granularity: Duration,
    /// Users whose image has changed, each once.
    changed: Vec<Slot>,
    is_changed: Slots,
    full: Vec<Vec<u8>>,
    page: EventPage,
    /// When the last of the events has left every window.
    until: EventTime,
}

impl Recorder {
    /// Nothing has changed. Windows longer than a day leave at multiples of `granularity`.
    pub fn new(granularity: Duration) -> Self {
        Recorder {
            granularity,
            changed: Vec::new(),
            is_changed: Slots::default(),
            full: Vec::new(),
            page: EventPage::default(),
            until: EventTime::MIN,
        }
    }

    /// A user has changed.
    pub fn changed(&mut self, slot: Slot) {
        if self.is_changed.put(slot) {
            self.changed.push(slot);
        }
    }

    /// An update was applied.
    pub fn applied(&mut self, slot: Slot, update: &Update, plan: &Plan) {
        match &update.change {
            Change::Attributes(_) => self.changed(slot),
            Change::Delete => {
                self.changed(slot);
                self.page.push(update.user, update.time, None);
                self.needed(update.time, plan.longest_window());
            }
            Change::Event(hits) => hits.iter().for_each(|hit| self.hit(slot, update, hit, plan)),
        }
    }

    fn hit(&mut self, slot: Slot, update: &Update, hit: &Hit, plan: &Plan) {
        let Some(entry) = Entry::of(&hit.payload, update.position) else { return };
        let mut longest = None;
        for reader in plan.stream_readers(hit.stream) {
            let (Reader::Aggregate(id) | Reader::Step(id, _)) = *reader;
            match plan.fact(id).map(|fact| &fact.kind) {
                Some(FactKind::Number { aggregate, .. } | FactKind::Value { aggregate })
                    if aggregate.window.is_some() =>
                {
                    longest = longest.max(aggregate.window);
                }
                _ => self.changed(slot),
            }
        }
        if let Some(window) = longest {
            let stream = (hit.stream, plan.streams().fingerprint(hit.stream), &entry);
            self.page.push(update.user, update.time, Some(stream));
            self.needed(update.time, window);
        }
    }

    /// What was written last is needed until it has left a window so long.
    fn needed(&mut self, time: EventTime, window: Duration) {
        self.until = self.until.max(leave_time(time, window, self.granularity));
        if self.page.bytes() >= PAGE_BYTES {
            self.full.push(std::mem::take(&mut self.page).finish());
        }
    }

    /// What has changed since the last time, before `before`, as pieces of the checkpoint of this
    /// number.
    pub fn checkpoint(
        &mut self,
        number: u64,
        before: EventTime,
        (users, plan, store): (&Users, &Plan, &Store),
    ) -> [Piece; 2] {
        let mut pages = UserPages::default();
        for slot in self.changed.drain(..) {
            self.is_changed.set(slot, false);
            let user = users.get(slot);
            pages.push(user.key(), &image_of(user, plan, store));
        }
        let mut events = std::mem::take(&mut self.full);
        let last = std::mem::take(&mut self.page).finish();
        events.extend(Some(last).filter(|page| !page.is_empty()));
        let until = std::mem::replace(&mut self.until, EventTime::MIN);
        let piece = |collection, until, pages| Piece { number, before, collection, until, pages };
        [
            piece(Collection::Users, EventTime::MAX, pages.finish()),
            piece(Collection::Events, until, events),
        ]
    }
}

fn image_of(user: &User, plan: &Plan, store: &Store) -> Image {
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
    Image {
        name: user.name.clone(),
        since: user.since(),
        attributes: attributes.collect(),
        facts: facts.collect(),
    }
}
