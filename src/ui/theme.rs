//! How roles look: colours from the Okabe–Ito palette, which people with colour blindness can tell apart
//! (<https://jfly.uni-koeln.de/color/>), always together with a word and a weight, never alone.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use crate::core::evidence::Verdict;
use crate::core::fact::Mode;
use crate::core::status::StepState;
use crate::screen::{Role, ScreenMode};

/// Which colours the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// None: weight and reversal only.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// 24-bit colours.
    Rgb,
}

/// Which characters it can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Box drawing, braille and arrows.
    Unicode,
    /// Nothing beyond ASCII.
    Ascii,
}

/// Colours and characters together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours.
    pub palette: Palette,
    /// Characters.
    pub glyphs: Glyphs,
}

const SKY: Color = Color::Rgb(0x56, 0xB4, 0xE9);
const GREEN: Color = Color::Rgb(0x00, 0x9E, 0x73);
const YELLOW: Color = Color::Rgb(0xF0, 0xE4, 0x42);
const VERMILLION: Color = Color::Rgb(0xD5, 0x5E, 0x00);
const PURPLE: Color = Color::Rgb(0xCC, 0x79, 0xA7);
const BLUE: Color = Color::Rgb(0x00, 0x72, 0xB2);
const ORANGE: Color = Color::Rgb(0xE6, 0x9F, 0x00);

impl Theme {
    /// The style of a role. Red is used only for what needs the operator.
    pub fn style(self, role: Role) -> Style {
        let weight = match role {
            Role::Plain | Role::Curve(_) => Style::new(),
            Role::Dim => Style::new().add_modifier(Modifier::DIM),
            Role::Title | Role::Strong | Role::Go | Role::Active => Style::new().add_modifier(Modifier::BOLD),
            Role::Unknown => Style::new().add_modifier(Modifier::BOLD | Modifier::ITALIC),
            Role::Key => Style::new().add_modifier(Modifier::UNDERLINED),
            Role::Here => Style::new().add_modifier(Modifier::BOLD),
            Role::NoGo | Role::Live => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Role::Lab | Role::Rehearsal | Role::Replay => Style::new().add_modifier(Modifier::REVERSED),
        };
        match self.color(role) {
            Some(color) if role == Role::NoGo => Style::new().fg(color).add_modifier(Modifier::BOLD),
            Some(color) => weight.fg(color),
            None => weight,
        }
    }

    fn color(self, role: Role) -> Option<Color> {
        let (rgb, sixteen) = match role {
            Role::Plain | Role::Dim | Role::Title | Role::Strong => return None,
            Role::Go => (GREEN, Color::Green),
            Role::NoGo | Role::Live => (VERMILLION, Color::Red),
            Role::Unknown => (YELLOW, Color::Yellow),
            Role::Active | Role::Here => (SKY, Color::Cyan),
            Role::Key => (ORANGE, Color::Yellow),
            Role::Lab => (SKY, Color::Cyan),
            Role::Rehearsal => (PURPLE, Color::Magenta),
            Role::Replay => (BLUE, Color::Blue),
            // None of them is the red of what needs the operator.
            Role::Curve(number) => match number % 4 {
                0 => (SKY, Color::Cyan),
                1 => (ORANGE, Color::Yellow),
                2 => (PURPLE, Color::Magenta),
                _ => (GREEN, Color::Green),
            },
        };
        match self.palette {
            Palette::None => None,
            Palette::Sixteen => Some(sixteen),
            Palette::Rgb => Some(rgb),
        }
    }

    /// The role of the mode's word.
    pub fn mode_role(mode: ScreenMode) -> Role {
        match mode {
            ScreenMode::Run(Mode::Live) => Role::Live,
            ScreenMode::Run(Mode::Lab) => Role::Lab,
            ScreenMode::Run(Mode::Rehearsal) => Role::Rehearsal,
            ScreenMode::Replay => Role::Replay,
            ScreenMode::Watch => Role::Strong,
        }
    }

