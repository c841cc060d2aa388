//! Conditions: expressions in CEL over probe readings, checked when loaded and answered in three values.
//!
//! The `cel` crate reads the text; `check` checks names and types against the probes' shapes; `eval` answers by
//! Kleene's rules; `show` writes the values that were compared for the operator. Nothing here does IO or asks for the
//! time, and nothing panics, whatever the text or the readings are.

mod check;
mod condition;
mod error;
mod eval;
mod foregone;
mod functions;
mod known;
mod node;
mod show;
#[cfg(test)]
mod tests;
mod types;
mod wish;

pub use condition::{Asker, Condition, LONGEST, Sight};
pub use error::ExprError;
pub use foregone::Foregone;
pub use known::KnownAnswers;
pub use wish::{Wanted, Wish};
