//! The table of every key and every order. Footer, help, advice and the handling of keys all come from it.
//!
//! Keys are named here independently of the terminal library; [`crate::ui::keys`] converts key presses. An order is the
//! line that does the same in the plain mode.

use std::fmt;

/// What the operator asks for with a key or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// Move the cursor up.
    Up,
    /// Move the cursor down.
    Down,
    /// Move a page up.
    PageUp,
    /// Move a page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// To where the run is.
    Here,
    /// Steps or detail.
    Switch,
    /// Start the selected step.
    Confirm,
    /// Start it over a shut gate.
    Override,
    /// Leave it out.
    Skip,
    /// Tick the next item of its checklist.
    Tick,
    /// Stop it.
    Stop,
    /// Look at its checks again.
    VerifyAgain,
    /// Say what became of it.
    Doubt,
    /// Take it back.
    Undo,
    /// Say that it was taken back by hand.
    ByHand,
    /// Show the way back.
    WayBack,
    /// Accept that other servers answer than before.
    AcceptServers,
    /// Write a note.
    Note,
    /// Record a status update.
    Status,
    /// End the run.
    End,
    /// Zoom the next pane.
    Zoom,
    /// Zoom a pane by its position.
    ZoomTo(usize),
    /// The whole step.
    Whole,
    /// Journal and output.
    Log,
    /// Help.
    Help,
    /// Leave the cockpit.
    Leave,
    /// Let time pass faster.
    Faster,
    /// Let time pass slower.
    Slower,
    /// Pauses time, or lets it go on.
    Pause,
    /// Goes on to where something happens next.
    FastForward,
    /// To the next decision of a replayed run.
    NextDecision,
    /// To the decision before.
    PreviousDecision,
    /// To where the selected step began.
    Into,
    /// To a time, a fact or a step.
    Place,
    /// Close what is open.
    Escape,
    /// Stop the program like any other.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

impl KeyAction {
    /// The row of the table.
    pub fn def(self) -> Option<&'static KeyDef> {
        KEYS.iter().find(|def| def.action == self)
    }

    /// The key that is shown for it: `enter`. Empty when it has none.
    pub fn key(self) -> String {
        self.def().map(KeyDef::key).unwrap_or_default()
    }

    /// Whether it is about the time that passes, and not about the run.
    pub fn is_about_time(self) -> bool {
        self.is_about_pace() || matches!(self, Self::NextDecision | Self::PreviousDecision | Self::Into | Self::Place)
    }

    /// Whether it is about how fast time passes, which only rehearsals and replays can change.
    pub fn is_about_pace(self) -> bool {
        matches!(self, Self::Faster | Self::Slower | Self::Pause | Self::FastForward)
    }
}

/// A key of the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPress {
    /// A character.
    Char(char),
    /// A character with the control key.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with the shift key.
    BackTab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow to the left.
    Left,
    /// Arrow to the right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

impl fmt::Display for KeyPress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Char(' ') => "space",
            Self::Char(ch) => return write!(f, "{ch}"),
            Self::Ctrl(ch) => return write!(f, "ctrl-{ch}"),
            Self::Enter => "enter",
            Self::Esc => "esc",
            Self::Tab => "tab",
            Self::BackTab => "shift-tab",
            Self::Up => "↑",
            Self::Down => "↓",
            Self::Left => "←",
            Self::Right => "→",
            Self::PageUp => "PgUp",
            Self::PageDown => "PgDn",
            Self::Home => "Home",
            Self::End => "End",
        })
    }
}

/// An action with its keys, its order and its words.
pub struct KeyDef {
    /// The keys that do it; the first is the one that is shown.
    pub binding: &'static [KeyPress],
    /// What it does.
    pub action: KeyAction,
    /// The verb of the order that does the same in the plain mode; empty when it has none.
    pub order: &'static str,
    /// One word for the footer; empty when it is not shown there.
    pub label: &'static str,
    /// One line for the help; empty when another row covers it.
    pub help: &'static str,
}

impl KeyDef {
    /// The key that is shown.
    pub fn key(&self) -> String {
        self.binding.first().map(KeyPress::to_string).unwrap_or_default()
    }

    /// Every key that does it: `↑ k`.
    pub fn keys(&self) -> String {
        self.binding.iter().map(KeyPress::to_string).collect::<Vec<_>>().join(" ")
    }
}

/// What a key does when no question is open. `None` for a key that does nothing.
pub fn action_of(key: KeyPress) -> Option<KeyAction> {
    KEYS.iter().find(|def| def.binding.contains(&key)).map(|def| def.action)
}

const fn def(
    binding: &'static [KeyPress],
    action: KeyAction,
    order: &'static str,
    label: &'static str,
    help: &'static str,
) -> KeyDef {
    KeyDef { binding, action, order, label, help }
}

