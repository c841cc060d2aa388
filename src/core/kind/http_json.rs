//! The `http.json` probe.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::request::default_path;
use super::spec::{
    CheckContext, Complaint, OwnFields, ProbeDoc, ProbeSpec, TargetUse, check_document, declared_fields, declared_shape,
};
use crate::core::document::{DocumentField, DocumentFields};
use crate::core::ids::TargetId;
use crate::core::simulate::Simulated;
use crate::core::value::{Field, Shape};

/// Fields of a JSON document behind an HTTP address.
///
/// When an address answers that the name did not have before, every hold on this probe begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpJsonProbe {
    /// The `http` target.
    pub target: TargetId,
    /// Path of the document.
    #[serde(default = "default_path")]
    pub path: String,
    /// The fields that expressions may use: `NAME: TYPE` for one at the top of the document, `NAME: { type: TYPE, at: /data/in/0 }`
    /// for one that stands elsewhere or has a key that expressions cannot name. `at` is a JSON pointer (RFC 6901).
    /// A text of more than 4,096 characters and a list or an object of more than 1,000 elements are no reading.
    #[schemars(with = "BTreeMap<String, DocumentField>")]
    pub fields: DocumentFields,
    /// The declared field that says when what the document tells was so, and from which the age of a reading counts: text as
    /// RFC 3339, such as `2027-03-14T02:00:00Z`, or seconds since 1970. A time in the future is a failure. The `Age` header of a cache counts as well, the oldest where there are several, and so does a `Date`
    /// header that is more than 10 s old. One that is more than 10 s ahead is a failure, too, and without `as_of` an answer that a cache says it gave (`Cache-Status`, `X-Cache` and the like) and that has no `Age`.
    /// What is renewed less often than readings stay good (two rounds of `every`) leaves gates UNKNOWN in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Whether an answer that a cache says it gave is good, too, also without `Age` and `as_of`: for services with a header that only looks
    /// like the word of a cache. An `Age` and a `Date` count all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

impl ProbeSpec for HttpJsonProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "http", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        declared_shape(self.fields.types())
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let path = super::http::request::wrong_path(&["path"], &self.path);
        check_document(&self.fields, self.as_of.as_deref()).into_iter().chain(path).collect()
    }

    fn as_of(&self) -> Option<&str> {
        self.as_of.as_deref()
    }

    fn own_fields(&self) -> Option<OwnFields<'_>> {
        Some((self.fields.types(), &self.simulate))
    }
}

impl ProbeDoc for HttpJsonProbe {
    const EXAMPLE: &'static str = r#"title: Wait until the job queue is empty
targets:
  jobs: { http: { url: "https://jobs.example.com" } }
probes:
  queue: { kind: http.json, target: jobs, path: /status, fields: { waiting: int, paused: bool } }
phases:
  - title: Drain
    steps:
      - id: drained
        title: Wait until no job is waiting
        gates:
          - { that: queue.paused, hold: 5s }
        action: { wait: { until: { conditions: [queue.waiting == 0], within: 10m } } }
        expect: 1m
        reversibility: free
"#;
    const RIGHTS: &'static str = "Whatever the web service asks for; credentials go into `basic_auth` or the `headers` of its target as secrets. It sends GET only.";

    fn fields() -> Vec<Field> {
        declared_fields()
    }
}
