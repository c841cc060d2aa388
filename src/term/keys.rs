//! Keys and pastes as the rest of the program sees them: converts termina's types, which its parser returns, into
//! crossterm's, which ratatui uses.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers, MediaKeyCode, ModifierKeyCode};
use termina::event as termina_event;

use crate::text;

/// A key pressed or repeated; `None` for a release and for a control character that no key types
/// (a raw C1 byte sequence).
pub(super) fn from_termina(key: termina_event::KeyEvent) -> Option<KeyEvent> {
    let kind = match key.kind {
        termina_event::KeyEventKind::Press => KeyEventKind::Press,
        termina_event::KeyEventKind::Repeat => KeyEventKind::Repeat,
        termina_event::KeyEventKind::Release => return None,
    };
    Some(KeyEvent { code: code(key.code)?, modifiers: modifiers(key.modifiers), kind, state: state(key.state) })
}

/// Pasted text with `\n` as its only line end and everything else that is not text made visible.
pub(super) fn pasted(pasted: &str) -> String {
    pasted.replace("\r\n", "\n").replace('\r', "\n").split('\n').map(text::clean).collect::<Vec<_>>().join("\n")
}

fn code(code: termina_event::KeyCode) -> Option<KeyCode> {
    Some(match code {
        termina_event::KeyCode::Char(c) if c.is_control() => return None,
        termina_event::KeyCode::Char(c) => KeyCode::Char(c),
        termina_event::KeyCode::Enter => KeyCode::Enter,
        termina_event::KeyCode::Backspace => KeyCode::Backspace,
        termina_event::KeyCode::Tab => KeyCode::Tab,
        termina_event::KeyCode::Escape => KeyCode::Esc,
        termina_event::KeyCode::Left => KeyCode::Left,
        termina_event::KeyCode::Right => KeyCode::Right,
        termina_event::KeyCode::Up => KeyCode::Up,
        termina_event::KeyCode::Down => KeyCode::Down,
        termina_event::KeyCode::Home => KeyCode::Home,
        termina_event::KeyCode::End => KeyCode::End,
        termina_event::KeyCode::BackTab => KeyCode::BackTab,
        termina_event::KeyCode::PageUp => KeyCode::PageUp,
        termina_event::KeyCode::PageDown => KeyCode::PageDown,
        termina_event::KeyCode::Insert => KeyCode::Insert,
        termina_event::KeyCode::Delete => KeyCode::Delete,
        termina_event::KeyCode::KeypadBegin => KeyCode::KeypadBegin,
        termina_event::KeyCode::CapsLock => KeyCode::CapsLock,
        termina_event::KeyCode::ScrollLock => KeyCode::ScrollLock,
        termina_event::KeyCode::NumLock => KeyCode::NumLock,
        termina_event::KeyCode::PrintScreen => KeyCode::PrintScreen,
        termina_event::KeyCode::Pause => KeyCode::Pause,
        termina_event::KeyCode::Menu => KeyCode::Menu,
        termina_event::KeyCode::Null => KeyCode::Null,
        termina_event::KeyCode::Function(n) => KeyCode::F(n),
        termina_event::KeyCode::Modifier(key) => KeyCode::Modifier(modifier_key(key)),
        termina_event::KeyCode::Media(key) => KeyCode::Media(media_key(key)),
    })
}

fn modifiers(from: termina_event::Modifiers) -> KeyModifiers {
    [
        (termina_event::Modifiers::SHIFT, KeyModifiers::SHIFT),
        (termina_event::Modifiers::ALT, KeyModifiers::ALT),
        (termina_event::Modifiers::CONTROL, KeyModifiers::CONTROL),
        (termina_event::Modifiers::SUPER, KeyModifiers::SUPER),
        (termina_event::Modifiers::HYPER, KeyModifiers::HYPER),
        (termina_event::Modifiers::META, KeyModifiers::META),
    ]
    .into_iter()
    .filter(|(theirs, _)| from.contains(*theirs))
    .map(|(_, crossterm)| crossterm)
    .collect()
}

fn state(from: termina_event::KeyEventState) -> KeyEventState {
    [
        (termina_event::KeyEventState::KEYPAD, KeyEventState::KEYPAD),
        (termina_event::KeyEventState::CAPS_LOCK, KeyEventState::CAPS_LOCK),
        (termina_event::KeyEventState::NUM_LOCK, KeyEventState::NUM_LOCK),
    ]
    .into_iter()
    .filter(|(theirs, _)| from.contains(*theirs))
    .map(|(_, crossterm)| crossterm)
    .collect()
}

macro_rules! same_names {
    ($(#[$doc:meta])* $name:ident, $type:ident: $($variant:ident)*) => {
        $(#[$doc])*
        fn $name(key: termina_event::$type) -> $type {
            match key {
                $(termina_event::$type::$variant => $type::$variant,)*
            }
        }
    };
}

same_names! { modifier_key, ModifierKeyCode:
    LeftShift LeftControl LeftAlt LeftSuper LeftHyper LeftMeta RightShift RightControl RightAlt
    RightSuper RightHyper RightMeta IsoLevel3Shift IsoLevel5Shift
}

same_names! { media_key, MediaKeyCode:
    Play Pause PlayPause Reverse Stop FastForward Rewind TrackNext TrackPrevious Record
    LowerVolume RaiseVolume MuteVolume
}
