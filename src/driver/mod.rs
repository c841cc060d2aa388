//! The driver: the only place where decisions meet the world.
//!
//! One task decides. Inputs come in, [`decide`](crate::core::decide::decide) answers with facts and effects,
//! the facts go to the journal's own thread, and only when they are durable are they applied and the effects
//! let out. Nothing here waits for a disk, a terminal or a server.

mod engine;
mod journaling;
mod opening;
mod queue;
mod simulated;
mod watchdog;

pub use engine::{Engine, Turn};
pub use opening::{EngineError, Opening, facts_of};
