//! What the terminal can show: how many colours, and whether more than ASCII.
//!
//! Decided from the environment alone. Asking the terminal would be more exact, but the answer
//! comes late over a slow link and may be taken for keys.

/// The user's wish (`--color`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// As the terminal and `NO_COLOR` ask.
    #[default]
    Auto,
    /// Colours even where `NO_COLOR` or `TERM` ask for none.
    Always,
    /// No colours; bold, reverse and underline remain.
    Never,
}

/// How many colours the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColorSupport {
    /// None; bold, reverse and underline only.
    None,
    /// The sixteen named ones.
    Ansi16,
    /// The palette of 256.
    Ansi256,
    /// 24 bits.
    Rgb,
}

/// Which characters the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// Only ASCII: the locale is not UTF-8.
    Ascii,
    /// All of Unicode.
    Unicode,
}

impl ColorSupport {
    /// Decides from the environment of this process.
    pub fn detect(choice: ColorChoice) -> Self {
        Self::from_env(choice, |name| std::env::var(name).ok())
    }

    /// Decides from `env`: `NO_COLOR` (<https://no-color.org>: any non-empty value), `COLORTERM`
    /// (`truecolor` or `24bit`), then the name in `TERM`.
    pub fn from_env(choice: ColorChoice, env: impl Fn(&str) -> Option<String>) -> Self {
        let env = |name| env(name).unwrap_or_default().to_ascii_lowercase();
        let term = env("TERM");
        let able = match (env("COLORTERM").as_str(), term.as_str()) {
            (_, "" | "dumb") => Self::None,
            ("truecolor" | "24bit", _) => Self::Rgb,
            (_, term) if is_rgb(term) => Self::Rgb,
            (_, term) if term.contains("256") => Self::Ansi256,
            (_, term) if term.starts_with("vt") || term.ends_with("-mono") || term == "ansi-m" => Self::None,
            _ => Self::Ansi16,
        };
        match choice {
            ColorChoice::Always => able.max(Self::Ansi16),
            ColorChoice::Auto if env("NO_COLOR").is_empty() => able,
            ColorChoice::Auto | ColorChoice::Never => Self::None,
        }
    }
}

/// Terminals known to show 24 bits even where `COLORTERM` did not survive ssh or sudo.
fn is_rgb(term: &str) -> bool {
    term.ends_with("-direct")
        || ["kitty", "ghostty", "alacritty", "wezterm", "foot", "iterm2"].iter().any(|name| term.contains(name))
}

impl Charset {
    /// Decides from the environment of this process.
    pub fn detect() -> Self {
        Self::from_env(|name| std::env::var(name).ok())
    }

    /// Decides from `env`: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set names the
    /// character set (locale(7)).
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Unicode } else { Self::Ascii }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    fn env<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn colours_follow_the_wish_then_no_color_then_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        use ColorSupport::{Ansi16, Ansi256, None, Rgb};
        let table: &[(ColorChoice, Pairs, ColorSupport)] = &[
            (Auto, &[("TERM", "xterm-256color")], Ansi256),
            (Auto, &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Rgb),
            (Auto, &[("TERM", "xterm-kitty")], Rgb),
            (Auto, &[("TERM", "xterm-direct")], Rgb),
            (Auto, &[("TERM", "linux")], Ansi16),
            (Auto, &[("TERM", "vt220")], None),
            (Auto, &[("TERM", "dumb"), ("COLORTERM", "truecolor")], None),
            (Auto, &[], None),
            (Auto, &[("TERM", "xterm-256color"), ("NO_COLOR", "1")], None),
            (Auto, &[("TERM", "xterm-256color"), ("NO_COLOR", "")], Ansi256),
            (Always, &[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Ansi256),
            (Always, &[("TERM", "dumb")], Ansi16),
            (Never, &[("TERM", "xterm-kitty")], None),
        ];
        for (choice, pairs, expected) in table {
            assert_eq!(ColorSupport::from_env(*choice, env(pairs)), *expected, "{choice:?} {pairs:?}");
        }
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        use Charset::{Ascii, Unicode};
        let table: &[(Pairs, Charset)] = &[
            (&[("LANG", "de_DE.UTF-8")], Unicode),
            (&[("LANG", "C.utf8")], Unicode),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], Ascii),
            (&[("LC_ALL", ""), ("LC_CTYPE", "UTF-8")], Unicode),
            (&[("LANG", "de_DE.ISO-8859-1")], Ascii),
            (&[], Ascii),
        ];
        for (pairs, expected) in table {
            assert_eq!(Charset::from_env(env(pairs)), *expected, "{pairs:?}");
        }
    }
}
