//! The nouns everything else is about: times, values, records, differences.
//!
//! Nothing here knows a rule or an operator. What a type means is in its own module:
//! [`time`], [`number`], [`value`], [`record`], [`hits`], [`difference`], [`profile`].

pub mod difference;
pub mod hits;
pub mod number;
pub mod profile;
pub mod record;
pub mod time;
pub mod value;

pub use difference::{Difference, Sign};
pub use hits::{Hit, Hits};
pub use number::{Amount, Decimal};
pub use profile::{Asked, Profile};
pub use record::{
    Action, Arrival, AttributeKey, Change, Incoming, MessageKey, Payload, Position, Stamp,
    StreamId, Update, UserKey,
};
pub use time::{Duration, EventTime};
pub use value::{Path, Value};
