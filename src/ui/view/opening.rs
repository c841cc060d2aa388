//! What is on screen while a run is being opened: whose cockpit this is going to be, and what it waits for.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::is_small;
use crate::core::fact::Mode;
use crate::screen::keys::KeyAction;
use crate::screen::{Role, ScreenMode};
use crate::ui::theme::Theme;

/// What is told of a run that is being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningWords {
    /// The world it takes place in.
    pub mode: Mode,
    /// Its short name.
    pub run: String,
    /// Its title.
    pub title: String,
    /// How many records are read and checked.
    pub records: u64,
}

/// Draws it, in the frame that the cockpit will have.
pub fn opening(frame: &mut Frame, words: &OpeningWords, theme: Theme) {
    let mode = ScreenMode::Run(words.mode);
    let [header, body, footer] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    let span = |role: Role, text: &str| Span::styled(theme.text(text).into_owned(), theme.style(role));
    let mode_word = span(Theme::mode_role(mode), &format!(" {} ", words.mode.as_str().to_uppercase()));
    // In the places that the cockpit gives them.
    let title = if is_small(frame.area()) {
        vec![mode_word, span(Role::Plain, &format!(" run {}  ", words.run)), span(Role::Title, &words.title)]
    } else {
        let run = span(Role::Plain, &format!("  run {}", words.run));
        vec![span(Role::Strong, " gonogo  "), span(Role::Title, &format!("{}  ", words.title)), mode_word, run]
    };
    frame.render_widget(Paragraph::new(Line::from(title)), header);
    let records = match words.records {
        1 => "Its one record is read and checked.".to_owned(),
        records => format!("Its {records} records are read, and their chain is checked."),
    };
    let text = vec![
        Line::from(span(Role::Strong, "Opening the run")),
        Line::from(span(Role::Plain, &records)),
        Line::from(span(Role::Dim, "Nothing is done before the cockpit is here.")),
    ];
    let block = Block::bordered()
        .border_set(theme.border(mode))
        .border_style(theme.style(Role::Dim).remove_modifier(Modifier::BOLD));
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }).block(block), body);
    let keys = vec![span(Role::Plain, " "), span(Role::Key, &KeyAction::Leave.key()), span(Role::Dim, " leave")];
    frame.render_widget(Paragraph::new(Line::from(keys)), footer);
}
