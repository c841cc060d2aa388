//! From a key press of the terminal to what it does. The bindings are in [`crate::screen::keys`].

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::screen::keys::{KeyAction, KeyPress, action_of};

/// What a key press does when no question is open. `None` for a key that does nothing.
pub fn meaning(event: KeyEvent) -> Option<KeyAction> {
    action_of(key(event)?)
}

/// The key that was pressed. `None` for one that nothing can be bound to.
fn key(event: KeyEvent) -> Option<KeyPress> {
    let with = |modifier| event.modifiers.contains(modifier);
    Some(match event.code {
        KeyCode::Char(ch) if with(KeyModifiers::CONTROL) => KeyPress::Ctrl(ch),
        KeyCode::Char(_) if with(KeyModifiers::ALT) => return None,
        KeyCode::Char(ch) => KeyPress::Char(ch),
        KeyCode::Enter => KeyPress::Enter,
        KeyCode::Esc => KeyPress::Esc,
        KeyCode::Tab => KeyPress::Tab,
        KeyCode::BackTab => KeyPress::BackTab,
        KeyCode::Up => KeyPress::Up,
        KeyCode::Down => KeyPress::Down,
        KeyCode::Left => KeyPress::Left,
        KeyCode::Right => KeyPress::Right,
        KeyCode::PageUp => KeyPress::PageUp,
        KeyCode::PageDown => KeyPress::PageDown,
        KeyCode::Home => KeyPress::Home,
        KeyCode::End => KeyPress::End,
        _ => return None,
    })
}
