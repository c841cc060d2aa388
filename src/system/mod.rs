//! Differences between operating systems: one module per concern, each with the reason. Nothing else in the program
//! asks which system it runs on, so that a port to another one finds everything here.

pub mod clock;
pub mod descriptors;
pub mod process;
pub mod terminal;
pub mod threads;
