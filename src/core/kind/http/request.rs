//! What the `http` probe and the `http` action say of a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expect::HttpExpect;

/// The path that is asked when the runbook names none.
pub(in crate::core::kind) fn default_path() -> String {
    "/".to_owned()
}

/// One kind of request, with what its answer must be like.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestKind {
    /// Path and query.
    pub path: String,
    /// The method.
    pub method: Method,
    /// Headers added to the target's.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Option<String>,
    /// What the answer must be like.
    pub expect: HttpExpect,
}

impl RequestKind {
    /// What is sent and expected, in one line for people. `connections` says over what.
    pub fn told(&self, connections: &str) -> String {
        let mut parts = vec![format!("{} {} {connections}", self.method.as_str(), self.path)];
        if !self.headers.is_empty() {
            let names: Vec<&str> = self.headers.keys().map(String::as_str).collect();
            parts.push(format!("with {}", names.join(", ")));
        }
        parts.extend(self.body.as_ref().map(|body| format!("with a body of {} bytes", body.len())));
        let expected = Some(self.expect.told()).filter(|expected| !expected.is_empty());
        parts.extend(expected.map(|expected| format!("expects {expected}")));
        parts.join(", ")
    }
}

/// HTTP methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the answer to GET without its body.
    Head,
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// Whether sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Method::Post | Method::Patch)
    }

    /// Whether it only asks and changes nothing (RFC 9110 §9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }

    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}
