//! The `http` probe and the `http` action.

mod action;
mod judge;
mod probe;
