//! What differs between operating systems: one module a concern, each with the reason. Nothing else in the program asks
//! which system it runs on, so whoever takes it to another one finds everything here.

pub mod clock;
pub mod process;
pub mod terminal;