    /// Borders differ by mode as well, so that the screen of one mode cannot be mistaken for another's.
    pub fn border(self, mode: ScreenMode) -> border::Set<'static> {
        const ASCII_LIVE: border::Set = border::Set {
            top_left: "#",
            top_right: "#",
            bottom_left: "#",
            bottom_right: "#",
            vertical_left: "#",
            vertical_right: "#",
            horizontal_top: "=",
            horizontal_bottom: "=",
        };
        const ASCII: border::Set = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        const ASCII_REHEARSAL: border::Set = border::Set {
            top_left: ".",
            top_right: ".",
            bottom_left: ".",
            bottom_right: ".",
            vertical_left: ":",
            vertical_right: ":",
            horizontal_top: ".",
            horizontal_bottom: ".",
        };
        const ASCII_REPLAY: border::Set = border::Set {
            top_left: "<",
            top_right: ">",
            bottom_left: "<",
            bottom_right: ">",
            vertical_left: "!",
            vertical_right: "!",
            horizontal_top: "~",
            horizontal_bottom: "~",
        };
        const HEAVY_DASHED: border::Set = border::Set {
            vertical_left: "┇",
            vertical_right: "┇",
            horizontal_top: "┅",
            horizontal_bottom: "┅",
            ..border::THICK
        };
        const DASHED: border::Set = border::Set {
            vertical_left: "╎",
            vertical_right: "╎",
            horizontal_top: "╌",
            horizontal_bottom: "╌",
            ..border::PLAIN
        };
        match (self.glyphs, mode) {
            (Glyphs::Ascii, ScreenMode::Run(Mode::Live)) => ASCII_LIVE,
            (Glyphs::Ascii, ScreenMode::Run(Mode::Rehearsal)) => ASCII_REHEARSAL,
            (Glyphs::Ascii, ScreenMode::Replay) => ASCII_REPLAY,
            (Glyphs::Ascii, ScreenMode::Run(Mode::Lab) | ScreenMode::Watch) => ASCII,
            (Glyphs::Unicode, ScreenMode::Run(Mode::Live)) => border::DOUBLE,
            (Glyphs::Unicode, ScreenMode::Run(Mode::Lab)) => border::PLAIN,
            (Glyphs::Unicode, ScreenMode::Run(Mode::Rehearsal)) => DASHED,
            (Glyphs::Unicode, ScreenMode::Replay) => HEAVY_DASHED,
            (Glyphs::Unicode, ScreenMode::Watch) => border::ROUNDED,
        }
    }

    /// The glyph of a state, always beside its word.
    pub fn state_glyph(self, state: StepState) -> &'static str {
        match (self.glyphs, state) {
            (Glyphs::Unicode, StepState::Done) => "✔",
            (Glyphs::Unicode, StepState::Failed) => "✘",
            (Glyphs::Unicode, StepState::Ready) => "○",
            (Glyphs::Unicode, StepState::Gated) => "◑",
            (Glyphs::Unicode, StepState::Running | StepState::Verifying) => "●",
            (Glyphs::Unicode, StepState::Reverting | StepState::Undoing | StepState::Undone) => "↩",
            (Glyphs::Unicode, StepState::InDoubt) => "?",
            (Glyphs::Unicode, StepState::Skipped) => "↷",
            (Glyphs::Unicode, StepState::Waiting) => "·",
            (Glyphs::Ascii, StepState::Done) => "+",
            (Glyphs::Ascii, StepState::Failed) => "!",
            (Glyphs::Ascii, StepState::Ready) => "o",
            (Glyphs::Ascii, StepState::Gated) => "x",
            (Glyphs::Ascii, StepState::Running | StepState::Verifying) => "*",
            (Glyphs::Ascii, StepState::Reverting | StepState::Undoing | StepState::Undone) => "<",
            (Glyphs::Ascii, StepState::InDoubt) => "?",
            (Glyphs::Ascii, StepState::Skipped) => "~",
            (Glyphs::Ascii, StepState::Waiting) => ".",
        }
    }

    /// The marker of the place where the run is.
    pub fn here(self) -> &'static str {
        match self.glyphs {
            Glyphs::Unicode => "▶",
            Glyphs::Ascii => ">",
        }
    }

    /// The role of a verdict's word.
    pub fn verdict_role(verdict: Verdict) -> Role {
        match verdict {
            Verdict::Go => Role::Go,
            Verdict::NoGo => Role::NoGo,
            Verdict::Unknown => Role::Unknown,
        }
    }

    /// Text with characters the terminal cannot show replaced.
    pub fn text(self, text: &str) -> std::borrow::Cow<'_, str> {
        if self.glyphs == Glyphs::Unicode || text.is_ascii() {
            return text.into();
        }
        text.chars()
            .map(|ch| match ch {
                ch if ch.is_ascii() => ch,
                '·' | '•' | '…' => '.',
                '—' | '–' | '─' => '-',
                '→' => '>',
                '×' => 'x',
                '›' | '▶' => '>',
                '│' | '▏' => '|',
                '↑' => '^',
                '←' => '<',
                '↓' => 'v',
                '«' | '»' | '“' | '”' => '"',
                '±' => '~',
                _ => '?',
            })
            .collect::<String>()
            .into()
    }
}
