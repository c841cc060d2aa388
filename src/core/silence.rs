//! What an action does with alarms.

use super::ids::TargetId;

/// What an action does with alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence<'a> {
    /// The `cloudwatch` target.
    pub target: &'a TargetId,
    /// The alarms.
    pub alarms: &'a [String],
    /// Whether it ends a silence instead of beginning it.
    pub ends: bool,
}
