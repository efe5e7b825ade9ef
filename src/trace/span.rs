//! Spans as OpenTelemetry has them, and by what they are known.
//!
//! The identifiers of a trace are hashes of its record's place, so that processes that never speak
//! of it agree, and a run that goes on from a checkpoint tells the same trace again, not another. A
//! record that came as a part of a trace goes on with that, below the span that sent it.

use dataflows::model::time::format_time;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::{Came, Fate, Moment, Place, Settled};

/// A trace that is sampled, by W3C.
const SAMPLED: u32 = 1;
/// That it is known whether the parent is in another process, and that it is.
const REMOTE: u32 = 0x300;

/// By what the spans of a record are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    trace: u128,
    /// What its spans have in common, and those of no other record.
    own: u64,
    /// The span that sent it.
    parent: Option<u64>,
}

impl Ids {
    /// Those of a record of a job.
    pub(super) fn of(job: u64, place: &Place) -> Self {
        let mut bytes = Vec::with_capacity(36);
        bytes.extend_from_slice(&place.position.partition.to_be_bytes());
        bytes.extend_from_slice(&place.position.offset.to_be_bytes());
        bytes.extend_from_slice(&place.user.to_bytes());
        bytes.extend_from_slice(&place.at.to_be_bytes());
        let hash = xxh3_128_with_seed(&bytes, job);
        let (trace, parent) = (place.parent.map(|it| it.trace), place.parent.map(|it| it.span));
        Ids { trace: trace.unwrap_or(hash), own: hash as u64, parent }
    }

    fn span(self, name: &str, of: &str) -> Vec<u8> {
        let seed = xxh3_64_with_seed(name.as_bytes(), self.own);
        let hash = xxh3_64_with_seed(of.as_bytes(), seed);
        hash.to_be_bytes().to_vec()
    }

    fn record(self) -> Vec<u8> {
        self.span("record", "")
    }

    fn difference(self, segment: &str) -> Vec<u8> {
        self.span("difference", segment)
    }

    /// A span from one moment to another.
    fn begin(self, name: &str, id: Vec<u8>, parent: Vec<u8>, (from, to): (Moment, Moment)) -> Span {
        Span {
            trace_id: self.trace.to_be_bytes().to_vec(),
            span_id: id,
            parent_span_id: parent,
            flags: SAMPLED,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: from,
            end_time_unix_nano: to.max(from),
            ..Span::default()
        }
    }

    /// A record and what was done with it, until this moment.
    pub(super) fn settled(
        self,
        settled: &Settled,
        (source, partition): (String, u32),
        done: Moment,
    ) -> [Span; 4] {
        let Settled { place, read, turn, fate } = settled;
        let sender = self.parent.map(|span| span.to_be_bytes().to_vec()).unwrap_or_default();
        let mut record = self.begin("record", self.record(), sender, (read.asked, done));
        record.flags |= if self.parent.is_some() { REMOTE } else { 0 };
        record.kind = SpanKind::Consumer.into();
        record.attributes = vec![
            text("rivulet.source", source),
            number("rivulet.partition", partition.into()),
            number("rivulet.offset", whole(place.position.offset)),
        ];
        let part = |name: &str, times| self.begin(name, self.span(name, ""), self.record(), times);
        let taken = part("read", (read.asked, read.taken));
        let mut decoded = part("decode", (read.taken, read.decoded));
        let mut applied = part("apply", (*turn, done));
        let user =
            || text("user.hash", format!("{:032x}", u128::from_be_bytes(place.user.to_bytes())));
        match fate {
            Fate::Applied(time) => {
                decoded.attributes = vec![user()];
                applied.attributes = vec![
                    text("rivulet.fate", "applied".to_owned()),
                    text("rivulet.event_time", format_time(*time)),
                    text("rivulet.effective_time", format_time(place.at)),
                ];
            }
            Fate::Late(time) => {
                decoded.attributes = vec![user()];
                applied.attributes = vec![
                    text("rivulet.fate", "late".to_owned()),
                    text("rivulet.event_time", format_time(*time)),
                    text("rivulet.clock", format_time(place.at)),
                ];
            }
            Fate::Rejected(reason) => {
                applied.attributes = vec![text("rivulet.fate", "rejected".to_owned())];
                let message = reason.clone();
                applied.status = Some(Status { message, code: StatusCode::Error.into() });
            }
        }
        [record, taken, decoded, applied]
    }

    /// A difference, which all outputs have at this moment.
    pub(super) fn came(self, came: &Came, done: Moment) -> Span {
        let difference = &came.difference;
        let id = self.difference(&difference.segment);
        let apply = self.span("apply", "");
        let mut span = self.begin("difference", id, apply, (came.came, done));
        span.attributes = vec![
            text("rivulet.segment", difference.segment.to_string()),
            number("rivulet.diff", difference.sign.diff().into()),
            text("rivulet.event_time", format_time(difference.time)),
        ];
        span
    }

    /// An output has a difference for good.
    pub(super) fn delivered(self, came: &Came, output: &str, done: Moment) -> Span {
        let segment = &came.difference.segment;
        let id = self.span("deliver", &format!("{segment}\n{output}"));
        let mut span = self.begin("deliver", id, self.difference(segment), (came.came, done));
        span.kind = SpanKind::Producer.into();
        span.attributes = vec![text("rivulet.sink", output.to_owned())];
        span
    }
}

pub(super) fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
