//! Connections to the outside: TLS, PostgreSQL, HTTP and name servers, each without a library that hides what happened.

#[cfg(feature = "aws")]
pub(in crate::world::live) mod aws;
pub(in crate::world::live) mod dns;
pub(in crate::world::live) mod host;
pub(in crate::world::live) mod http;
pub(in crate::world::live) mod pg;
pub(in crate::world::live) mod tls;

/// An error with all its causes in one line, each text once.
pub(in crate::world::live) fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}
