//! What outputs are told of users' attributes: those they ask for, whenever one of them changes.
//!
//! At time t it equals: for every user of whom an attribute that is asked for is another one than
//! just before t, all that are asked for, as they are at t. A user who is erased has none any more.
//!
//! Cost: an update that names none of these attributes pays for that look; one that does, for
//! reading all of them twice. State: none but the users'.

use super::attributes::AttributePath;
use super::pool::Pool;
use super::store::Store;
use super::users::{Effect, User};
use crate::model::{Asked, AttributeKey, Change, EventTime, Path, Profile, Value};

/// The attributes that are asked for.
#[derive(Debug)]
pub struct Profiles {
    asked: Vec<(Path, AttributePath)>,
    /// Every attribute they read.
    keys: Vec<AttributeKey>,
}

/// What each of them is, where it is not missing.
pub type Values = Vec<Option<Value>>;

impl Profiles {
    /// Of these attributes; `None` where there are none.
    pub fn new(paths: &[Path], store: &mut Store) -> Option<Self> {
        let asked = paths.iter().map(|path| (path.clone(), AttributePath::new(path, store)));
        let asked: Vec<_> = asked.collect();
        let numbers = asked.iter().flat_map(|(_, path)| path.numbers());
        let keys = numbers.map(|number| store.key(number)).collect();
        (!asked.is_empty()).then_some(Profiles { asked, keys })
    }

    /// Whether updates of one user may change any of them.
    pub fn concern(&self, updates: &[&Effect]) -> bool {
        updates.iter().any(|update| match &update.change {
            Change::Event(_) => false,
            Change::Attributes(set) => set.iter().any(|(key, _)| self.keys.contains(key)),
            Change::Delete => true,
        })
    }

    /// What they are of a user.
    pub fn of(&self, user: &User, pool: &Pool) -> Values {
        self.asked.iter().map(|(_, path)| user.attributes.at(path, pool)).collect()
    }

    /// What is told of a user of whom they were these, if that has changed.
    pub fn changed(
        &self,
        before: &[Option<Value>],
        (user, pool): (&User, &Pool),
        time: EventTime,
    ) -> Option<Profile> {
        let now = self.of(user, pool);
        if now == before {
            return None;
        }
        let each = self.asked.iter().zip(now).zip(before);
        let attributes = each.map(|(((path, _), value), before)| {
            let has_changed = value != *before;
            Asked { path: path.clone(), value, has_changed }
        });
        let attributes = attributes.collect();
        Some(Profile { time, user: user.name.give(), attributes })
    }

    /// What is told of a user of whom nothing was known.
    pub fn begun(&self, of: (&User, &Pool), time: EventTime) -> Option<Profile> {
        self.changed(&vec![None; self.asked.len()], of, time)
    }
}
