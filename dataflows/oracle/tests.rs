//! Small logs with answers worked out by hand: every edge of what answers mean.

mod conditions;
mod logs;
mod windows;

use super::world::value;
use crate::model::Value;

fn one() -> Value {
    value("1")
}
