//! What was measured and printed lately, for whoever shows it. The record of it is elsewhere.

mod history;
mod output;

pub use history::{History, Series};
pub use output::{Line, OutputTail};
