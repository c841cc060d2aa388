//! The `http.json` probe.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, StatusCode};

use super::Measure;
use crate::core::kind::HttpJsonProbe;
use crate::core::kind::http::Method;
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::net::http::{HttpRequest, Trace, exchange, status_text};
use crate::world::live::{AsOf, Shared, declared};

/// A `Date` that is no older than this is of now: clocks differ, and it has no fractions of a second.
const DATE_SLACK: Span = Span::secs(10);

/// What is kept from one measurement to the next.
#[derive(Default)]
pub(in crate::world::live) struct KeptDocument {
    /// How old the newest answer was by its own word and that of the caches on its way.
    age: Option<AsOf>,
}

impl Measure for HttpJsonProbe {
    type Memory = KeptDocument;

    async fn measure(&self, shared: &Shared, _: Duration, kept: &mut KeptDocument) -> Result<Value, Failure> {
        kept.age = None;
        let target = shared.http(&self.target).map_err(Failure::new)?;
        let ask = HttpRequest {
            id: &self.target,
            target,
            method: Method::Get,
            path: &self.path,
            headers: &BTreeMap::new(),
            body: None,
        };
        // Each time on a connection of its own: a kept one would go on asking whoever the name once stood for.
        let answer = exchange(&ask, &mut None, &shared.secrets, &mut Trace::default()).await;
        let answer = answer.map_err(|broken| Failure::new(broken.what))?;
        let place = &self.target;
        if !answer.status.is_success() {
            return Err(Failure::new(format!("{place} answers {}", status_text(answer.status))));
        }
        // A range that nobody asked for (RFC 9110 §15.3.7): the rest is missing.
        if answer.status == StatusCode::PARTIAL_CONTENT {
            return Err(Failure::new(format!(
                "{place} answers with a part of the document: {}",
                status_text(answer.status)
            )));
        }
        if answer.cut {
            return Err(Failure::new(format!("the answer of {place} is longer than 1 MiB")));
        }
        let encoding = words(&answer.headers, &header::CONTENT_ENCODING).find(|word| word != "identity");
        if let Some(encoding) = encoding {
            let encoding = shared.secrets.tell_brief(&encoding, 60);
            return Err(Failure::new(format!("the answer of {place} is packed as {encoding}, which nobody asked for")));
        }
        let unreadable = |name: &str, value: &str| {
            let value = shared.secrets.tell_brief(value, 60);
            Failure::new(format!("the answer of {place} has `{name}: {value}`, so its age is unknown"))
        };
        let age = age(&answer.headers).map_err(|age| unreadable("Age", &age))?;
        let since = since(&answer.headers).map_err(|date| unreadable("Date", &date))?;
        kept.age = age.max(since).map(AsOf::Age);
        let json = declared::json(&answer.body, &format!("the answer of {place}"), &shared.secrets)?;
        declared::document(&json, &self.fields, &shared.secrets)
    }

    fn as_of(&self, seen: &Value, kept: &KeptDocument) -> Result<Vec<AsOf>, Failure> {
        let told = self.as_of.iter().map(|field| declared::as_of(seen, field));
        told.chain(kept.age.map(Ok)).collect()
    }
}

/// The values of a header, also where it stands several times or lists several.
fn words(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let words = values.flat_map(|value| value.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>());
    words.filter(|word| !word.is_empty()).map(|word| word.to_ascii_lowercase())
}

/// How long ago the origin server made the answer, or said that it still holds (RFC 9111 §5.1): the oldest, where several
/// caches say so. One that cannot be read comes back.
fn age(headers: &HeaderMap) -> Result<Option<Span>, String> {
    let ages = headers.get_all(header::AGE).iter().flat_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        value.split(',').map(|age| age.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut oldest = None;
    for age in ages {
        let seconds: u32 = age.parse().map_err(|_| age.clone())?;
        oldest = oldest.max(Some(Span::secs(seconds.into())));
    }
    Ok(oldest)
}

/// How long ago the answer was made by its `Date` (RFC 9110 §6.6.1, in any of the three forms of §5.6.7), as far as that is more
/// than clocks differ by: the oldest, where there are several. A cache that tells no age still leaves the date as it was.
/// One that cannot be read comes back.
fn since(headers: &HeaderMap) -> Result<Option<Span>, String> {
    let mut oldest = None;
    for date in headers.get_all(header::DATE) {
        let text = String::from_utf8_lossy(date.as_bytes());
        let made = httpdate::parse_http_date(text.trim()).map_err(|_| text.clone().into_owned())?;
        // A date in the future is a clock that differs.
        let since = Span::of(std::time::SystemTime::now().duration_since(made).unwrap_or_default());
        oldest = oldest.max(Some(since));
    }
    Ok(oldest.filter(|since| *since > DATE_SLACK))
}
