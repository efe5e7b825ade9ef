//! Membership at a past time: what is now, less what has changed since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dataflows::model::{EventTime, Sign};

use super::ring::{Entry, Gone, Place};
use super::segments::{Page, Segment};
use super::{View, known};

/// How many users a page has, where all of them are read.
pub(super) const PAGE: usize = 10_000;

/// Why there is no answer as of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPast {
    /// It has not come yet: all is known up to this time.
    NotYet(Option<EventTime>),
    /// What has changed since is retained no longer; it is from this time on.
    Gone(EventTime),
}

impl From<Gone> for NoPast {
    fn from(Gone(place): Gone) -> Self {
        NoPast::Gone(place.time)
    }
}

impl View {
    /// The segments a user was in at a time, by id. Cost follows the differences since.
    ///
    /// # Errors
    /// The time is beyond what is known.
    pub fn segments_at(&self, user: &str, at: EventTime) -> Result<Vec<Arc<str>>, NoPast> {
        let as_of = self.as_of.load(Ordering::Acquire);
        let (mut numbers, up_to) = self.users.get(user);
        let up_to = as_of.max(up_to);
        self.since(
            at,
            up_to,
            |entry| *entry.user == *user,
            |entry| match entry.sign {
                Sign::Entered => numbers.retain(|it| *it != entry.segment),
                Sign::Left => numbers.push(entry.segment),
            },
        )?;
        Ok(self.segments.names(&numbers))
    }

    /// The users of a segment at a time, a page of them, and how many they were.
    ///
    /// # Errors
    /// The time is beyond what is known.
    pub fn users_at(
        &self,
        segment: &Segment,
        page: Page,
        at: EventTime,
    ) -> Result<(Vec<Arc<str>>, usize), NoPast> {
        loop {
            let as_of = self.as_of.load(Ordering::Acquire);
            let (before, size) = segment.standing();
            let mut otherwise = BTreeMap::new();
            let mut changed = 0_isize;
            let own = |entry: &Entry| entry.segment == segment.number();
            self.since(at, as_of.max(before), own, |entry| {
                changed += isize::from(entry.sign.diff());
                // Going back, the first difference after the time is met last: it stays.
                otherwise.insert(Arc::clone(&entry.user), entry.sign == Sign::Left);
            })?;
            let (page, after) = segment.page(&Page { otherwise, ..page.clone() });
            if before == after {
                return Ok((page, size.saturating_add_signed(-changed)));
            }
        }
    }

    /// All users of a segment at a time, in bytewise order. They come page by page, so nobody else
    /// waits for more than one.
    ///
    /// # Errors
    /// The time is beyond what is known.
    pub fn all_users_at(&self, segment: &Segment, at: EventTime) -> Result<Vec<Arc<str>>, NoPast> {
        let mut all: Vec<Arc<str>> = Vec::new();
        loop {
            let page = Page::new(all.last().map(|it| &**it), PAGE);
            let (users, _) = self.users_at(segment, page, at)?;
            let is_last = users.len() < PAGE;
            all.extend(users);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Does something with those differences after `at`, up to `up_to`, that are meant: the newest
    /// first.
    fn since(
        &self,
        at: EventTime,
        up_to: EventTime,
        is_meant: impl Fn(&Entry) -> bool,
        mut undo: impl FnMut(&Entry),
    ) -> Result<(), NoPast> {
        if at > up_to {
            return Err(NoPast::NotYet(known(up_to)));
        }
        for chunk in self.ring.chunks(Place::after(at))?.iter().rev() {
            let there = |entry: &&Entry| (at + 1..=up_to).contains(&entry.place.time);
            chunk.iter().rev().filter(there).filter(|it| is_meant(it)).for_each(&mut undo);
        }
        Ok(())
    }
}
