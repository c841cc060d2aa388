//! Errors of PostgreSQL and of connections to it, as sentences.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::world::live::net::{chain, tls};
use crate::world::live::secrets::Secrets;
use crate::world::live::shortage;

/// A sentence that says who refused what.
pub(super) fn explain(err: &tokio_postgres::Error, place: &str, user: &str, secrets: &Secrets) -> String {
    if let Some(db) = err.as_db_error() {
        let code = db.code();
        let text = secrets.tell_brief(db.message(), 300);
        let more = db.detail().map(|detail| format!("; {}", secrets.tell_brief(detail, 200))).unwrap_or_default();
        return match *code {
            SqlState::INVALID_PASSWORD => format!("{place} refuses the password for user {user} ({})", code.code()),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                format!("{place} does not let user {user} in: {text} ({})", code.code())
            }
            SqlState::CANNOT_CONNECT_NOW => format!("{place} is not ready: {text} ({})", code.code()),
            SqlState::TOO_MANY_CONNECTIONS => format!("{place} has no connection left: {text} ({})", code.code()),
            _ => format!("{place}: {text}{more} ({})", code.code()),
        };
    }
    let mut source = err.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if let Some(missing) = shortage::of(io) {
                return format!("{place} was not asked: {missing}");
            }
            return match io.kind() {
                std::io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
                std::io::ErrorKind::TimedOut => format!("no answer from {place}"),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                    format!("TLS with {place} failed: {}", secrets.tell_brief(&tls::failure(io), 300))
                }
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                    format!("{place} closed the connection")
                }
                _ => format!("{place} cannot be reached: {}", secrets.tell(&chain(io))),
            };
        }
        source = inner.source();
    }
    if err.is_closed() {
        return format!("the connection to {place} broke");
    }
    format!("{place}: {}", secrets.tell_brief(&chain(err), 300))
}
