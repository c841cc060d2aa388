//! The pure core: what may happen, decided without doing any of it.
//!
//! Everything the cockpit does is made of two functions. [`decide`](decide::decide) looks at the plan, the
//! state, the time and one input, and answers with facts and effects *as data*, or with a refusal that says
//! why. [`Run::apply`](state::Run::apply) folds one fact into the state and cannot fail. The journal is the
//! list of facts; nothing else changes a run.
//!
//! This module must not do IO, read a clock, draw random numbers or know about tokio: time comes in as
//! [`At`](time::At), the outside world as [`Reading`](reading::Reading)s and outcomes. `tests/source/purity.rs`
//! reads the imports of this directory to keep it so.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)] // see clippy.toml

pub mod action;
mod answerers;
mod answers;
pub mod aws;
pub mod bins;
pub mod board;
mod counters;
pub mod customers;
pub mod decide;
pub mod document;
pub mod due;
pub mod durations;
pub mod evidence;
pub mod expr;
pub mod fact;
pub mod forecast;
mod frontier;
pub mod hosted;
pub mod ids;
pub mod input;
pub mod job;
pub mod kind;
pub mod latency;
pub mod moves;
pub mod nearest;
pub mod origin;
pub mod outlook;
pub mod plan;
pub mod poll;
pub mod probe;
pub mod progress;
pub mod quote;
pub mod reading;
pub mod record;
pub mod recover;
pub mod refusal;
pub mod resolver_kind;
pub mod rollback;
mod running;
pub mod server;
pub mod silence;
pub mod silent_alarms;
pub mod simulate;
pub mod state;
pub mod status;
mod step_run;
pub mod syntax;
pub mod target;
pub mod time;
pub mod value;
mod write_pause;
