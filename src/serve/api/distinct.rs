//! How many different users did something, or were in a segment, as sketches have counted them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dataflows::model::{Duration, EventTime, UserKey};
use dataflows::sketch::set::CONFIDENCE;
use dataflows::sketch::{Count, Distinct, Set};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::Asks;
use super::sketches::{not_counted, sketches, tell, window};
use super::{Asked, aside, unknown_segment};
use crate::serve::Refusal;
use crate::serve::view::past::NoPast;
use crate::serve::view::sketches::{Counted, Held, Sketches};
use crate::serve::view::{Segment, View};

/// Whose users, and when.
#[derive(Deserialize)]
pub(super) struct Whose {
    event: Option<String>,
    segment: Option<String>,
    and: Option<String>,
    or: Option<String>,
    not: Option<String>,
    window: Option<String>,
}

/// How two sets of users are put together.
#[derive(Clone, Copy)]
enum Operation {
    And,
    Or,
    Not,
}

/// A set of users, as it is asked for.
enum Operand {
    Event(usize, String),
    Segment(usize, Arc<Segment>),
}

/// `GET /v1/distinct`: how many different users did something within a window, or were in a
/// segment; or both, or either, or one and not the other.
pub(super) async fn distinct(
    State(asked): State<Asked>,
    Asks(whose): Asks<Whose>,
) -> Result<Json<Value>, Refusal> {
    let sketches = sketches(&asked.view)?;
    let window = window(sketches, whose.window.as_deref())?;
    let first = match (&whose.event, &whose.segment) {
        (Some(event), None) => event_operand(sketches, event, "event")?,
        (None, Some(segment)) => segment_operand(&asked.view, segment, "segment")?,
        _ => return Err(Refusal::bad_request("one of event, segment must be asked for")),
    };
    let second = second(&asked.view, sketches, &whose)?;
    aside(move || answer(&asked.view, window, &first, second.as_ref())).await
}

fn answer(
    view: &View,
    window: Duration,
    first: &Operand,
    second: Option<&(Operation, Operand)>,
) -> Result<Json<Value>, Refusal> {
    let operands: Vec<_> = [first].into_iter().chain(second.map(|(_, operand)| operand)).collect();
    let counted: Vec<_> = operands.iter().map(|it| it.counted()).collect();
    let held = view.sketches().and_then(|sketches| sketches.held(&counted, window));
    let (held, mut stretch) = held.ok_or(NoPast::NotYet(None))?;
    let (count, method) = match (held.as_slice(), second) {
        ([Held::Event(panes)], _) => (Distinct::count(panes.iter().map(|it| &**it)), "hyperloglog"),
        ([held], _) => (set(view, first, held, stretch.to)?.count(), "theta"),
        ([left, right], Some((operation, operand))) => {
            let left = set(view, first, left, stretch.to)?;
            let right = set(view, operand, right, stretch.to)?;
            let together = match operation {
                Operation::And => left.and(&right),
                Operation::Or => Set::union([&left, &right]),
                Operation::Not => left.not(&right),
            };
            (together.count(), "theta")
        }
        _ => return Err(NoPast::NotYet(None).into()),
    };
    for operand in &operands {
        stretch.complete_from = stretch.complete_from.max(operand.complete_from(stretch.from));
    }
    let mut answer = counted_as(&count, method);
    answer["of"] = first.named();
    answer["operation"] = json!(second.map(|(operation, _)| operation.word()));
    answer["with"] = json!(second.map(|(_, operand)| operand.named()));
    tell(&mut answer, stretch);
    Ok(Json(answer))
}

/// The users of an operand: of a segment, those who have left it within, and those in it at the end.
fn set(view: &View, of: &Operand, held: &Held, at: EventTime) -> Result<Set, Refusal> {
    let set = held.set();
    let Operand::Segment(_, segment) = of else { return Ok(set) };
    let mut members = Set::default();
    for user in view.all_users_at(segment, at)? {
        members.insert(UserKey::of(&user));
    }
    Ok(Set::union([&set, &members]))
}

/// A count as it is answered: whole numbers that hold the bounds.
fn counted_as(count: &Count, method: &str) -> Value {
    let Count { estimate, low, high, is_exact } = *count;
    let whole = |number: f64| number as u64;
    let off = (high - estimate).max(estimate - low);
    json!({
        "estimate": whole(estimate.round()),
        "low": whole(low.floor()),
        "high": whole(high.ceil()),
        "confidence": if is_exact { 1.0 } else { CONFIDENCE },
        "error": (estimate > 0.0).then(|| off / estimate),
        "method": if is_exact { "exact" } else { method },
    })
}

/// What is asked for besides, and how it is put together.
fn second(
    view: &View,
    sketches: &Sketches,
    whose: &Whose,
) -> Result<Option<(Operation, Operand)>, Refusal> {
    let and = whose.and.as_deref().map(|it| (Operation::And, it));
    let or = whose.or.as_deref().map(|it| (Operation::Or, it));
    let not = whose.not.as_deref().map(|it| (Operation::Not, it));
    let mut asked = [and, or, not].into_iter().flatten();
    let Some((operation, text)) = asked.next() else { return Ok(None) };
    if asked.next().is_some() {
        return Err(Refusal::bad_request("one of and, or, not at a time"));
    }
    let key = operation.word();
    let operand = match text.split_once(':') {
        Some(("event", name)) => event_operand(sketches, name, key)?,
        Some(("segment", id)) => segment_operand(view, id, key)?,
        _ => {
            let message = format!("{text:?} is neither event:NAME nor segment:ID");
            return Err(Refusal::bad_request(message).with_path(key));
        }
    };
    Ok(Some((operation, operand)))
}

fn event_operand(sketches: &Sketches, name: &str, key: &str) -> Result<Operand, Refusal> {
    let events = &sketches.settings().events;
    let place = events.iter().position(|it| **it == *name);
    let place = place.ok_or_else(|| not_counted(&format!("event {name:?}"), "events", key))?;
    Ok(Operand::Event(place, name.to_owned()))
}

fn segment_operand(view: &View, id: &str, key: &str) -> Result<Operand, Refusal> {
    let segment = view.segment(id).ok_or_else(|| unknown_segment(id))?;
    let segments = &sketches(view)?.settings().segments;
    let place = segments.iter().position(|it| **it == *id);
    let place = place.ok_or_else(|| not_counted(&format!("segment {id:?}"), "segments", key))?;
    Ok(Operand::Segment(place, segment))
}

impl Operand {
    fn counted(&self) -> Counted {
        match self {
            Operand::Event(place, _) => Counted::Event(*place),
            Operand::Segment(place, _) => Counted::Segment(*place),
        }
    }

    fn named(&self) -> Value {
        match self {
            Operand::Event(_, name) => json!({ "event": name }),
            Operand::Segment(_, segment) => json!({ "segment": &*segment.id }),
        }
    }

    /// From when on a segment is exact, where that is after this time.
    fn complete_from(&self, from: EventTime) -> Option<EventTime> {
        let Operand::Segment(_, segment) = self else { return None };
        segment.in_force()?.complete_from.filter(|complete| *complete > from)
    }
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::And => "and",
            Operation::Or => "or",
            Operation::Not => "not",
        }
    }
}
