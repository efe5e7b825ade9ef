//! What the first worker does with what comes out: count it, cut it off where it is to end, write
//! it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dataflows::model::{Difference, EventTime, Profile};
use dataflows::operators::membership::Tally;
use dataflows::operators::memory::Memory;
use dataflows::operators::together::Outcome;
use dataflows::segmentation::{Late, Rejected};

use super::{Deliveries, Summary, traced, viewed};
use crate::ingest::stream_and_number;
use crate::say::say;
use crate::serve::view::View;
use crate::sink::delivery::MadeFinal;
use crate::sink::{Sink, SinkError, line};
use crate::source::http::NAME;
use crate::trace::{Tracer, now};

/// How differences are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}

/// Up to which time differences are given out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// Until all time has passed and every window is empty.
    #[default]
    End,
    /// Up to the time of the last event that was applied, included.
    Last,
    /// Up to this time, included.
    Time(EventTime),
}

/// The outputs of a run.
#[derive(Default)]
pub struct Outputs {
    /// Where differences go.
    pub differences: Vec<(Sink, Form)>,
    /// If wanted, all differences, kept.
    pub kept: Option<Vec<Difference>>,
    /// Where late records go.
    pub late: Vec<Sink>,
    /// Where rejected records go.
    pub rejected: Vec<Sink>,
    /// Where any of these are delivered to, each once.
    pub deliveries: Deliveries,
    /// Up to when.
    pub until: Until,
    /// Where records come from: the files, then the topics, then the collector.
    pub sources: Vec<Origin>,
}

/// Where records come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file, which is a partition.
    File(PathBuf),
    /// A topic, which has partitions.
    Topic(String),
    /// What a collector takes, which is a partition.
    Collector,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Topic(topic) => f.write_str(topic),
            Origin::Collector => f.write_str(NAME),
        }
    }
}

impl Outputs {
    /// Whether differences go to the terminal people look at.
    pub(super) fn show_on_terminal(&self) -> bool {
        self.differences.iter().any(|(sink, _)| sink.is_terminal())
    }
}

/// Outputs being written.
#[derive(Default)]
pub(super) struct Writing {
    to: Outputs,
    held_back: Vec<Difference>,
    /// What attributes have become, as far as that has not been given out.
    profiles: Vec<Profile>,
    /// The place of the last difference given out: they come in order, each once.
    given: Option<(EventTime, Arc<str>, Arc<str>)>,
    summary: Summary,
    lines: Vec<u8>,
    /// Before which times checkpoints are being taken, in order.
    cuts: VecDeque<EventTime>,
    /// Everything before this was given out by an earlier run.
    given_before: EventTime,
    /// Until a difference comes that no earlier run has given out: since when that is awaited, and
    /// from which time on it would be one.
    awaited: Option<(Instant, EventTime)>,
    /// What is asked who is in what; it is told what earlier runs have given out, too.
    view: Option<Arc<View>>,
    /// What takes note of what a few records have changed.
    tracer: Option<Arc<Tracer>>,
}

impl Writing {
    /// Everything before some time was given out by an earlier run, which this one has begun to go
    /// on from.
    pub(super) fn new(to: Outputs, resumed: Option<(Instant, EventTime)>) -> Self {
        let delivered = to.deliveries.made_final().iter().map(MadeFinal::time).max();
        let awaited =
            resumed.map(|(began, before)| (began, before.max(delivered.unwrap_or(before))));
        let given_before = resumed.map_or(EventTime::MIN, |(_, before)| before);
        Writing { to, given_before, awaited, ..Writing::default() }
    }

    /// The same, telling a view of all differences, those before that time too.
    pub(super) fn viewed(self, view: Option<Arc<View>>) -> Self {
        Writing { view, ..self }
    }

    /// The same, telling a tracer of all that is given out.
    pub(super) fn traced(self, tracer: Option<Arc<Tracer>>) -> Self {
        tracer.iter().for_each(|tracer| tracer.begin(traced::scene(&self.to)));
        Writing { tracer, ..self }
    }

    /// Says how long it took to go on, once there is something new.
    fn tell_new(&mut self, batch: &[Difference]) {
        let is_new = |(_, from): &mut (Instant, EventTime)| {
            batch.last().is_some_and(|last| last.time >= *from)
        };
        if let Some((began, _)) = self.awaited.take_if(is_new) {
            say(format_args!(
                "the first new difference came {:.2} s after the start",
                began.elapsed().as_secs_f64()
            ));
        }
    }

