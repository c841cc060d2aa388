//! The screen as a value: what is shown, owned and comparable, before anyone draws it.
//!
//! [`project()`] makes it from the state; it is pure. Equal screens are not drawn again, and the same value
//! feeds the terminal, the plain mode and the tests. Nothing here knows about sizes beyond the number of rows
//! the step list can show, and nothing here knows about colours: pieces of text have roles.

mod chart;
mod consequences;
mod context;
mod detail;
mod dry_run;
mod header;
pub mod keys;
mod log;
mod markdown;
mod model;
mod naming;
pub mod offers;
mod overlay;
mod pane;
mod project;
mod rich_text;
mod steps;
mod ui_state;

pub use chart::{Chart, ChartLine, ChartMark, ChartPoint};
pub use context::{SessionStatus, ViewContext};
pub(crate) use detail::state_role;
pub(crate) use dry_run::{accepting, command_of, full_confirmation, next_item, refusal_of};
pub use model::{Block, Brief, Detail, GateRow, Header, Pane, Row, Screen, ScreenMode, Sheet, SheetBody, Steps};
pub use naming::FrontEnd;
pub(crate) use naming::{name_of, told};
pub(crate) use overlay::back_lines;
pub use project::project;
pub(crate) use project::{here, selected};
pub use rich_text::{Piece, Role, Text};
pub use ui_state::{Ask, Focus, LocalRefusal, Overlay, Prompt, Quiet, UiState};
