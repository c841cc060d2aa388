//! How old an answer is by its own word and that of the caches on its way.

use std::time::SystemTime;

use hyper::{HeaderMap, header};

use crate::core::time::Span;

/// A `Date` that is no older than this, and no further ahead, is of now: clocks differ, and it has no fractions of a second.
const DATE_SLACK: Span = Span::secs(10);

/// How long ago the origin server made the answer, or said that it still holds (RFC 9111 §5.1): the oldest, where several
/// caches say so.
///
/// # Errors
///
/// An age that cannot be read comes back, as `Age: TEXT`. Foreign.
pub(in crate::world::live) fn cache_age(headers: &HeaderMap) -> Result<Option<Span>, String> {
    let ages = headers.get_all(header::AGE).iter().flat_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        value.split(',').map(|age| age.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut oldest = None;
    for age in ages {
        let seconds: u32 = age.parse().map_err(|_| format!("Age: {age}"))?;
        oldest = oldest.max(Some(Span::secs(seconds.into())));
    }
    Ok(oldest)
}

/// What the `Date` of an answer says (RFC 9110 §6.6.1, in any of the three forms of §5.6.7).
pub(in crate::world::live) enum Dated {
    /// It was made now, as far as clocks agree, or there is no date.
    Now,
    /// It was made so long ago: the oldest, where there are several. A cache that tells no age still leaves the date as it was.
    Ago(Span),
    /// It is dated so far ahead, so how old it is cannot be told: the clocks differ.
    Ahead(Span),
}

/// Reads the `Date` of an answer.
///
/// # Errors
///
/// A date that cannot be read comes back, as `Date: TEXT`. Foreign.
pub(in crate::world::live) fn dated(headers: &HeaderMap) -> Result<Dated, String> {
    let now = SystemTime::now();
    let (mut oldest, mut furthest) = (Span::ZERO, Span::ZERO);
    for date in headers.get_all(header::DATE) {
        let text = String::from_utf8_lossy(date.as_bytes());
        let made = httpdate::parse_http_date(text.trim()).map_err(|_| format!("Date: {text}"))?;
        oldest = oldest.max(Span::of(now.duration_since(made).unwrap_or_default()));
        furthest = furthest.max(Span::of(made.duration_since(now).unwrap_or_default()));
    }
    Ok(match (oldest, furthest) {
        (_, ahead) if ahead > DATE_SLACK => Dated::Ahead(ahead),
        (ago, _) if ago > DATE_SLACK => Dated::Ago(ago),
        _ => Dated::Now,
    })
}
