//! Rehearsals: the same runbook, the same core and the same driver over a simulated world.
//!
//! Nothing here can reach a real server: a [`Handle`](world::Handle) holds a [`SimWorld`](crate::world::sim::SimWorld)
//! and no other world can be put in its place.

pub mod automatic;
pub mod blocked;
pub mod compare;
pub mod debrief;
pub mod durations;
pub mod engine;
mod fast_forward;
pub mod ledger;
pub mod operator;
pub mod policy;
pub mod world;
