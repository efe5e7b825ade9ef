//! One user as a question sees them, at an instant and, if nothing more comes, at later ones.

use super::form::{Form, Part, Place};
use crate::explained::{Explanation, Node, of_rule};
use crate::model::record::sample_place;
use crate::model::time::leave_time;
use crate::model::{Amount, EventTime, Value};
use crate::operators::membership::{Context, Membership};
use crate::operators::sequence::{Bounds, Progress};
use crate::operators::users::{State, StateKind, User};
use crate::operators::window::{Aggregate, Aggregated, Quantity, Window, blank};
use crate::rule::{AttributeCondition, Rule, Truth};

/// How often an explanation looks at a condition to find when it changes: records wait meanwhile.
const LOOKS_MAX: usize = 200_000;
/// How many conditions an explanation has; beyond them, what a reference refers to is not told.
const NODES_MAX: usize = 10_000;

/// One user.
pub(super) struct Person<'a> {
    form: &'a Form<'a>,
    user: &'a User,
    context: Context<'a>,
    state: &'a Membership,
    /// When the question is asked; `context.at` moves on from there.
    asked: EventTime,
    /// By part, whether it holds, once that is known.
    known: Vec<Option<bool>>,
    /// By part, its window, once it has been looked at.
    windows: Vec<Option<Window>>,
}

/// What a condition comes to.
struct Finding {
    truth: bool,
    value: Option<Value>,
    mismatch: bool,
}

impl<'a> Person<'a> {
    pub(super) fn new(
        form: &'a Form<'a>,
        user: &'a User,
        state: &'a Membership,
        at: EventTime,
    ) -> Self {
        let (settings, settled, plan) = (state.settings, state.settled, &state.plan);
        Person {
            form,
            user,
            context: Context { settings, settled, plan, at },
            state,
            asked: at,
            known: vec![None; form.parts.len()],
            windows: Vec::new(),
        }
    }

    fn root(&self) -> usize {
        self.form.parts.len() - 1
    }

    /// Whether the rule holds.
    pub(super) fn is_in(&mut self) -> bool {
        self.holds(self.root())
    }

    fn holds(&mut self, part: usize) -> bool {
        if let Some(known) = self.known[part] {
            return known;
        }
        let form = self.form;
        let Part { rule, children, .. } = &form.parts[part];
        let holds = match rule {
            Rule::All(_) => children.iter().all(|child| self.holds(*child)),
            Rule::Any(_) => children.iter().any(|child| self.holds(*child)),
            Rule::Not(_) => !children.iter().any(|child| self.holds(*child)),
            Rule::Segment(_) => children.iter().any(|child| self.holds(*child)),
            Rule::Everyone => true,
            Rule::Members(names) => {
                names.binary_search_by(|name| (**name).cmp(self.user.name.text())).is_ok()
            }
            Rule::Sample(sample) => {
                let place = sample_place(&sample.key, self.user.name.text());
                (sample.from..sample.from + sample.size).contains(&place)
            }
            Rule::Attribute(_) | Rule::Aggregate(_) | Rule::Sequence(_) => self.finding(part).truth,
        };
        self.known[part] = Some(holds);
        holds
    }

    fn finding(&mut self, part: usize) -> Finding {
        let form = self.form;
        let Part { rule, place, .. } = &form.parts[part];
        let nothing = |truth| Finding { truth, value: None, mismatch: false };
        match (rule, place) {
            (Rule::Attribute(condition), Place::Attribute { path, .. }) => {
                let value = self.user.attributes.at(path, &self.state.store.pool);
                let truth = condition.test.holds_at(value.as_ref(), self.context.at);
                let long_enough =
                    self.held_from(part, condition).is_none_or(|it| it <= self.context.at);
                Finding {
                    truth: truth.holds() && long_enough,
                    value,
                    mismatch: truth == Truth::Mismatch,
                }
            }
            (Rule::Aggregate(condition), Place::Aggregate { test, .. }) => {
                match self.aggregated(part) {
                    Aggregated::Quantity(quantity) => Finding {
                        truth: test.holds(Some(quantity)),
                        value: Some(shown(quantity)),
                        mismatch: false,
                    },
                    Aggregated::Value(value) => Finding {
                        truth: condition.test.holds(Some(&value)).holds(),
                        value: Some(value),
                        mismatch: false,
                    },
                    Aggregated::Missing => nothing(condition.test.holds(None).holds()),
                }
            }
            (_, Place::Sequence { bounds, .. }) => {
                nothing(self.progress(part).is_some_and(|it| it.holds(bounds, self.context.at)))
            }
            _ => nothing(self.holds(part)),
        }
    }