    /// A checkpoint of everything before `time` is being taken: it is to know where the files stand
    /// then. Nothing of that time or later has been given out.
    pub(super) fn cut_at(&mut self, time: EventTime) {
        self.cuts.push_back(time);
        self.files().for_each(|(_, sink)| sink.cut_at(time));
    }

    /// How far each file was written before `before`, by its name; all of it is on the disk.
    pub(super) fn positions(
        &mut self,
        before: EventTime,
    ) -> Result<BTreeMap<String, u64>, SinkError> {
        self.cuts.retain(|cut| *cut > before);
        let mut positions = BTreeMap::new();
        for (name, sink) in self.files() {
            if let Some(position) = sink.position_at(before)? {
                positions.insert(name, position);
            }
        }
        Ok(positions)
    }

    /// What was counted so far, and how many differences were given out.
    pub(super) fn counted(&self) -> (&Tally, u64) {
        (&self.summary.tally, self.summary.differences)
    }

    /// Where records come from.
    pub(super) fn sources(&self) -> &[Origin] {
        &self.to.sources
    }

    fn files(&mut self) -> impl Iterator<Item = (String, &mut Sink)> {
        let differences = self.to.differences.iter_mut().map(|(sink, _)| sink);
        let all = differences.chain(&mut self.to.late).chain(&mut self.to.rejected);
        all.map(|sink| (sink.name().to_owned(), sink))
    }

    /// Takes in differences and what attributes have become, in order.
    pub(super) fn outcomes(&mut self, batch: &[Outcome]) -> Result<(), SinkError> {
        let mut differences = Vec::with_capacity(batch.len());
        for outcome in batch {
            match outcome {
                Outcome::Difference(difference) => differences.push(difference.clone()),
                Outcome::Profile(profile) => self.profiles.push(profile.clone()),
            }
        }
        self.differences(&differences)
    }

    /// Takes in differences, in order.
    pub(super) fn differences(&mut self, batch: &[Difference]) -> Result<(), SinkError> {
        match self.to.until {
            Until::End => self.give(batch, EventTime::MAX),
            Until::Time(last) => {
                let within = batch.partition_point(|difference| difference.time <= last);
                self.give(&batch[..within], last)?;
                self.profiles.clear(); // what is later is nobody's
                Ok(())
            }
            Until::Last => {
                self.held_back.extend_from_slice(batch);
                self.give_held_back()
            }
        }
    }

    /// Gives out what is not later than the last event known so far.
    fn give_held_back(&mut self) -> Result<(), SinkError> {
        let last = self.summary.tally.last.unwrap_or(EventTime::MIN);
        let within = self.held_back.partition_point(|difference| difference.time <= last);
        let due: Vec<_> = self.held_back.drain(..within).collect();
        self.give(&due, last)
    }

