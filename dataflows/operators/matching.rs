//! Which nodes a change may flip, found without looking at the others.
//!
//! ```text
//! value ── code ─┐                    the attributes of one user, ready to be compared
//!                ├─ value index ── places ── guards ── program ── in or out
//! old code ──────┘                    only those between the old value and the new
//! ```
//! The comparisons on one attribute cut its values into intervals ([`ValueIndex`]; [`Cuts`] for
//! numeric aggregates); a change that stays within one finds nothing. Every comparison lists its
//! [`Place`]s: the rules it stands in, each with up to four *guards*, comparisons of other attributes
//! without which it cannot matter there. Only where the guards let it through the rule's
//! [program](Programs) runs.
//!
//! Sources of the ideas: predicate indexes of publish/subscribe matching (Fabret et al., *Filtering
//! algorithms and implementation for very fast publish/subscribe systems*, 2001); path
//! sensitisation of circuit testing (Roth, *Diagnosis of automata failures*, 1966) for the guards.

mod bounds;
mod code;
mod cuts;
mod patterns;
mod places;
mod program;
mod sensitive;
mod value_index;

pub use bounds::Bounds;
pub use code::{Code, Codes, Column, Guard, Leaf, key};
pub use cuts::{Cuts, NumberTest, next_change};
pub use patterns::Patterns;
pub use places::{Place, Places, Stretch};
pub use program::{Asked, Programs};
pub use sensitive::{Sensitive, beyond, by_default, cover, cover_guards, place_guards};
pub use value_index::{Compared, Constants, ValueIndex};
pub(super) use value_index::{constants, leaves};
