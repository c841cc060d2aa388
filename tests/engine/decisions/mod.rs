//! What decisions mean, one example each: pure, without a world.

mod bench;
mod half_done;
mod held;
mod servers;
mod silences;
mod tries;
mod waits;
mod window;
