//! The `http.json` probe.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Measure;
use crate::core::kind::HttpJsonProbe;
use crate::core::kind::http::Method;
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::net::http::{HttpRequest, Trace, exchange, status_text};
use crate::world::live::{Shared, declared};

impl Measure for HttpJsonProbe {
    type Memory = ();

    async fn measure(&self, shared: &Shared, _: Duration, (): &mut ()) -> Result<Value, Failure> {
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
        if answer.cut {
            return Err(Failure::new(format!("the answer of {place} is longer than 1 MiB")));
        }
        let json = serde_json::from_slice(&answer.body)
            .map_err(|err| Failure::new(format!("the answer of {place} is not JSON: {err}")))?;
        declared::record(&json, &self.fields, "field", &shared.secrets)
    }
}
