//! What the operator touches: keys in, pictures out.
//!
//! [`keys`] tells what a key press means; [`desk`] turns a key into a change of the desk or a command; [`view`]
//! draws a [`Screen`](crate::screen::Screen) and knows nothing else.

pub mod desk;
pub mod keys;
pub mod plain;
pub mod theme;
pub mod view;
