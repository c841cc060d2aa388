//! The `http` probe, which compares latencies, and the `http` action, which sends one request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{ActionDoc, ActionSpec, CheckContext, Complaint, Curve, ProbeDoc, ProbeSpec, TargetUse};
use crate::core::ids::TargetId;
use crate::core::simulate::Change;
use crate::core::syntax::is_word;
use crate::core::target::{self, Target};
use crate::core::time::Span;
use crate::core::value::{Field, Shape};

/// Latency and status of one or more HTTP endpoints, asked in turn so that they can be compared. Statuses of 400
/// and above are errors, as is no answer within the limit; a redirect is an answer and not followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpProbe {
    /// The sides to compare, by name (`old`, `new`): each is an `http` target.
    pub sides: BTreeMap<String, TargetId>,
    /// Path asked on every side.
    #[serde(default = "default_path")]
    pub path: String,
    /// How many of the newest answers on each side the figures are made of. 120 when absent.
    #[serde(default = "default_window")]
    pub window: u32,
}

impl HttpProbe {
    /// Whether an answer with this HTTP status counts as failed: customers are turned away by a 404 as by a 500.
    pub fn fails(status: u16) -> bool {
        status >= 400
    }
}

/// The path that is asked when the runbook names none.
pub(super) fn default_path() -> String {
    "/".to_owned()
}

fn default_window() -> u32 {
    120
}

impl ProbeSpec for HttpProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        let used = |(name, id)| TargetUse { id, kind: "http", path: vec!["sides", name] };
        self.sides.iter().map(|(name, id)| used((name.as_str(), id))).collect()
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        Shape::Record(self.sides.keys().map(|side| side_field(side)).collect())
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = Vec::new();
        if self.sides.is_empty() {
            found.push(Complaint::value(&["sides"], "`sides` is empty", "expected at least one side"));
        }
        for name in self.sides.keys().filter(|name| !is_word(name)) {
            let label = "expected letters, digits and `_`";
            found.push(Complaint::key(&["sides", name], "this cannot name a side", label));
        }
        if self.window == 0 {
            found.push(Complaint::value(&["window"], "`window` is empty", "expected at least 1"));
        }
        found
    }

    fn curves(&self) -> Vec<Curve> {
        self.sides.keys().map(|side| Curve { name: side.clone(), path: format!("{side}.last") }).collect()
    }

    fn sides(&self) -> Option<&BTreeMap<String, TargetId>> {
        Some(&self.sides)
    }

    fn window(&self) -> u32 {
        self.window
    }
}

fn side_field(name: &str) -> Field {
    let before = "nothing has answered yet";
    let figures = vec![
        Field::new("p50", Shape::Float, "median over the window").unit("milliseconds").null(before),
        Field::new("p95", Shape::Float, "95th percentile over the window").unit("milliseconds").null(before),
        Field::new("p99", Shape::Float, "99th percentile over the window").unit("milliseconds").null(before),
        Field::new("last", Shape::Float, "time of the newest request").unit("milliseconds").null(before),
        Field::new(
            "errors",
            Shape::Float,
            "failed requests in the window, 0 to 1: statuses of 400 and above, and no answer",
        )
        .unit("share")
        .null(before),
        Field::new("samples", Shape::Int, "answers in the window").unit("answers"),
        Field::new("status", Shape::Int, "HTTP status of the newest answer")
            .unit("status")
            .null("the newest request was not answered"),
        Field::new("failure", Shape::Text, "why the newest request failed; empty when it did not"),
    ];
    Field::new(name, Shape::Record(figures), "figures of this side")
}

impl ProbeDoc for HttpProbe {
    const EXAMPLE: &'static str = r#"title: Compare the old and the new environment
targets:
  old_web: { http: { url: "https://app.example.com", connect: "192.0.2.10:443" } }
  new_web: { http: { url: "https://app.example.com", connect: "198.51.100.10:443" } }
probes:
  latency: { kind: http, sides: { old: old_web, new: new_web }, path: /healthz, every: 500ms, limit: 3s }
phases:
  - title: Compare
    steps:
      - id: fast-enough
        title: See that the new environment is fast enough
        gates:
          - { that: latency.new.errors == 0.0, hold: 5s }
        action: { wait: { until: { conditions: [latency.new.p95 <= 1.5 * latency.old.p95], within: 10m } } }
        expect: 1m
        reversibility: free
"#;
    const RIGHTS: &'static str = "Whatever the web service asks for; credentials go into the `headers` of its target as secrets. It sends GET only.";

    fn fields() -> Vec<Field> {
        vec![side_field("SIDE")]
    }
}

/// Sends an HTTP request.
///
/// An answer that is no success is a failure, with one exception: after POST and PATCH, which may not be sent twice,
/// 502 and 504 leave the step in doubt, because the gateway does not know what the server behind it has done. So does
/// a connection that is lost, or a limit that passes, after anything but a GET was sent.
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
    /// Statuses that count as success; any 2xx when empty.
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

/// HTTP methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
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

    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
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
        if self.path.starts_with('/') {
            return Vec::new();
        }
        let label = "expected something like `/admin/cutover`";
        vec![Complaint::value(&["path"], "the path does not begin with `/`", label)]
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
    const RIGHTS: &'static str =
        "Whatever the web service asks for; credentials go into the `headers` of its target as secrets.";
}