/// The table.
pub const KEYS: &[KeyDef] = &[
    def(&[KeyPress::Up, KeyPress::Char('k')], KeyAction::Up, "", "", "previous step, or scroll up"),
    def(&[KeyPress::Down, KeyPress::Char('j')], KeyAction::Down, "", "", "next step, or scroll down"),
    def(&[KeyPress::PageUp], KeyAction::PageUp, "", "", "a page up"),
    def(&[KeyPress::PageDown], KeyAction::PageDown, "", "", "a page down"),
    def(&[KeyPress::Home], KeyAction::First, "", "", "first step"),
    def(&[KeyPress::End], KeyAction::Last, "", "", "last step"),
    def(&[KeyPress::Char('g')], KeyAction::Here, "", "here", "go to where the run is, and follow it"),
    def(
        &[KeyPress::Tab, KeyPress::BackTab],
        KeyAction::Switch,
        "",
        "detail",
        "switch between the list of steps and the selected step",
    ),
    def(
        &[KeyPress::Enter],
        KeyAction::Confirm,
        "start",
        "start",
        "start the selected step; the word asked for must be typed",
    ),
    def(
        &[KeyPress::Char('o')],
        KeyAction::Override,
        "override",
        "override",
        "start a step over a shut gate; needs a reason, and the record says so",
    ),
    def(&[KeyPress::Char('s')], KeyAction::Skip, "skip", "skip", "leave a step out; takes its id and a reason"),
    def(&[KeyPress::Char(' ')], KeyAction::Tick, "tick", "tick", "tick the next item of a running checklist"),
    def(
        &[KeyPress::Char('x')],
        KeyAction::Stop,
        "stop",
        "stop",
        "stop the selected step; the word asked for must be typed",
    ),
    def(
        &[KeyPress::Char('v')],
        KeyAction::VerifyAgain,
        "verify",
        "verify",
        "look again at the checks of a step whose work was done",
    ),
    def(&[KeyPress::Char('d')], KeyAction::Doubt, "doubt", "doubt", "say what became of a step in doubt"),
    def(&[KeyPress::Char('u')], KeyAction::Undo, "undo", "undo", "take the selected step back"),
    def(
        &[KeyPress::Char('h')],
        KeyAction::ByHand,
        "by-hand",
        "by hand",
        "say how a step was taken back by hand: it has no undo, or its undo failed",
    ),
    def(
        &[KeyPress::Char('b')],
        KeyAction::WayBack,
        "back",
        "back…",
        "show what rolling back from here would do and cost",
    ),
    def(
        &[KeyPress::Char('r')],
        KeyAction::AcceptServers,
        "accept",
        "accept",
        "accept the server that answers now as the right one; needs a reason",
    ),
    def(&[KeyPress::Char('n')], KeyAction::Note, "note", "note", "write something into the journal"),
    def(&[KeyPress::Char('m')], KeyAction::Status, "told", "told", "record what stakeholders were told"),
    def(&[KeyPress::Char('e')], KeyAction::End, "end", "end", "end the run: complete, rolled back or abandoned"),
    def(&[KeyPress::Char('z')], KeyAction::Zoom, "panes", "zoom", "zoom through the live panes; 1 to 9 zoom one"),
    def(
        &[KeyPress::Char('p')],
        KeyAction::Whole,
        "show",
        "whole",
        "the selected step with every statement it will run",
    ),
    def(&[KeyPress::Char('l')], KeyAction::Log, "", "log", "journal and output on the whole screen"),
    def(&[KeyPress::Char('?')], KeyAction::Help, "help", "help", "this page"),
    def(
        &[KeyPress::Char('q'), KeyPress::Ctrl('c')],
        KeyAction::Leave,
        "leave",
        "leave",
        "leave; a run can be resumed, a rehearsal ends and can be replayed",
    ),
    def(&[KeyPress::Esc], KeyAction::Escape, "", "", "close what is open, cancel what is asked"),
    def(&[KeyPress::Ctrl('z')], KeyAction::Suspend, "", "", "suspend to the shell; fg comes back"),
    def(&[KeyPress::Ctrl('l')], KeyAction::Redraw, "", "", "draw the whole screen anew"),
    def(
        &[KeyPress::Char('+'), KeyPress::Char('=')],
        KeyAction::Faster,
        "faster",
        "faster",
        "in a rehearsal or a replay: let time pass faster",
    ),
    def(&[KeyPress::Char('-')], KeyAction::Slower, "slower", "slower", "the same: slower"),
    def(&[KeyPress::Char('w')], KeyAction::Pause, "pause", "pause", "the same: pause time, or let it continue"),
    def(
        &[KeyPress::Char('f')],
        KeyAction::FastForward,
        "fast-forward",
        "fast-forward",
        "the same: on to where something happens next",
    ),
    def(&[KeyPress::Right], KeyAction::NextDecision, "next", "next", "in a replay: to the next decision"),
    def(&[KeyPress::Left], KeyAction::PreviousDecision, "previous", "previous", "in a replay: to the decision before"),
    def(&[KeyPress::Char('i')], KeyAction::Into, "", "into", "in a replay: to where the selected step began"),
    def(&[KeyPress::Char('t')], KeyAction::Place, "at", "to…", "in a replay: to a time, a fact's number or a step"),
    def(&[KeyPress::Char('1')], KeyAction::ZoomTo(0), "", "", ""),
    def(&[KeyPress::Char('2')], KeyAction::ZoomTo(1), "", "", ""),
    def(&[KeyPress::Char('3')], KeyAction::ZoomTo(2), "", "", ""),
    def(&[KeyPress::Char('4')], KeyAction::ZoomTo(3), "", "", ""),
    def(&[KeyPress::Char('5')], KeyAction::ZoomTo(4), "", "", ""),
    def(&[KeyPress::Char('6')], KeyAction::ZoomTo(5), "", "", ""),
    def(&[KeyPress::Char('7')], KeyAction::ZoomTo(6), "", "", ""),
    def(&[KeyPress::Char('8')], KeyAction::ZoomTo(7), "", "", ""),
    def(&[KeyPress::Char('9')], KeyAction::ZoomTo(8), "", "", ""),
];
