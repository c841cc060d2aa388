//! The `http` action, which sends one request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::request::Method;
use crate::core::ids::TargetId;
use crate::core::kind::spec::{ActionDoc, ActionSpec, CheckContext, Complaint, TargetUse};
use crate::core::simulate::Change;
use crate::core::target::{self, Target};
use crate::core::time::Span;

/// Sends an HTTP request.
///
/// An answer that is no success is a failure, with one exception: after POST and PATCH, which may not be sent twice,
/// 502, 504 and the like (520, 522, 524, 527, 598) leave the step in doubt, because the gateway does not know what the server behind it has
/// done. So does a connection that is lost, or a limit that passes, after anything but a GET was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpAction {
    /// The `http` target.
    pub target: TargetId,
    /// The method; POST when absent.
    #[serde(default)]
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers added to the target's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Statuses that count as success; any 2xx when empty, except 206 where no `Range` header was sent.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Text the answer must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Longest time for the whole exchange. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
    /// What it changes in a rehearsal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

impl ActionSpec for HttpAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "http", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        self.limit
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let place = target::place(&self.target, targets);
        let mut lines = vec![format!("{} {} on {place}", self.method.as_str(), self.path)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
        lines.extend(self.body.iter().flat_map(|body| body.lines().map(|line| format!("  {line}"))));
        lines
    }

    fn terms(&self) -> Vec<String> {
        let good = if self.success.is_empty() {
            "any 2xx".to_owned()
        } else {
            self.success.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        };
        let contains = self.contains.as_ref().map(|text| format!("must contain `{text}`"));
        [self.limit.to_string(), format!("good with status {good}")].into_iter().chain(contains).collect()
    }

    fn tells_by_itself(&self) -> bool {
        true
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = super::headers::wrong_headers(&["headers"], &self.headers);
        found.extend(super::request::wrong_path(&["path"], &self.path));
        found
    }

    fn simulate(&self) -> &[Change] {
        &self.simulate
    }
}

impl ActionDoc for HttpAction {
    const EXAMPLE: &'static str = r#"title: Point the application at the new database
secrets:
  admin_token: { env: SHOP_ADMIN_TOKEN }
targets:
  admin: { http: { url: "https://admin.example.com", headers: { Authorization: "Bearer {{ secrets.admin_token }}" } } }
phases:
  - title: Switch
    steps:
      - id: use-new
        title: Use the new database
        action: { http: { target: admin, path: "/database?use=new", contains: new } }
        undo: { http: { target: admin, path: "/database?use=old", contains: old } }
        reversibility: lossless
        expect: 5s
"#;
    const RIGHTS: &'static str = "Whatever the web service asks for; credentials go into `basic_auth` or the `headers` of its target as secrets.";
}
