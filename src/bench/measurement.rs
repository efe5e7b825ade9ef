//! What can be measured: each by a name, such as `w2/selective/1000`, in a process of its own.

use super::peers::Peer;
use super::servers::Server;

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measurement {
    /// The whole program over the clickstream: `w1/2` (two workers), `w1s/1`.
    Clicks { slow: bool, workers: u16 },
    /// The whole path over attribute changes: `w2/dense/1000`.
    Changes { selective: bool, segments: u32 },
    /// The same over segments that do not make a change dearer: `intervals/100`.
    Intervals { segments: u32 },
    /// Segments saved while changes stream in: `save`.
    Save,
    /// A million users of a segment, written as Parquet: `export`.
    Export,
    /// With references between segments and without.
    References,
    /// The dataflow over parsed records, so many in windows: `alone/10000`.
    Alone { held: u32 },
    /// From scheduled arrival to sink: `latency/lone`.
    Latency(Load),
    /// The peak of the whole program with so many users: `memory/w1/25000`.
    Memory { attributes: bool, users: u32 },
    /// From topic to topic, with a checkpoint a second: `kafka/kept`, or none: `kafka/none`.
    Topics { is_kept: bool },
    /// The same at a steady rate, timed from when records were due: `kafka-paced/kept`, `kafka-paced/none`.
    Paced { is_kept: bool },
    /// From a checkpoint to the first new difference: `recovery`.
    Recovery,
    /// What state takes on disk: `state`.
    State,
    /// Clients that send and ask while the job is busy: `serve`.
    Service,
    /// Into a server: `redis`, `postgres`.
    Server(Server),
    /// Another program: `peer/flink-warm/w1`.
    Peer(Peer),
}

/// What arrives while latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Clicks,
    InOrder,
    Fraud,
    Lone,
}

impl Measurement {
    /// The measurement of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        Some(match parts[..] {
            [stream @ ("w1" | "w1s"), workers] => {
                Measurement::Clicks { slow: stream == "w1s", workers: workers.parse().ok()? }
            }
            ["w2", kind @ ("selective" | "dense"), segments] => Measurement::Changes {
                selective: kind == "selective",
                segments: segments.parse().ok()?,
            },
            ["intervals", segments] => Measurement::Intervals { segments: segments.parse().ok()? },
            ["save"] => Measurement::Save,
            ["export"] => Measurement::Export,
            ["references"] => Measurement::References,
            ["alone", held] => Measurement::Alone { held: held.parse().ok()? },
            ["latency", "clicks"] => Measurement::Latency(Load::Clicks),
            ["latency", "in-order"] => Measurement::Latency(Load::InOrder),
            ["latency", "fraud"] => Measurement::Latency(Load::Fraud),
            ["latency", "lone"] => Measurement::Latency(Load::Lone),
            ["memory", stream @ ("w1" | "w2"), users] => {
                Measurement::Memory { attributes: stream == "w2", users: users.parse().ok()? }
            }
            ["kafka", kind @ ("kept" | "none")] => Measurement::Topics { is_kept: kind == "kept" },
            ["kafka-paced", kind @ ("kept" | "none")] => {
                Measurement::Paced { is_kept: kind == "kept" }
            }
            ["recovery"] => Measurement::Recovery,
            ["state"] => Measurement::State,
            ["serve"] => Measurement::Service,
            ["redis"] => Measurement::Server(Server::Redis),
            ["postgres"] => Measurement::Server(Server::Postgres),
            ["peer", ref rest @ ..] => Measurement::Peer(Peer::named(rest)?),
            _ => return None,
        })
    }

    /// How often it is run when `wanted` is asked: what takes minutes is run less often.
    pub(super) fn runs(self, wanted: u32) -> u32 {
        let most = match self {
            Measurement::Changes { selective: false, segments: 10_000.. } => 2,
            Measurement::Alone { held: 10_000_000.. } => 1,
            Measurement::Alone { held: 1_000_000.. } => 3,
            Measurement::Intervals { segments: 100_000.. } => 2,
            Measurement::Memory { .. } | Measurement::State => 1,
            Measurement::Save | Measurement::Service => 3,
            Measurement::Peer(peer) => peer.runs_max(),
            _ => wanted,
        };
        most.min(wanted)
    }
}

/// How big everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Whether only to show that every row runs.
    pub(super) quick: bool,
}

impl Size {
    /// The number itself, or a small share of it.
    pub(super) fn of(self, number: u32) -> u32 {
        if self.quick { (number / 1_000).max(20) } else { number }
    }

    pub(super) fn clicks(self) -> u32 {
        self.of(2_000_000)
    }

    pub(super) fn users(self) -> u32 {
        self.of(100_000)
    }

    pub(super) fn changes(self) -> u32 {
        self.of(200_000)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn every_row_is_made_of_measurements_there_are() {
        for row in ROWS {
            for (name, _) in row.value.needs() {
                assert!(Measurement::named(name).is_some(), "{}: {name}", row.id);
            }
        }
    }

    #[test]
    fn names_of_rows_differ() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
