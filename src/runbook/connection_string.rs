//! What is wrong with a connection string, in words: those who know libpq write words that are keys of the target here.

use std::error::Error as _;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::core::nearest::nearest;
use crate::core::target::{Postgres, Tls};

/// Words of libpq that stand elsewhere here or are not supported, with what to do instead.
const ELSEWHERE: [(&str, &str); 8] = [
    (
        "sslmode",
        "say `tls: verify-full` (the default) or `tls: disable` in the target; here only `sslmode=require` adds to it",
    ),
    ("sslrootcert", "name the file in `ca` of the target"),
    ("sslcert", "certificates of clients are not supported"),
    ("sslkey", "certificates of clients are not supported"),
    ("passfile", "password files are not read: say where the password is in `secrets`, and `password` in the target"),
    ("service", "service files are not read: write `host`, `port`, `user` and `dbname`"),
    ("gssencmode", "GSSAPI is not supported"),
    ("requiressl", "TLS is always asked for unless the target says `tls: disable`"),
];

/// Words that are understood.
const KNOWN: [&str; 15] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslmode",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "keepalives",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// What is wrong, where it is shown, and what to do.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// The key of the target that it is about.
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) help: Option<String>,
}

/// What is wrong with the connection string of a target, if anything.
pub(super) fn wrong(postgres: &Postgres) -> Option<Wrong> {
    match postgres.dsn.parse::<Config>() {
        Ok(config) => (config.get_ssl_mode() == SslMode::Require && postgres.tls == Tls::Disable).then(|| Wrong {
            message: "`dsn` says `sslmode=require`, and the target says `tls: disable`".to_owned(),
            key: "tls",
            label: "choose one",
            help: None,
        }),
        Err(err) => {
            let cause = err.source().map(ToString::to_string).unwrap_or_default();
            Some(unreadable(&cause, postgres.dsn.contains("pass")))
        }
    }
}

/// Names the word that the parser does not like. One that is no word of libpq may be part of a password with a blank in
/// it: then it is not repeated.
fn unreadable(cause: &str, holds_password: bool) -> Wrong {
    let word = cause.split('`').nth(1).unwrap_or_default();
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == word).map(|(_, help)| (*help).to_owned());
    let near = if holds_password { None } else { nearest(word, KNOWN) };
    let near = near.map(|near| format!("did you mean `{near}`?"));
    let invalid = cause.starts_with("invalid value") && KNOWN.contains(&word);
    let message = match (&elsewhere, &near) {
        _ if invalid => format!("`dsn` gives `{word}` a value that is not understood"),
        (Some(_), _) => format!("`dsn` cannot say `{word}`"),
        (None, Some(_)) => format!("`dsn` has no word `{word}`"),
        (None, None) => "`dsn` is not a connection string".to_owned(),
    };
    let label = "expected something like `host=db.example port=5432 user=admin dbname=shop`";
    Wrong { message, key: "dsn", label, help: elsewhere.or(near) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_word_is_named_unless_it_may_be_secret() {
        let of = |dsn: &str, tls: Tls| wrong(&Postgres { dsn: dsn.to_owned(), password: None, tls, ca: None });
        let says = |dsn: &str| {
            let wrong = of(dsn, Tls::VerifyFull).unwrap_or_else(|| panic!("{dsn} is fine"));
            format!("{} / {}", wrong.message, wrong.help.unwrap_or_default())
        };
        for dsn in ["host=a user=b sslmode=verify-full", "postgres://b@a/c?sslmode=verify-full"] {
            assert!(
                says(dsn).contains("`dsn` gives `sslmode` a value") && says(dsn).contains("tls: verify-full"),
                "{dsn}"
            );
        }
        for dsn in ["host=a sslrootcert=/ca.pem", "postgres://a/c?sslrootcert=/ca.pem"] {
            assert!(says(dsn).starts_with("`dsn` cannot say `sslrootcert` / name the file in `ca`"), "{}", says(dsn));
        }
        assert!(says("service=shop").contains("service files are not read"));
        assert!(says("host=a passfile=/x").contains("password files are not read"));
        let near = says("host=a databse=shop hots=b");
        assert!(!near.contains("shop"), "{near}");
        assert!(says("hots=b user=a").contains("`dsn` has no word `hots`"), "{}", says("hots=b user=a"));
        assert!(says("host=a port=many").contains("`port` a value that is not understood"));
        let secret = says("host=a password=correct horse=battery");
        assert!(!secret.contains("horse") && !secret.contains("battery"), "{secret}");
        assert_eq!(of("host=a sslmode=require", Tls::VerifyFull), None);
        assert_eq!(of("host=a sslmode=require", Tls::Disable).map(|wrong| wrong.key), Some("tls"));
        assert_eq!(of("host=a", Tls::Disable), None);
    }
}
