//! History: recent measurements and output lines, for panes. It is not the record; the journal is.

mod output;
mod series;

pub use output::{Line, OutputTail};
pub use series::{History, Measured, Series};
