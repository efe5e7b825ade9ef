//! Who is in several segments at once, counted exactly as of one time.
//!
//! Users come page by page from every segment, in order, and are merged; what has changed meanwhile
//! is undone. So nobody waits for more than a page, and the answer is of one time all the same.
//! Cost: follows the members of all the segments together.

use std::sync::Arc;

use dataflows::model::EventTime;

use super::View;
use super::past::{NoPast, PAGE};
use super::segments::{Page, Segment};

/// How many segments may be laid over one another.
pub const SEGMENTS_MAX: usize = 8;

/// Some of the segments, by the bits of their places, and who is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intersection {
    /// A bit for each of the segments, the lowest for the first.
    pub of: usize,
    /// How many are in all of them.
    pub size: u64,
    /// How many are in all of them, and in none of the others.
    pub only: u64,
}

/// The users of a segment as of a time, one after the other.
struct Users<'a> {
    view: &'a View,
    segment: &'a Segment,
    at: EventTime,
    /// The next ones, the last of them first.
    page: Vec<Arc<str>>,
    after: Option<Arc<str>>,
    is_over: bool,
}

impl View {
    /// All intersections of at most [`SEGMENTS_MAX`] segments as of a time: those of fewer of them
    /// first, and of these by their bits.
    ///
    /// # Errors
    /// The time is beyond what is known, by now or when it has been counted.
    pub fn overlap(
        &self,
        segments: &[Arc<Segment>],
        at: EventTime,
    ) -> Result<Vec<Intersection>, NoPast> {
        let segments = segments.get(..SEGMENTS_MAX).unwrap_or(segments);
        let users = |segment| Users::new(self, segment, at);
        let mut all: Vec<Users<'_>> = segments.iter().map(|it| users(it)).collect();
        let mut only = vec![0_u64; 1 << segments.len()];
        loop {
            for users in &mut all {
                users.fill()?;
            }
            let Some(next) = all.iter().filter_map(Users::peek).min().cloned() else { break };
            let mut of = 0;
            for (place, users) in all.iter_mut().enumerate() {
                if users.peek() == Some(&next) {
                    of |= 1 << place;
                    users.page.pop();
                }
            }
            only[of] += 1;
        }
        let size = |of: usize| (0..only.len()).filter(|it| it & of == of).map(|it| only[it]).sum();
        let one = |of: usize| Intersection { of, size: size(of), only: only[of] };
        let mut found: Vec<_> = (1..only.len()).map(one).collect();
        found.sort_by_key(|it| (it.of.count_ones(), it.of));
        Ok(found)
    }
}

impl<'a> Users<'a> {
    fn new(view: &'a View, segment: &'a Segment, at: EventTime) -> Self {
        Users { view, segment, at, page: Vec::new(), after: None, is_over: false }
    }

    fn peek(&self) -> Option<&Arc<str>> {
        self.page.last()
    }

    /// Sees to it that there is a next one, if there is any.
    fn fill(&mut self) -> Result<(), NoPast> {
        if self.page.is_empty() && !self.is_over {
            let page = Page::new(self.after.as_deref(), PAGE);
            let (users, _) = self.view.users_at(self.segment, page, self.at)?;
            self.is_over = users.len() < PAGE;
            self.after = users.last().cloned();
            self.page = users;
            self.page.reverse();
        }
        Ok(())
    }
}
