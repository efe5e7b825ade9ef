//! The outputs that are delivered once: what earlier lives have made final is left out. What users'
//! attributes have become is given to those who ask for them, among the differences.

use std::fmt::Write as _;

use dataflows::model::{Asked, Difference, EventTime, Path, Profile, Value};
use dataflows::segmentation::{Late, Rejected};

use super::outputs::{Origin, name};
use crate::sink::delivery::{Delivery, HowItStands, Item, MadeFinal};
use crate::sink::{SinkError, line};

/// The outputs of a run that are delivered.
#[derive(Default)]
pub struct Deliveries {
    /// Of differences.
    pub differences: Vec<Box<dyn Delivery>>,
    /// Of late records.
    pub late: Vec<Box<dyn Delivery>>,
    /// Of rejected records.
    pub rejected: Vec<Box<dyn Delivery>>,
}

impl Deliveries {
    /// Up to when each of them has made final what it was given.
    pub fn made_final(&self) -> Vec<MadeFinal> {
        let all = self.differences.iter().chain(&self.late).chain(&self.rejected);
        all.map(|delivery| delivery.made_final()).collect()
    }

    /// How each of them stands, and of what it is told.
    pub(super) fn standing(&self) -> Vec<(&'static str, HowItStands)> {
        let all = [
            ("differences", &self.differences),
            ("late", &self.late),
            ("rejected", &self.rejected),
        ];
        let each = all.into_iter().flat_map(|(of, some)| some.iter().map(move |it| (of, it)));
        each.map(|(of, delivery)| (of, delivery.standing())).collect()
    }

    /// Whether any wants to be told who is in which segment, where the run goes on from.
    pub fn want_members(&self) -> bool {
        self.differences.iter().any(|delivery| delivery.wants_members())
    }

    /// Gives those who want it who is in which segment, as of the instant before the run goes on.
    /// They come by themselves.
    pub(super) fn members(
        &mut self,
        batch: &[Difference],
        profiles: &[Profile],
    ) -> Result<(), SinkError> {
        if batch.is_empty() && profiles.is_empty() {
            return Ok(());
        }
        let wanting = self.differences.iter_mut().filter(|delivery| delivery.wants_members());
        for delivery in wanting {
            let items = items(batch, profiles, delivery.attributes());
            delivery.give(items)?;
        }
        Ok(())
    }

    /// Gives differences, and what attributes have become meanwhile.
    pub(super) fn give(
        &mut self,
        batch: &[Difference],
        profiles: &[Profile],
    ) -> Result<(), SinkError> {
        for delivery in &mut self.differences {
            let delivered = delivery.delivered().unwrap_or(EventTime::MIN);
            let new = batch.partition_point(|difference| difference.time < delivered);
            let of_new = profiles.partition_point(|profile| profile.time < delivered);
            let items = items(&batch[new..], &profiles[of_new..], delivery.attributes());
            delivery.give(items)?;
        }
        Ok(())
    }

    /// Gives late records.
    pub(super) fn late(&mut self, batch: &[Late], sources: &[Origin]) -> Result<(), SinkError> {
        let write = |late: &Late, at: line::Place<'_>, to: &mut Vec<u8>| line::late(late, at, to);
        let of = |late: &Late| (late.at, late.position.partition);
        self.late.iter_mut().try_for_each(|to| give_lines(&mut **to, batch, sources, of, write))
    }

    /// Gives rejected records.
    pub(super) fn rejected(
        &mut self,
        batch: &[Rejected],
        sources: &[Origin],
    ) -> Result<(), SinkError> {
        let write =
            |it: &Rejected, at: line::Place<'_>, to: &mut Vec<u8>| line::rejected(it, at, to);
        let of = |it: &Rejected| (it.at, it.position.partition);
        self.rejected.iter_mut().try_for_each(|to| give_lines(&mut **to, batch, sources, of, write))
    }

    /// Says that all differences before one time, and all else before another, has been given.
    pub(super) fn advance(
        &mut self,
        differences: Option<EventTime>,
        frontier: EventTime,
    ) -> Result<(), SinkError> {
        if let Some(frontier) = differences {
            self.differences.iter_mut().try_for_each(|it| it.advance(frontier))?;
        }
        self.late.iter_mut().chain(&mut self.rejected).try_for_each(|it| it.advance(frontier))
    }

    /// Waits until all is final.
    pub(super) fn finish(&mut self) -> Result<(), SinkError> {
        let records = self.late.iter_mut().chain(&mut self.rejected);
        self.differences.iter_mut().chain(records).try_for_each(|delivery| delivery.finish())
    }
}

/// Differences, and what these attributes have become, by time.
fn items(batch: &[Difference], profiles: &[Profile], attributes: &[Path]) -> Vec<Item> {
    let differences = batch.iter().cloned().map(Item::Difference);
    let mut items: Vec<_> = differences.collect();
    let before = items.len();
    items.extend(profiles.iter().filter_map(|profile| told(profile, attributes)));
    if before > 0 && items.len() > before {
        items.sort_by_key(Item::time); // two runs that are in order
    }
    items
}

/// What is told of a profile to one who asks for these attributes; nothing, if none has changed.
fn told(profile: &Profile, attributes: &[Path]) -> Option<Item> {
    let asked = |it: &&Asked| attributes.contains(&it.path);
    if !profile.attributes.iter().filter(asked).any(|it| it.has_changed) {
        return None;
    }
    let mut json = String::from("{");
    for Asked { path, value, .. } in profile.attributes.iter().filter(asked) {
        let Some(value) = value else { continue };
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}{}:{value}", Value::text(path.as_str())); // memory takes all
    }
    json.push('}');
    Some(Item::Profile { time: profile.time, user: profile.user.clone(), json })
}

/// Gives records as lines, each at the clock it came at, by the name of where it came from.
fn give_lines<T>(
    to: &mut dyn Delivery,
    batch: &[T],
    sources: &[Origin],
    of: impl Fn(&T) -> (EventTime, u32),
    write: impl Fn(&T, line::Place<'_>, &mut Vec<u8>),
) -> Result<(), SinkError> {
    let delivered = to.delivered().unwrap_or(EventTime::MIN);
    let mut items = Vec::with_capacity(batch.len());
    for record in batch {
        let (time, partition) = of(record);
        if time < delivered {
            continue;
        }
        let (source, partition) = name(sources, partition);
        let mut text = Vec::new();
        write(record, line::Place { source: &source, partition }, &mut text);
        text.pop();
        items.push(Item::Line { time, key: format!("{source}:{partition}"), line: text });
    }
    to.give(items)
}
