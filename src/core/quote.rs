//! Texts quoted for the place they are put into, and placeholders of secrets, which are filled in late.
//!
//! A plan holds no secret, only the placeholder `«secret:NAME»`. Quotes around it would not protect a value that has
//! quotes in it, so the placeholder says how its value is to be escaped: `«secret:NAME|conninfo|literal»`, from the
//! inside out.

const OPEN: &str = "«secret:";
const CLOSE: char = '»';
const AND: char = '|';

/// Whether a text of the outside holds the value of a secret, in whose place its placeholder stands.
pub fn is_masked(text: &str) -> bool {
    text.contains(OPEN)
}

/// A place that texts are quoted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// A value in a connection string of libpq.
    Conninfo,
    /// A literal in SQL.
    Literal,
    /// A name (of a database, role or table) in SQL.
    Name,
}

impl Quoting {
    /// All of them.
    pub const ALL: [Quoting; 3] = [Quoting::Conninfo, Quoting::Literal, Quoting::Name];

    /// Its word in runbooks: `{{ vars.x | literal }}`.
    pub fn word(self) -> &'static str {
        match self {
            Quoting::Conninfo => "conninfo",
            Quoting::Literal => "literal",
            Quoting::Name => "name",
        }
    }

    /// Quotes `text`, whatever is in it and however the server reads backslashes. Placeholders in it stay, and note how
    /// their values are to be escaped.
    pub fn quote(self, text: &str) -> String {
        match self {
            Quoting::Conninfo => format!("'{}'", self.between(text)),
            Quoting::Name => format!("\"{}\"", self.between(text)),
            // Whether a secret holds a backslash is not known yet.
            Quoting::Literal if text.contains('\\') || Placeholder::split(text).is_some() => {
                format!(" E'{}'", self.between(text))
            }
            Quoting::Literal => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// Escapes `text` as it stands between the quotes; for a literal those of `E'…'`.
    pub fn escape(self, text: &str) -> String {
        match self {
            Quoting::Conninfo => text.replace('\\', r"\\").replace('\'', r"\'"),
            Quoting::Literal => text.replace('\'', "''").replace('\\', r"\\"),
            Quoting::Name => text.replace('"', "\"\""),
        }
    }

    fn between(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, secret, after)) = Placeholder::split(rest) {
            out.push_str(&self.escape(before));
            out.push_str(&secret.and(self));
            rest = after;
        }
        out + &self.escape(rest)
    }
}

/// The placeholder of a secret, which is replaced when the value is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder<'t> {
    /// The secret's name in the runbook.
    pub name: &'t str,
    /// Names of quotings, each after a `|`.
    quotings: &'t str,
}

impl<'t> Placeholder<'t> {
    /// The placeholder of a secret whose value is not quoted.
    pub fn plain(name: &'t str) -> Self {
        Self { name, quotings: "" }
    }

    /// The first one in `text`, with what stands before and behind it.
    pub fn split(text: &'t str) -> Option<(&'t str, Self, &'t str)> {
        let (before, inside) = text.split_once(OPEN)?;
        let (inside, after) = inside.split_once(CLOSE)?;
        let (name, quotings) = inside.split_at(inside.find(AND).unwrap_or(inside.len()));
        Some((before, Self { name, quotings }, after))
    }

    /// Whether `text` contains the start of a placeholder.
    pub fn begins_in(text: &str) -> bool {
        text.contains(OPEN)
    }

    /// The same placeholder inside one more pair of quotes.
    fn and(self, quoting: Quoting) -> String {
        format!("{OPEN}{}{}{AND}{}{CLOSE}", self.name, self.quotings, quoting.word())
    }

    /// The quoting that was applied last: that of the place it stands in.
    pub fn outermost(self) -> Option<Quoting> {
        self.quotings().last().flatten()
    }

    /// Returns `value` escaped for the placeholder's place; `None` when the placeholder names an unknown quoting.
    pub fn fill(self, value: &str) -> Option<String> {
        self.quotings().try_fold(value.to_owned(), |value, quoting| Some(quoting?.escape(&value)))
    }

    fn quotings(self) -> impl Iterator<Item = Option<Quoting>> {
        let words = self.quotings.split(AND).skip(1);
        words.map(|word| Quoting::ALL.into_iter().find(|quoting| quoting.word() == word))
    }
}

impl std::fmt::Display for Placeholder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{OPEN}{}{}{CLOSE}", self.name, self.quotings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_for_sql_nothing_gets_out() {
        let literal = |text| Quoting::Literal.quote(text);
        assert_eq!(literal("shop_app"), "'shop_app'");
        assert_eq!(literal("o'brien'; drop table x --"), "'o''brien''; drop table x --'");
        assert_eq!(literal(r"\' or true"), r" E'\\'' or true'");
        assert_eq!(Quoting::Name.quote(r#"Shop "2""#), r#""Shop ""2""""#);
        assert_eq!(Quoting::Conninfo.quote(r"it's \"), r"'it\'s \\'");
    }

    fn filled(text: &str, value: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, secret, after)) = Placeholder::split(rest) {
            out += before;
            out += &secret.fill(value).unwrap();
            rest = after;
        }
        out + rest
    }

    #[test]
    fn a_secret_is_quoted_late_as_it_would_have_been_at_once() {
        let (secret, value) = (Placeholder::plain("pw").to_string(), r#"it's \ a "pass" word"#);
        for quoting in Quoting::ALL {
            assert_eq!(filled(&quoting.quote(&secret), value), quoting.quote(value), "{quoting:?}");
        }
        let connection = |password: &str| {
            let password = Quoting::Conninfo.quote(password);
            Quoting::Literal.quote(&format!(r"application_name='a\'b' password={password}"))
        };
        assert_eq!(filled(&connection(&secret), value), connection(value));
        assert_eq!(connection(&secret), r" E'application_name=''a\\''b'' password=''«secret:pw|conninfo|literal»'''");
    }

    #[test]
    fn the_place_of_a_secret_is_known_and_unknown_quotings_are_not_guessed() {
        let of = |text: &'static str| Placeholder::split(text).unwrap().1;
        assert_eq!(of("«secret:pw»").outermost(), None);
        assert_eq!(of("«secret:pw|conninfo»").outermost(), Some(Quoting::Conninfo));
        assert_eq!(of("«secret:pw|conninfo|literal»").outermost(), Some(Quoting::Literal));
        assert_eq!(of("«secret:pw|shell»").fill("x"), None);
        assert_eq!(Placeholder::split("«secret:pw"), None);
    }
}
