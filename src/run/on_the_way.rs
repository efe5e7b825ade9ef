//! How far reading may run ahead of the dataflow.

use std::collections::VecDeque;

use dataflows::model::EventTime;
use timely::dataflow::ProbeHandle;

/// How many records may be on their way through the dataflow, a worker, before reading pauses.
const AHEAD_RECORDS: usize = 500_000;

/// Records that have been handed over and not been passed by the frontier.
#[derive(Default)]
pub(super) struct OnTheWay {
    batches: VecDeque<(EventTime, usize)>,
    records: usize,
}

impl OnTheWay {
    pub(super) fn sent(&mut self, sent: Option<(EventTime, usize)>) {
        if let Some((latest, records)) = sent {
            self.batches.push_back((latest, records));
            self.records += records;
        }
    }

    pub(super) fn passed(&mut self, probe: &ProbeHandle<EventTime>) {
        while let Some((latest, records)) = self.batches.front()
            && !probe.less_equal(latest)
        {
            self.records -= records;
            self.batches.pop_front();
        }
    }

    /// Whether to wait for the dataflow, which has not come as far as it may (`time`). Where it
    /// has, more input is what it waits for.
    pub(super) fn is_full(&self, probe: &ProbeHandle<EventTime>, time: EventTime) -> bool {
        self.is_much() && probe.less_than(&time)
    }

    /// Whether to read only what holds the watermark back.
    pub(super) fn is_much(&self) -> bool {
        self.records > AHEAD_RECORDS
    }
}
