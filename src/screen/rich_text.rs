//! Text in pieces with roles: what it is for, not how it looks.

/// What a piece of text is for. Colour, weight and glyphs follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Ordinary.
    Plain,
    /// Less important.
    Dim,
    /// A heading.
    Title,
    /// Important.
    Strong,
    /// GO, done, good.
    Go,
    /// NO-GO, failed: needs the operator.
    NoGo,
    /// UNKNOWN, stale, in doubt.
    Unknown,
    /// Under way.
    Active,
    /// A key to press.
    Key,
    /// The place where the run is.
    Here,
    /// A run on real servers that matter.
    Live,
    /// A run in the lab.
    Lab,
    /// The word of a simulated world.
    Rehearsal,
    /// The word of a replay.
    Replay,
    /// A line of a chart, by its number.
    Curve(usize),
}

/// A piece of text with its role. Foreign text in it is clean already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is for.
    pub role: Role,
    /// The text.
    pub text: String,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

impl Text {
    /// A line of one piece.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self(vec![Piece { role, text: text.into() }])
    }

    /// An ordinary line.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Role::Plain, text)
    }

    /// The line with one more piece.
    #[must_use]
    pub fn and(mut self, role: Role, text: impl Into<String>) -> Self {
        self.0.push(Piece { role, text: text.into() });
        self
    }

    /// The characters without their roles.
    pub fn to_plain(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// Columns on screen.
    pub fn width(&self) -> usize {
        self.0.iter().map(|piece| crate::text::width(&piece.text)).sum()
    }
}
