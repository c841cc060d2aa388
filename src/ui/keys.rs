//! From a key press of the terminal to what it does. The bindings are in [`crate::screen::keys`].

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::screen::keys::{Key, KeyAction, action_of};

/// What a key press does when no question is open. `None` for a key that does nothing.
pub fn meaning(event: KeyEvent) -> Option<KeyAction> {
    action_of(key(event)?)
}

/// The key that was pressed. `None` for one that nothing can be bound to.
fn key(event: KeyEvent) -> Option<Key> {
    let with = |modifier| event.modifiers.contains(modifier);
    Some(match event.code {
        KeyCode::Char(ch) if with(KeyModifiers::CONTROL) => Key::Ctrl(ch),
        KeyCode::Char(_) if with(KeyModifiers::ALT) => return None,
        KeyCode::Char(ch) => Key::Char(ch),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
