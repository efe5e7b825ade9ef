//! One picture of who is in which segment, taken when a replay ends.

use std::sync::Arc;

use dataflows::model::EventTime;

use super::users::Members;
use super::{ExportFault, Place, Settings, Snapshot, Written};
use crate::sink::SinkError;
use crate::sink::delivery::{Delivery, HowItStands, Item, MadeFinal, Standing};
use crate::sink::selection::Selection;

/// What becomes of the picture.
type Tell = Box<dyn FnMut(EventTime, Option<Vec<Written>>) + Send>;

/// Takes in all differences, and writes who is in what after the last.
pub struct AtEnd {
    settings: Settings,
    place: Box<dyn Place>,
    selection: Selection,
    members: Members,
    frontier: EventTime,
    tell: Tell,
}

impl AtEnd {
    /// Of these segments. Tells as of which time the picture is and its files; none, if it was
    /// there already.
    pub fn new(
        settings: Settings,
        place: Box<dyn Place>,
        selection: Selection,
        tell: impl FnMut(EventTime, Option<Vec<Written>>) + Send + 'static,
    ) -> Self {
        let (members, frontier) = (Members::default(), EventTime::MIN);
        AtEnd { settings, place, selection, members, frontier, tell: Box::new(tell) }
    }

    fn write(&self) -> Result<Option<Vec<Written>>, ExportFault> {
        let as_of = self.frontier - 1;
        let Some(mut snapshot) = Snapshot::begin(&*self.place, &self.settings, as_of)? else {
            return Ok(None);
        };
        let written = self.members.write(&mut snapshot, &self.members.segments());
        written.map_err(|stopped| stopped.fault(&self.settings))?;
        snapshot.finish().map(Some)
    }
}

impl Delivery for AtEnd {
    fn delivered(&self) -> Option<EventTime> {
        None
    }

    fn give(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        for item in items {
            if let Item::Difference(difference) = item
                && self.selection.has(&difference.segment)
            {
                self.members.apply(&difference);
            }
        }
        Ok(())
    }

    fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError> {
        self.frontier = self.frontier.max(frontier);
        Ok(())
    }

    fn made_final(&self) -> MadeFinal {
        MadeFinal::since(EventTime::MIN)
    }

    fn standing(&self) -> HowItStands {
        let name = format!("export {}", self.settings.name);
        let nothing = Standing {
            name,
            is_down: false,
            waiting: 0,
            bytes: 0,
            on_disk: 0,
            written: 0,
            steps: 0,
            made_final: None,
        };
        Arc::new(move || nothing.clone())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.frontier > EventTime::MIN {
            let written = self.write()?;
            (self.tell)(self.frontier - 1, written);
        }
        Ok(())
    }
}
