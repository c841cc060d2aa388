//! The `http.json` probe.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;

use super::Measure;
use crate::core::kind::HttpJsonProbe;
use crate::core::kind::http::Method;
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::net::http::{HttpRequest, Trace, exchange, status_text};
use crate::world::live::{AsOf, Shared, declared};

/// What is kept from one measurement to the next.
#[derive(Default)]
pub(in crate::world::live) struct KeptDocument {
    /// How old the newest answer was by the word of the caches on its way.
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
        // How long ago the origin server made the answer, or said that it still holds (RFC 9111 §5.1).
        kept.age = match answer.age.as_deref().map(|age| (age, age.trim().parse::<u32>())) {
            None => None,
            Some((_, Ok(seconds))) => Some(AsOf::Age(Span::secs(seconds.into()))),
            Some((age, Err(_))) => {
                let age = shared.secrets.tell_brief(age, 60);
                return Err(Failure::new(format!("the answer of {place} has `Age: {age}`, so its age is unknown")));
            }
        };
        let json = declared::json(&answer.body, &format!("the answer of {place}"), &shared.secrets)?;
        declared::document(&json, &self.fields, &shared.secrets)
    }

    fn as_of(&self, seen: &Value, kept: &KeptDocument) -> Result<Vec<AsOf>, Failure> {
        let told = self.as_of.iter().map(|field| declared::as_of(seen, field));
        told.chain(kept.age.map(Ok)).collect()
    }
}