    /// From when on an attribute has been what it is for long enough, where that is asked.
    fn held_from(&self, part: usize, condition: &AttributeCondition) -> Option<EventTime> {
        let Place::Attribute { path, held } = &self.form.parts[part].place else { return None };
        let since = match held {
            Some(fact) => self.context.held_since(self.user, *fact),
            // Nobody has asked so far: it would be known from now on.
            None if path.numbers().any(|it| self.user.attributes.cell(it).is_some()) => {
                Some(self.asked)
            }
            None => self.user.since(),
        };
        Some(since? + condition.held?.ms())
    }

    fn aggregated(&mut self, part: usize) -> Aggregated {
        let form = self.form;
        let Place::Aggregate { aggregate, fact, .. } = &form.parts[part].place else {
            return Aggregated::Missing;
        };
        let Some(aggregate) = aggregate else {
            let Rule::Aggregate(condition) = form.parts[part].rule else {
                return Aggregated::Missing;
            };
            return blank(&condition.measure);
        };
        if let (None, Some(fact)) = (aggregate.window, fact) {
            return match self.user.state(*fact) {
                Some(State { kind: StateKind::Total(total), .. }) => total.value(aggregate),
                _ => blank(&aggregate.measure),
            };
        }
        let Some(log) = self.user.log(aggregate.stream) else { return blank(&aggregate.measure) };
        let (granularity, now) = (self.context.settings.granularity, self.context.at);
        self.bring_up(part, aggregate);
        let Some(window) = self.windows[part].as_mut() else { return Aggregated::Missing };
        window.expire(aggregate, granularity, log, now);
        window.value(aggregate, log)
    }

    /// Makes the window of a part, if there is none yet: of all that has not left when it is asked.
    fn bring_up(&mut self, part: usize, aggregate: &Aggregate) {
        if self.windows.is_empty() {
            self.windows.resize_with(self.form.parts.len(), || None);
        }
        let Place::Aggregate { after, .. } = &self.form.parts[part].place else { return };
        if self.windows[part].is_none()
            && let Some(log) = self.user.log(aggregate.stream)
        {
            let granularity = self.context.settings.granularity;
            let bounds = (*after, self.asked);
            self.windows[part] = Some(Window::over(aggregate, granularity, log, bounds));
        }
    }

    fn progress(&self, part: usize) -> Option<Progress> {
        let Place::Sequence { bounds, streams, fact, .. } = &self.form.parts[part].place else {
            return None;
        };
        let Some(fact) = fact else { return Some(self.progress_of_logs(bounds, streams)) };
        match self.user.state(*fact)? {
            State { kind: StateKind::Sequence(progress), .. } => Some((**progress).clone()),
            _ => None,
        }
    }

    /// How far a sequence that nobody asks has come by the events that are held for windows.
    fn progress_of_logs(
        &self,
        bounds: &Bounds,
        streams: &[Option<crate::model::StreamId>],
    ) -> Progress {
        let mut hits = Vec::new();
        for (step, stream) in streams.iter().enumerate() {
            let Some(log) = stream.and_then(|stream| self.user.log(stream)) else { continue };
            hits.extend((0..log.len()).filter_map(|place| Some((log.time(place)?, step))));
        }
        hits.sort_unstable();
        Progress::of(bounds, hits)
    }

