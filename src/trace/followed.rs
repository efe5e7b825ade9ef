//! Records that are followed because whoever sent them follows them: by user and time, until time has
//! passed them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dataflows::model::{EventTime, UserKey};

/// How many may be followed at a time.
const FOLLOWED_MAX: usize = 8_192;

/// Those of a process.
#[derive(Default)]
pub(super) struct Followed {
    all: Mutex<BTreeSet<(EventTime, UserKey)>>,
    /// How many they are: where there are none, nobody waits for the others.
    count: AtomicUsize,
}

impl Followed {
    /// One more; false if there is no room.
    pub(super) fn add(&self, user: UserKey, at: EventTime) -> bool {
        let mut all = self.lock();
        if all.len() >= FOLLOWED_MAX && !all.contains(&(at, user)) {
            return false;
        }
        all.insert((at, user));
        self.count.store(all.len(), Ordering::Release);
        true
    }

    /// Whether any of this user and time is followed.
    pub(super) fn has(&self, user: UserKey, at: EventTime) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().contains(&(at, user))
    }

    /// Nothing more comes of those before a time.
    pub(super) fn forget(&self, before: EventTime) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = self.lock();
        while all.first().is_some_and(|(at, _)| *at < before) {
            all.pop_first();
        }
        self.count.store(all.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(EventTime, UserKey)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_followed_until_time_has_passed_them() {
        let (followed, user) = (Followed::default(), UserKey::of("u"));
        for at in 0..EventTime::try_from(FOLLOWED_MAX).unwrap() {
            assert!(followed.add(user, at) && followed.add(user, at));
        }
        assert!(!followed.add(user, EventTime::MAX));
        assert!(followed.has(user, 7) && !followed.has(UserKey::of("v"), 7));
        followed.forget(8);
        assert!(!followed.has(user, 7) && followed.has(user, 8));
        assert!(followed.add(user, EventTime::MAX));
        followed.forget(EventTime::MAX);
        assert!(followed.has(user, EventTime::MAX) && !followed.has(user, 8));
    }
}
