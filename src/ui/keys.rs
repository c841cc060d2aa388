//! From a key press to its meaning. What the meanings are is in [`crate::screen::keys`].

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::screen::keys::Does;

/// What a key press means when no question is open. `None` for a key that means nothing.
pub fn meaning(key: KeyEvent) -> Option<Does> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('z') if control => Does::Suspend,
        KeyCode::Char('l') if control => Does::Redraw,
        KeyCode::Char('c') if control => Does::Leave,
        KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Up | KeyCode::Char('k') => Does::Up,
        KeyCode::Down | KeyCode::Char('j') => Does::Down,
        KeyCode::PageUp => Does::PageUp,
        KeyCode::PageDown => Does::PageDown,
        KeyCode::Home => Does::First,
        KeyCode::End => Does::Last,
        KeyCode::Tab | KeyCode::BackTab => Does::Switch,
        KeyCode::Enter => Does::Confirm,
        KeyCode::Esc => Does::Escape,
        KeyCode::Char('g') => Does::Here,
        KeyCode::Char('o') => Does::Override,
        KeyCode::Char('s') => Does::Skip,
        KeyCode::Char(' ') => Does::Tick,
        KeyCode::Char('x') => Does::Stop,
        KeyCode::Char('v') => Does::VerifyAgain,
        KeyCode::Char('d') => Does::Doubt,
        KeyCode::Char('u') => Does::Undo,
        KeyCode::Char('h') => Does::ByHand,
        KeyCode::Char('b') => Does::WayBack,
        KeyCode::Char('n') => Does::Note,
        KeyCode::Char('m') => Does::Status,
        KeyCode::Char('e') => Does::End,
        KeyCode::Char('z') => Does::Zoom,
        KeyCode::Char('p') => Does::Whole,
        KeyCode::Char('l') => Does::Log,
        KeyCode::Char('+' | '=') => Does::Faster,
        KeyCode::Char('-') => Does::Slower,
        KeyCode::Char('w') => Does::Pause,
        KeyCode::Char('f') => Does::Onward,
        KeyCode::Right => Does::NextDecision,
        KeyCode::Left => Does::PreviousDecision,
        KeyCode::Char('i') => Does::Into,
        KeyCode::Char('t') => Does::Place,
        KeyCode::Char('?') => Does::Help,
        KeyCode::Char('q') => Does::Leave,
        KeyCode::Char(digit @ '1'..='9') => Does::ZoomTo(usize::try_from(digit.to_digit(10)?).ok()?.checked_sub(1)?),
        _ => return None,
    })
}
