//! The `http.json` probe.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, StatusCode};

use super::Measure;
use crate::core::kind::HttpJsonProbe;
use crate::core::kind::http::Method;
use crate::core::moves::{AddressWatch, Moves};
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::net::http::{Dated, HttpRequest, Trace, cache_age, cache_hit, dated, exchange, status_text};
use crate::world::live::{AsOf, Shared, declared};

/// What is kept from one measurement to the next.
#[derive(Default)]
pub(in crate::world::live) struct KeptDocument {
    /// How old the newest answer was by its own word and that of the caches on its way.
    age: Option<AsOf>,
    /// Whoever answers under the name of the target.
    addresses: AddressWatch,
}

impl Measure for HttpJsonProbe {
    type Memory = KeptDocument;

    const DESCRIPTORS: u32 = 4;

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
        let mut trace = Trace::default();
        let answer = exchange(&ask, &mut None, &shared.secrets, &mut trace).await;
        if let Some(address) = trace.address {
            let all: Vec<String> = trace.candidates.iter().map(ToString::to_string).collect();
            kept.addresses.take(&address.to_string(), &all, shared.options.clock.now());
        }
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
        let unreadable = |header: &str| {
            let header = shared.secrets.tell_brief(header, 60);
            Failure::new(format!("the answer of {place} has `{header}`, so its age is unknown"))
        };
        let age = cache_age(&answer.headers).map_err(|header| unreadable(&header))?;
        // Some caches date every answer anew, so a `Date` of now says nothing of what they kept.
        if let Some(said) = cache_hit(&answer.headers, answer.status)
            && age.is_none()
            && self.as_of.is_none()
            && !self.cached
        {
            let Failure { what, .. } = unreadable(&said);
            return Err(Failure::new(format!(
                "{what}; name a field that tells its time in `as_of`, or say `cached: true`"
            )));
        }
        let since = match dated(&answer.headers).map_err(|header| unreadable(&header))? {
            Dated::Now => None,
            Dated::Ago(since) => Some(since),
            Dated::Ahead(ahead) => {
                let what = format!("the answer of {place} has a `Date` that is {ahead} from now: the clocks differ");
                return Err(Failure::new(format!("{what}, so its age is unknown")));
            }
        };
        kept.age = age.max(since).map(AsOf::Age);
        let json = declared::json(&answer.body, &format!("the answer of {place}"), &shared.secrets)?;
        declared::document(&json, &self.fields, &shared.secrets)
    }

    fn as_of(&self, seen: &Value, kept: &KeptDocument) -> Result<Vec<AsOf>, Failure> {
        let told = self.as_of.iter().map(|field| declared::as_of(seen, field));
        told.chain(kept.age.map(Ok)).collect()
    }

    fn recall_answerer(&self, moves: &Moves, kept: &mut KeptDocument) {
        kept.addresses.take_up(moves.clone());
    }

    fn moves(&self, kept: &KeptDocument) -> Moves {
        kept.addresses.moves().clone()
    }
}

/// The values of a header, also where it stands several times or lists several.
fn words(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let words = values.flat_map(|value| value.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>());
    words.filter(|word| !word.is_empty()).map(|word| word.to_ascii_lowercase())
}
