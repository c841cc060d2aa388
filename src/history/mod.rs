//! History: the numbers that were measured and the lines that were printed lately, for panes. The journal is the record.

mod output;
mod series;

pub use output::{Line, OutputTail};
pub use series::{History, Series};
