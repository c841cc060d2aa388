//! What the `http` probe expects of an answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::kind::spec::Complaint;
use crate::core::simulate::Literal;

/// What an answer must be like to count as a success. Everything that is said here must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpExpect {
    /// The good statuses. Any 2xx when absent, or any 3xx when `location` is given. A redirect is good only so: when its
    /// status is named, or its `location`. So is 206, a part of the answer, where no `Range` header was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Whether an answer out of a cache (with an `Age` header above 0, the word of a cache or a `Date` that stands still) is good, too: it shows what customers get, and not that the
    /// service is up. Otherwise such a request is not measured.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cached: bool,
    /// Where a redirect leads to: the `Location` header, exactly as it comes. Redirects are never followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Text that the body contains. A page that says that the shop is closed may have the status 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Headers of the answer by name, each with a text that its value contains; an empty text when it only has to be there. One
    /// that stands several times must contain it each time, except `Set-Cookie`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// Fields of a JSON body, each with its value. `checks.0.ok` leads into objects by key and into lists by position (from 0).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Literal>,
}

impl HttpExpect {
    /// Whether nothing is said, so that any 2xx is good.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the body of an answer matters.
    pub fn reads_body(&self) -> bool {
        self.contains.is_some() || !self.json.is_empty()
    }

    /// Whether an answer with this HTTP status is good, as far as the status tells: customers are turned away by a 404 as by
    /// a 500, and a redirect may lead to a page that says that the shop is closed.
    pub fn accepts(&self, status: u16) -> bool {
        match (self.status.as_slice(), &self.location) {
            ([], None) => (200..300).contains(&status) && status != PARTIAL_CONTENT,
            ([], Some(_)) => is_redirect(status),
            (named, _) => named.contains(&status),
        }
    }

    /// The same for a request that asked for a part of the answer (RFC 9110 §14.2).
    pub fn accepts_part(&self, status: u16) -> bool {
        self.accepts(status) || status == PARTIAL_CONTENT && self.status.is_empty() && self.location.is_none()
    }

    /// A status that is good, for a rehearsal.
    pub fn good_status(&self) -> u16 {
        match (self.status.first(), &self.location) {
            (Some(status), _) => *status,
            (None, Some(_)) => 302,
            (None, None) => 200,
        }
    }

    /// What is expected, for people: `200 or 204, body with "ok"`. Empty when nothing is said.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        if !self.status.is_empty() {
            parts.push(self.status.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "));
        }
        if self.cached {
            parts.push("also out of a cache".to_owned());
        }
        parts.extend(self.location.iter().map(|to| format!("a redirect to {to}")));
        parts.extend(self.contains.iter().map(|text| format!("a body with {text:?}")));
        parts.extend(self.header.iter().map(|(name, text)| match text.as_str() {
            "" => format!("a header {name}"),
            text => format!("a header {name} with {text:?}"),
        }));
        parts.extend(self.json.iter().map(|(path, value)| format!("{path} = {value}")));
        parts.join(", ")
    }

    /// What is wrong with it, at `path` below the probe.
    pub(super) fn check(&self, path: &[&str], without_body: bool) -> Vec<Complaint> {
        let below = |key| path.iter().copied().chain([key]).collect::<Vec<_>>();
        let mut found = Vec::new();
        for (at, status) in self.status.iter().enumerate().filter(|(_, status)| !(200..600).contains(*status)) {
            let (at, place) = (at.to_string(), below("status"));
            let place: Vec<&str> = place.into_iter().chain([at.as_str()]).collect();
            found.push(Complaint::value(&place, format!("{status} is no status of an answer"), "expected 200 to 599"));
        }
        if self.location.is_some() && !self.status.is_empty() && !self.status.iter().any(|status| is_redirect(*status))
        {
            let label = "expected a 3xx among the statuses, or none named";
            found.push(Complaint::value(&below("location"), "no status that is good is a redirect", label));
        }
        if self.contains.as_deref() == Some("") {
            let label = "expected a text that a good page has";
            found.push(Complaint::value(&below("contains"), "every body contains the empty text", label));
        }
        for key in [("contains", self.contains.is_some()), ("json", !self.json.is_empty())] {
            if let (key, true) = key
                && without_body
            {
                found.push(Complaint::key(&below(key), "the answer to HEAD has no body", "nothing to look into"));
            }
        }
        found
    }
}

/// The status of an answer that is a part of the whole (RFC 9110 §15.3.7).
pub const PARTIAL_CONTENT: u16 = 206;

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_false(is: &bool) -> bool {
    !is
}

/// Whether a status is one of a redirect.
pub fn is_redirect(status: u16) -> bool {
    (300..400).contains(&status)
}