    /// The whole of it, with when each condition changes by itself.
    pub(super) fn explanation(mut self) -> Explanation {
        let parts = 0..self.form.parts.len();
        let truths: Vec<bool> = parts.clone().map(|part| self.holds(part)).collect();
        let findings: Vec<_> = parts.map(|part| self.finding(part)).collect();
        let next = self.changes(&truths);
        let mut teller =
            Teller { form: self.form, findings: &findings, next: &next, left: NODES_MAX };
        let tree = teller.node(self.root());
        Explanation {
            member: tree.truth,
            exists: true,
            at: self.asked,
            next_change: tree.next,
            tree,
        }
    }

    /// By part, the first instant to come at which it is not what it is.
    fn changes(&mut self, truths: &[bool]) -> Vec<Option<EventTime>> {
        let mut next = vec![None; truths.len()];
        for instant in self.instants() {
            self.context.at = instant;
            self.known.fill(None);
            for (part, truth) in truths.iter().enumerate() {
                if next[part].is_none() && self.holds(part) != *truth {
                    next[part] = Some(instant);
                }
            }
            if next.iter().all(Option::is_some) {
                break;
            }
        }
        next
    }

    /// Every instant to come at which any condition may change by itself, in order.
    fn instants(&self) -> Vec<EventTime> {
        let mut instants = Vec::new();
        let granularity = self.context.settings.granularity;
        for (part, Part { rule, place, .. }) in self.form.parts.iter().enumerate() {
            match (rule, place) {
                (Rule::Attribute(condition), Place::Attribute { path, .. }) => {
                    let value = self.user.attributes.at(path, &self.state.store.pool);
                    let span = value.as_ref().and_then(|value| condition.test.span(value));
                    instants.extend(span.into_iter().flat_map(|(from, until)| [from, until]));
                    instants.extend(self.held_from(part, condition));
                }
                (_, Place::Aggregate { aggregate: Some(aggregate), .. }) => {
                    let log = self.user.log(aggregate.stream);
                    let times = log.into_iter().flat_map(|it| (0..it.len()).map(|at| it.time(at)));
                    let window = aggregate.window;
                    let leaves = times.flatten().zip(std::iter::repeat(window));
                    instants.extend(
                        leaves.filter_map(|(time, window)| {
                            Some(leave_time(time, window?, granularity))
                        }),
                    );
                }
                (_, Place::Sequence { bounds, .. }) => {
                    let progress = self.progress(part);
                    instants.extend(progress.and_then(|it| it.next_change(bounds, self.asked)));
                }
                _ => {}
            }
        }
        instants.retain(|instant| *instant > self.asked);
        instants.sort_unstable();
        instants.dedup();
        instants.truncate(LOOKS_MAX / self.form.parts.len().max(1));
        instants
    }
}

/// What the tree is told from.
struct Teller<'a> {
    form: &'a Form<'a>,
    findings: &'a [Finding],
    next: &'a [Option<EventTime>],
    /// How many more conditions may be told.
    left: usize,
}

impl Teller<'_> {
    fn node(&mut self, part: usize) -> Node {
        self.left = self.left.saturating_sub(1);
        let Part { rule, children, .. } = &self.form.parts[part];
        let is_cut_off = self.left == 0 && matches!(rule, Rule::Segment(_));
        let told = if is_cut_off { &[][..] } else { children };
        let children = told.iter().map(|child| self.node(*child)).collect();
        let Finding { truth, value, mismatch } = &self.findings[part];
        Node {
            what: of_rule(rule),
            value: value.clone(),
            truth: *truth,
            mismatch: *mismatch,
            next: self.next[part],
            children,
        }
    }
}

/// A mean is cut off at six places; only ever shown.
fn shown(quantity: Quantity) -> Value {
    let micros = quantity.sum / i128::from(quantity.count.max(1));
    Value::Number(Amount::from_micros(micros).to_decimal())
}
