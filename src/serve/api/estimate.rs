//! How large a segment would be, before it is saved.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dataflows::model::EventTime;
use dataflows::rule::Rule;
use dataflows::segmentation::{Ask, Counted, Reply, Told};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Asks, Text};
use super::{Asked, aside, time};
use crate::serve::Refusal;
use crate::serve::sample::{self, Size};
use crate::serve::view::View;

/// About how many users are looked at, unless it is said, and at most: records wait meanwhile.
const SAMPLE: u64 = 20_000;
const SAMPLE_MAX: u64 = 100_000;
/// How many conditions are looked at, at most: of a long rule there are fewer users.
const CONDITIONS_MAX: u64 = 4_000_000;

/// How large a sample.
#[derive(Deserialize)]
pub(super) struct Wanted {
    sample: Option<u64>,
}

/// `POST /v1/estimate`: how many users a definition would have, from a sample of them.
pub(super) async fn estimate(
    State(asked): State<Asked>,
    Asks(wanted): Asks<Wanted>,
    Text(text): Text,
) -> Result<Json<Value>, Refusal> {
    let wanted = match wanted.sample.unwrap_or(SAMPLE) {
        sample @ 1..=SAMPLE_MAX => sample,
        _ => {
            let message = format!("a whole number of users up to {SAMPLE_MAX}");
            return Err(Refusal::bad_request(message).with_path("sample"));
        }
    };
    let definitions = Arc::clone(&asked.definitions);
    let rule = aside(move || Ok(definitions.read(&text)?.rule)).await?;
    let questions = asked.view.questions();
    let users = match questions.users() {
        Some(users) => users,
        // The first time nobody knows how many there are, so nobody is looked at.
        None => ask(&asked, Rule::Everyone, 0).await?.0.users,
    };
    let wanted = wanted.min(CONDITIONS_MAX / conditions(&asked.view, &rule)).max(1);
    let (counted, at) = ask(&asked, rule, sample::share(wanted, users)).await?;
    questions.know_users(counted.users);
    Ok(Json(answer(&counted, at)))
}

/// How many conditions a rule has, those of the segments it refers to included.
fn conditions(view: &View, rule: &Rule) -> u64 {
    let mut count = 0;
    rule.walk(&mut |_| count += 1);
    let mut waiting: Vec<Arc<str>> = rule.references().into_iter().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let Some(in_force) = view.in_force(&id).filter(|_| seen.insert(id)) else { continue };
        in_force.definition.rule.walk(&mut |_| count += 1);
        waiting.extend(in_force.definition.rule.references().into_iter().cloned());
    }
    count
}

/// What all workers together have counted, and when.
async fn ask(asked: &Asked, rule: Rule, share: u64) -> Result<(Counted, EventTime), Refusal> {
    let replies = asked.view.questions().ask(Ask::Estimate { rule, share }).await?;
    let (mut all, mut at) = (Counted::NOTHING, EventTime::MIN);
    for Reply { at: as_of, told, .. } in replies {
        at = at.max(as_of);
        if let Told::Counted(counted) = told {
            all.add(&counted);
        }
    }
    Ok((all, at))
}

fn answer(counted: &Counted, at: EventTime) -> Value {
    let Counted { users, sampled, matches, sees_after, complete_from } = *counted;
    let Size { size, low, high, recommended } = sample::size(matches, sampled, users);
    let recommended = recommended.map(|it| it.min(SAMPLE_MAX)).filter(|it| *it > sampled);
    let sees_after = Some(sees_after).filter(|time| *time > EventTime::MIN);
    let complete_from = match complete_from {
        EventTime::MAX => "never".into(),
        EventTime::MIN => Value::Null,
        from => from.into(),
    };
    json!({
        "size": size,
        "low": low,
        "high": high,
        "users": users,
        "sampled": sampled,
        "matches": matches,
        "recommended_sample": recommended,
        "sees_after": time(sees_after),
        "complete_from": complete_from,
        "as_of": at,
    })
}
