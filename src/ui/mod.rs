//! What the operator touches: keys in, pictures out.
//!
//! [`keys`] gives the meaning of a key press; [`input`] turns a key into a change of the interface or a command,
//! [`dialog`] does so while a question is open; [`view`] draws a [`Screen`](crate::screen::Screen) and knows nothing else.

pub mod dialog;
pub mod input;
pub mod keys;
pub mod plain;
pub mod theme;
pub mod view;