    /// Gives out differences, and what attributes have become up to the last of these times.
    fn give(&mut self, batch: &[Difference], last: EventTime) -> Result<(), SinkError> {
        let due = self.profiles.partition_point(|profile| profile.time <= last);
        let profiles: Vec<_> = self.profiles.drain(..due).collect();
        self.view.iter().for_each(|view| view.take(batch));
        let given = batch.partition_point(|difference| difference.time < self.given_before);
        let (members, batch) = batch.split_at(given);
        let given = profiles.partition_point(|profile| profile.time < self.given_before);
        let (of_members, profiles) = profiles.split_at(given);
        self.to.deliveries.members(members, of_members)?;
        self.tell_new(batch);
        let came = self.tracer.as_ref().map(|_| now());
        let place = |it: &Difference| (it.time, it.segment.clone(), it.user.clone());
        if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
            assert!(self.given < Some(place(first)), "differences come in order, each once");
            self.given = Some(place(last));
        }
        let in_order = |pair: &[Difference]| {
            let [left, right] = pair else { return true };
            (left.time, &left.segment, &left.user) < (right.time, &right.segment, &right.user)
        };
        assert!(batch.windows(2).all(in_order), "differences come in order, each once");
        self.summary.differences += batch.len() as u64;
        if let Some(kept) = &mut self.to.kept {
            kept.extend_from_slice(batch);
        }
        for part in parts(&self.cuts, batch, |difference| difference.time) {
            for (sink, form) in &mut self.to.differences {
                self.lines.clear();
                for difference in part {
                    match form {
                        Form::Json => line::json_difference(difference, &mut self.lines),
                        Form::Text => {
                            line::text_difference(difference, sink.colour(), &mut self.lines);
                        }
                    }
                }
                sink.comes_to(part.first().map_or(EventTime::MIN, |first| first.time));
                sink.write(&self.lines)?;
            }
        }
        self.to.deliveries.give(batch, profiles)?;
        if let (Some(tracer), Some(came)) = (&self.tracer, came) {
            tracer.differences(batch, came, |it| traced::given_to(&self.to, it));
        }
        Ok(())
    }

    pub(super) fn late(&mut self, batch: &[Late]) -> Result<(), SinkError> {
        self.view.iter().for_each(|view| viewed::late(view, batch, &self.to.sources));
        for part in parts(&self.cuts, batch, |record| record.at) {
            for sink in &mut self.to.late {
                self.lines.clear();
                for record in part {
                    let (source, partition) = name(&self.to.sources, record.position.partition);
                    let at = line::Place { source: &source, partition };
                    line::late(record, at, &mut self.lines);
                }
                sink.comes_to(part.first().map_or(EventTime::MIN, |first| first.at));
                sink.write(&self.lines)?;
            }
        }
        self.to.deliveries.late(batch, &self.to.sources)
    }

    pub(super) fn rejected(&mut self, batch: &[Rejected]) -> Result<(), SinkError> {
        self.view.iter().for_each(|view| viewed::rejected(view, batch, &self.to.sources));
        for part in parts(&self.cuts, batch, |record| record.at) {
            for sink in &mut self.to.rejected {
                self.lines.clear();
                for record in part {
                    let (source, partition) = name(&self.to.sources, record.position.partition);
                    let at = line::Place { source: &source, partition };
                    line::rejected(record, at, &mut self.lines);
                }
                sink.comes_to(part.first().map_or(EventTime::MIN, |first| first.at));
                sink.write(&self.lines)?;
            }
        }
        self.to.deliveries.rejected(batch, &self.to.sources)
    }

    pub(super) fn tally(&mut self, batch: &[Tally]) -> Result<(), SinkError> {
        batch.iter().for_each(|tally| self.summary.tally.add(tally));
        if self.to.until == Until::Last { self.give_held_back() } else { Ok(()) }
    }

    /// Takes note that all before this time has come out.
    pub(super) fn advance(&mut self, frontier: EventTime) -> Result<(), SinkError> {
        let last = match self.to.until {
            Until::End => Some(EventTime::MAX),
            Until::Time(last) => Some(last),
            Until::Last => self.summary.tally.last, // what is later is held back
        };
        let differences = last.map(|last| frontier.min(last.saturating_add(1)));
        self.to.deliveries.advance(differences, frontier)
    }

    /// Writes what is held back by buffers.
    pub(super) fn flush(&mut self) -> Result<(), SinkError> {
        let sinks = self.to.differences.iter_mut().map(|(sink, _)| sink);
        sinks.chain(&mut self.to.late).chain(&mut self.to.rejected).try_for_each(Sink::finish)
    }

    /// Adds what the users of a worker needed.
    pub(super) fn memory(&mut self, memory: &Memory) {
        self.summary.memory.add(memory);
    }

    /// Writes what is held back by buffers, and waits for what is being delivered; gives back the
    /// outputs and what they came to.
    pub(super) fn finish(mut self) -> Result<(Summary, Outputs), SinkError> {
        self.flush()?;
        self.to.deliveries.finish()?;
        Ok((self.summary, self.to))
    }
}

/// A batch in parts, none of which goes on past a cut.
fn parts<'a, T>(
    cuts: &'a VecDeque<EventTime>,
    batch: &'a [T],
    time: impl Fn(&T) -> EventTime + 'a,
) -> impl Iterator<Item = &'a [T]> {
    batch.chunk_by(move |left, right| {
        cuts.is_empty() || !cuts.iter().any(|cut| time(left) < *cut && *cut <= time(right))
    })
}

/// The name of where a partition is, and its number there.
pub(super) fn name(sources: &[Origin], index: u32) -> (String, u32) {
    let (stream, number) = stream_and_number(index);
    match usize::try_from(stream).ok().and_then(|stream| sources.get(stream)) {
        Some(Origin::File(path)) => (path.display().to_string(), index),
        Some(Origin::Topic(topic)) => (topic.clone(), number),
        Some(Origin::Collector) => (NAME.to_owned(), number),
        None => (String::new(), index),
    }
}
