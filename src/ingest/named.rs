//! Which users' names have been passed on, as far as that is remembered.
//!
//! A name must come before the first update of its user, and does no harm if it comes again. So it
//! is remembered of as many users as there are places, whoever came last at each, and what it takes
//! does not grow with the users there are. Whoever was forgotten is named again: that costs the
//! worker of the user a look at who is there already.

use std::hint::black_box;

use dataflows::model::UserKey;

/// How many users are remembered: a power of two.
const PLACES: usize = 1 << 17;

/// What tells the users of one place apart: 96 bits of the key, besides the 17 that are the place. Among
/// a thousand million users, that two share all 113 is as likely as one in 10^16.
type Tag = [u32; 3];

/// The users (see the module).
pub(super) struct Named(Box<[Tag]>);

impl Default for Named {
    fn default() -> Self {
        Named(vec![Tag::default(); PLACES].into_boxed_slice())
    }
}

impl Named {
    /// Looks at the places of users who are to be remembered, one right after the other: the machine
    /// then waits for the memory of many at once, and not of each in turn.
    pub(super) fn look_ahead(&self, users: impl Iterator<Item = UserKey>) {
        let seen = users.map(|user| self.0[user.bucket() as usize % PLACES][0]);
        black_box(seen.fold(0, u32::wrapping_add));
    }

    /// Remembers a user; says whether they are to be named.
    pub(super) fn insert(&mut self, user: UserKey) -> bool {
        let (route, bucket) = (user.route(), user.bucket());
        let tag = [route as u32, (route >> 32) as u32, (bucket >> 32) as u32];
        let place = &mut self.0[bucket as usize % PLACES];
        std::mem::replace(place, tag) != tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_unnamed_and_few_are_named_twice() {
        let mut named = Named::default();
        let keys: Vec<_> = (0..PLACES / 4).map(|n| UserKey::of(&format!("u{n}"))).collect();
        assert!(keys.iter().all(|key| named.insert(*key)));
        let again = keys.iter().filter(|key| named.insert(**key)).count();
        assert!(again < keys.len() / 2, "{again} of {}", keys.len());
        assert!(!named.insert(keys[0]) || !named.insert(keys[0]));
    }
}
