//! The `http` probe, which compares latencies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expect::HttpExpect;
use super::fields::{BESIDE_REQUESTS, profile_field, side_field, verdict_field};
use super::request::{Method, ProfileRequest, default_path, get, is_get};
use crate::core::ids::TargetId;
use crate::core::kind::spec::{AskedRequests, CheckContext, Complaint, Curve, ProbeDoc, ProbeSpec, TargetUse};
use crate::core::moves::Moves;
use crate::core::syntax::is_word;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::{Field, Shape, Value};

/// Latency and errors of one or more web services, asked on one timetable so that they can be compared.
///
/// Each side is asked at fixed moments, whether or not earlier requests were answered, and the time of a request counts
/// from the moment at which it was meant to be sent: a service that stalls is seen as its customers see it. An answer
/// that is as `expect` says is a success; without a word, one with a status of 2xx. Anything else is a failure: another
/// status (a redirect too), a body longer than 1 MiB as it comes or unpacked, a broken connection, a certificate that is not
/// valid, no answer within the limit. Percentiles are over successes; requests that ran into
/// the limit, and requests in flight that have waited longer than most, count with the time they waited. A request that
/// has been in flight for a second, and for twice as long as 99 of 100 successes of the window took, counts as failed until
/// it is answered; when three requests in a row have had no answer, of whatever kinds, twice as long as the median is enough, and the other kinds have
/// no figures meanwhile.
///
/// A request that says nothing of the service is not measured, and neither a failure nor slow: one that was due or in flight
/// while gonogo itself did not run (stopped, or on a machine that slept), one that could not be sent because no file descriptor
/// was left here, and one that was answered well out of a cache (with an `Age` header
/// above 0, with the word of a cache: `hit`, or a `fwd-status` other than that of the answer, in `Cache-Status` (RFC 9211), `HIT` in `X-Cache`,
/// `CF-Cache-Status`, `Server-Timing: cdn-cache` and the like, a second number in `X-Varnish`, `Warning: 110`, or with a `Date`
/// that stands still for more than 3 s), unless `expect` says `cached: true`. What is not as expected is a failure also out of a cache:
/// customers get it. It is counted in `total.not_measured`. While the newest request is such a one there are no figures, so that older
/// ones do not pass for present ones.
///
/// A verdict against a baseline is of the requests that were judged, and stands until the next `judge_over` requests are: while all are
/// measured, there is always one. When a window and a tenth of another one have been due since and were not judged, because too many of
/// them were not measured, `verdict` is null, and `why` says so. A judgement is made over requests of at most four windows' time.
///
/// When a connection goes to an address that the name of a side did not stand for before, somebody else may answer: the window of that
/// side begins anew (its figures are of the new answers only), and so does its judgement, which is `INCONCLUSIVE` until it is made. The
/// counts in `total` go on. Addresses that a name has together, or in turn, are one and the same. Of a name that gives more than eight in
/// turn, one that is new is somebody else at once where new ones have become rare, and else when it stays for longer than turns took or when more new
/// ones come than were to be expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpProbe {
    /// The sides to compare, by name (`old`, `new`): each is an `http` target.
    pub sides: BTreeMap<String, HttpSide>,
    /// Path asked on every side.
    #[serde(default = "default_path")]
    pub path: String,
    /// The method; GET when absent. Another than GET and HEAD acts on the target with every measurement; `gonogo watch` and
    /// `gonogo baseline record` refuse it without `--acting-probes`.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: Method,
    /// Headers added to the target's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What an answer must be like to count as a success; any 2xx when absent.
    #[serde(default, skip_serializing_if = "HttpExpect::is_default")]
    pub expect: HttpExpect,
    /// Several kinds of request by name, in place of `path`, `method`, `headers`, `body` and `expect`. In each round one of them
    /// is sent to every side, as their weights say. Each is measured and judged for itself: its figures are
    /// `SIDE.NAME.p95` and so on, and nothing is pooled. A reading is as old as the request that was asked longest ago, and goes
    /// stale by the time in which all of them have their turn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, ProfileRequest>,
    /// How many of the newest answers on each side the figures are made of; of each kind of request. 120 when absent.
    #[serde(default = "default_window")]
    pub window: u32,
    /// The time over which a request counts as slow in `SIDE.total.slow`, as a failed one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over: Option<Span>,
    /// Whether each request gets a connection of its own.
    #[serde(default)]
    pub connections: Connections,
    /// The file of the latency baseline that every side is judged against, beside the runbook. `gonogo baseline record` makes
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// How many requests on each side one judgement against the baseline is made over, at least 300. 600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_over: Option<u32>,
}

/// A side: the name of a target, or a target with what is special about this side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HttpSide {
    /// The `http` target.
    Target(TargetId),
    /// The `http` target with settings of its own. The same target may stand on two sides with different ones.
    With(SideSettings),
}

/// A target, and what is special about this side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideSettings {
    /// The `http` target.
    pub target: TargetId,
    /// Whether each request gets a connection of its own; as the probe says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
}

impl HttpSide {
    /// The target.
    pub fn target(&self) -> &TargetId {
        match self {
            HttpSide::Target(target) | HttpSide::With(SideSettings { target, .. }) => target,
        }
    }
}

impl From<&str> for HttpSide {
    fn from(target: &str) -> Self {
        HttpSide::Target(target.into())
    }
}

/// What requests are sent over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// A new connection for every request, as a new customer makes it: name, TCP and TLS are part of the time.
    #[default]
    Fresh,
    /// Connections are kept between requests, at most a minute. The name is looked up every few seconds; when it no longer
    /// stands for the address, the connection is given up. Where the service ends an idle connection just when it is used, a
    /// request that may be sent twice is sent again on a new one; where it had the request, that is a failure.
    Kept,
}

impl HttpProbe {
    /// How many requests may be in flight at once on each side. One more is a failed request that was not sent.
    pub const MOST_IN_FLIGHT: usize = 128;

    /// A probe of these sides, with defaults for everything else.
    pub fn of(sides: impl IntoIterator<Item = (String, HttpSide)>) -> Self {
        Self {
            sides: sides.into_iter().collect(),
            path: default_path(),
            method: Method::Get,
            headers: BTreeMap::new(),
            body: None,
            expect: HttpExpect::default(),
            requests: BTreeMap::new(),
            window: default_window(),
            slow_over: None,
            connections: Connections::default(),
            baseline: None,
            judge_over: None,
        }
    }

    /// How many requests on each side one judgement against the baseline is made over.
    pub fn judged_over(&self) -> u32 {
        self.judge_over.unwrap_or(JUDGE_OVER)
    }

    /// Whether it sends several kinds of request, whose figures stand apart.
    pub fn is_profile(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Its kinds of request, with the names under which they are measured. The only one is named by its path.
    pub fn kinds(&self) -> Vec<(String, ProfileRequest)> {
        if self.is_profile() {
            return self.requests.iter().map(|(name, request)| (name.clone(), request.clone())).collect();
        }
        let only = ProfileRequest {
            path: self.path.clone(),
            method: self.method,
            headers: self.headers.clone(),
            body: self.body.clone(),
            expect: self.expect.clone(),
            weight: 1,
        };
        vec![(self.path.clone(), only)]
    }

    /// How many of the newest requests of one kind to one side matter to a reading.
    pub fn kept(&self) -> u32 {
        // A verdict is made over a whole window that began at any time.
        let judged = self.baseline.as_ref().map_or(0, |_| self.judged_over().saturating_mul(2));
        self.window.max(judged)
    }

    /// How many rounds it takes until every kind of request was sent `count` times to each side.
    pub fn rounds(&self, count: u32) -> u32 {
        let weights = || self.requests.values().map(|request| request.weight.max(1));
        let all = weights().fold(0, u32::saturating_add);
        let rounds = weights().map(|weight| (u64::from(count) * u64::from(all)).div_ceil(weight.into()));
        rounds.max().map_or(count, |rounds| u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Each kind of request on each side: the name on screen, the path of its figures in a reading, and the name of the side.
    pub fn series(&self) -> Vec<(String, String, &str)> {
        let of_side = |side: &'_ String| -> Vec<(String, String)> {
            if !self.is_profile() {
                return vec![(side.clone(), side.clone())];
            }
            self.requests.keys().map(|name| (format!("{side} {name}"), format!("{side}.{name}"))).collect()
        };
        let all =
            self.sides.keys().flat_map(|side| of_side(side).into_iter().map(move |(name, path)| (name, path, side)));
        all.map(|(name, path, side)| (name, path, side.as_str())).collect()
    }

    /// What requests to a side are sent over.
    pub fn connections_of(&self, side: &HttpSide) -> Connections {
        match side {
            HttpSide::Target(_) => self.connections,
            HttpSide::With(settings) => settings.connections.unwrap_or(self.connections),
        }
    }
}

fn default_window() -> u32 {
    120
}

/// Requests that one judgement is made over.
const JUDGE_OVER: u32 = 600;
/// The fewest: of 299 requests the slowest is above p99 with 95 % confidence, so that with fewer there is never a PASS.
const JUDGE_OVER_LEAST: u32 = 300;
/// What the verdict beside the sides says.
const WORST: &str = "how the worst side compares with the baseline: `PASS`, `FAIL` or `INCONCLUSIVE`";
/// What a reading has beside its sides.
const BESIDE_SIDES: [&str; 1] = ["verdict"];

impl HttpProbe {
    /// What is to be said of a field that is null for ever as the probe and its targets are written.
    fn never_known(&self, path: &str, targets: &BTreeMap<TargetId, Target>) -> Option<(String, String)> {
        if path.ends_with("total.slow") && self.slow_over.is_none() {
            let message = format!("`{path}` is never known: the probe does not say `slow_over`, so this is never GO");
            return Some((message, "say `slow_over: 500ms` in the probe".to_owned()));
        }
        let (of, phase) = path.split_once(".phases.")?;
        let side = self.sides.get(of.split('.').next()?)?;
        let Some(Target::Http(target)) = targets.get(side.target()) else { return None };
        let why = match phase {
            "tls" if !target.is_secure() => "its target is plain HTTP",
            "dns" if !target.is_looked_up() => "its target is an address",
            "dns" | "connect" | "tls" if self.connections_of(side) == Connections::Kept => {
                "connections are kept, and few of them are new"
            }
            _ => return None,
        };
        let message = format!("`{path}` is not known: {why}, so this is not GO");
        Some((message, "ask for `phases.total`".to_owned()))
    }
}

impl ProbeSpec for HttpProbe {
    fn moves(&self, reading: &Value) -> BTreeMap<String, Moves> {
        let of_side = |side: &Value| {
            if !self.is_profile() {
                return Moves::of(side, "address_changes");
            }
            // All kinds of request of a side know of the same moves.
            let of_kinds = self.requests.keys().filter_map(|name| Moves::of(side.at(name)?, "address_changes"));
            of_kinds.max_by_key(|moves| moves.count)
        };
        self.sides.keys().filter_map(|name| Some((name.clone(), of_side(reading.at(name)?)?))).collect()
    }

    fn kept_unknown_by(&self, field: &str, reading: &Value) -> Option<String> {
        let (of, field) = field.rsplit_once('.').map_or((None, field), |(of, field)| (Some(of), field));
        let said =
            |record: &Value, field: &str| record.at(field)?.text().filter(|why| !why.is_empty()).map(str::to_owned);
        match (of, field) {
            (Some(of), "verdict") => said(reading.at(of)?, "why"),
            (Some(of), _) => said(reading.at(of)?, "failure"),
            (None, "verdict") => {
                let sides = self.sides.keys().filter_map(|name| Some((name, reading.at(name)?)));
                let mut unknown = sides.filter(|(_, side)| side.at("verdict") == Some(&Value::Null));
                unknown.find_map(|(name, side)| Some(format!("{name} {}", said(side, "why")?)))
            }
            (None, _) => None,
        }
    }

    fn rounds(&self) -> u64 {
        let weights = || self.requests.values().map(|request| u64::from(request.weight.max(1)));
        match weights().min() {
            Some(rarest) if self.is_profile() => weights().sum::<u64>().div_ceil(rarest),
            _ => 1,
        }
    }

    fn targets(&self) -> Vec<TargetUse<'_>> {
        fn used<'p>((name, side): (&'p String, &'p HttpSide)) -> TargetUse<'p> {
            let path = match side {
                HttpSide::Target(_) => vec!["sides", name],
                HttpSide::With(_) => vec!["sides", name, "target"],
            };
            TargetUse { id: side.target(), kind: "http", path }
        }
        self.sides.iter().map(used).collect()
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        let names: Vec<&str> = self.requests.keys().map(String::as_str).collect();
        let side = |name: &String| match names.as_slice() {
            [] => side_field(name),
            names => profile_field(name, names),
        };
        Shape::Record(self.sides.keys().map(side).chain([verdict_field(WORST)]).collect())
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
        for name in self.sides.keys().filter(|name| BESIDE_SIDES.contains(&name.as_str())) {
            found.push(Complaint::key(
                &["sides", name],
                "this cannot name a side",
                "the reading has a field of this name",
            ));
        }
        if self.judge_over.is_some() && self.baseline.is_none() {
            let label = "expected a `baseline` beside it";
            found.push(Complaint::key(&["judge_over"], "there is no baseline to judge against", label));
        }
        if self.judged_over() < JUDGE_OVER_LEAST {
            let label = format!("expected at least {JUDGE_OVER_LEAST}");
            found.push(Complaint::value(&["judge_over"], "so few requests can never pass", label));
        }
        found.extend(super::request::wrong_path(&["path"], &self.path));
        found.extend(super::headers::wrong_headers(&["headers"], &self.headers));
        found.extend(self.expect.check(&["expect"], self.method == Method::Head));
        found.extend(self.check_profile());
        if self.window == 0 {
            found.push(Complaint::value(&["window"], "`window` is empty", "expected at least 1"));
        }
        found
    }

    fn warnings(&self, every: Span) -> Vec<Complaint> {
        let mut found = Vec::new();
        let mut methods = vec![(self.method, vec!["method"])];
        methods.extend(self.requests.iter().map(|(name, of)| (of.method, vec!["requests", name, "method"])));
        found.extend(methods.iter().filter(|(method, _)| !method.is_safe()).map(|(method, path)| acts(*method, path)));
        found.extend(self.too_slow(every));
        found
    }

    fn path_warning(&self, path: &str, targets: &BTreeMap<TargetId, Target>) -> Option<(String, String)> {
        let last = path.rsplit('.').next().unwrap_or_default();
        let of_baseline = BESIDE_REQUESTS.contains(&last) || path.contains(".baseline.");
        if self.baseline.is_none() && of_baseline {
            let message = format!("`{path}` is never known: the probe names no `baseline`");
            return Some((message, "name one in the probe (`gonogo baseline record` makes it), or compare its sides: `SIDE.p95 <= 1.2 * OTHER.p95`".to_owned()));
        }
        if let Some(never) = self.never_known(path, targets) {
            return Some(never);
        }
        let (_, figure) = path.rsplit_once('.')?;
        let least = match figure {
            "p99" => 100,
            "p95" => 20,
            _ => return None,
        };
        (self.window < least).then(|| {
            let message = format!("{figure} over {} requests is the slowest of them", self.window);
            (message, format!("say `window: {least}` or more in the probe, or ask for another percentile"))
        })
    }

    fn curves(&self) -> Vec<Curve> {
        let curve = |(name, path, _): (String, String, _)| Curve {
            name,
            unit: "ms",
            failure: Some(format!("{path}.failure")),
            path: format!("{path}.last"),
        };
        self.series().into_iter().map(curve).collect()
    }

    fn sides(&self) -> Vec<(&str, &TargetId)> {
        self.sides.iter().map(|(name, side)| (name.as_str(), side.target())).collect()
    }

    fn window(&self) -> u32 {
        self.rounds(self.kept())
    }

    fn acts(&self) -> Option<String> {
        let method = self.kinds().into_iter().map(|(_, request)| request.method).find(|method| !method.is_safe())?;
        let targets: Vec<&str> = self.sides.values().map(|side| side.target().as_str()).collect();
        Some(format!("sends {} to {}", method.as_str(), targets.join(", ")))
    }

    fn requests(&self) -> Option<AskedRequests<'_>> {
        let asked = Self {
            sides: BTreeMap::new(),
            window: default_window(),
            slow_over: None,
            baseline: None,
            judge_over: None,
            ..self.clone()
        };
        let connections = match self.connections {
            Connections::Fresh => "on fresh connections",
            Connections::Kept => "on kept connections",
        };
        let kinds = self.kinds();
        Some(AskedRequests {
            sides: self.sides.keys().map(String::as_str).collect(),
            names: kinds.iter().map(|(name, _)| name.clone()).collect(),
            asks: kinds
                .iter()
                .map(|(name, request)| {
                    let name = if self.is_profile() { format!("{name}: ") } else { String::new() };
                    name + &request.told(connections)
                })
                .collect(),
            // Nothing in it fails to be written as JSON.
            asked: serde_json::to_string(&asked).unwrap_or_default(),
            baseline: self.baseline.as_deref(),
            judge_over: self.judged_over(),
        })
    }
}

/// Figures that look back further than this tell of another time.
const LONG_WINDOW: Span = Span::secs(30 * 60);

impl HttpProbe {
    fn check_profile(&self) -> Vec<Complaint> {
        let mut found = Vec::new();
        if !self.is_profile() {
            return found;
        }
        let plain = [
            ("path", self.path != default_path()),
            ("method", self.method != Method::Get),
            ("headers", !self.headers.is_empty()),
            ("body", self.body.is_some()),
            ("expect", !self.expect.is_default()),
        ];
        for (key, _) in plain.into_iter().filter(|(_, said)| *said) {
            let message = format!("`{key}` says nothing about any of the `requests`");
            found.push(Complaint::key(&[key], message, "expected it under each of the requests"));
        }
        for (name, request) in &self.requests {
            if !is_word(name) {
                let label = "expected letters, digits and `_`";
                found.push(Complaint::key(&["requests", name], "this cannot name a request", label));
            } else if BESIDE_REQUESTS.contains(&name.as_str()) {
                let label = "the reading has a field of this name";
                found.push(Complaint::key(&["requests", name], "this cannot name a request", label));
            }
            found.extend(super::request::wrong_path(&["requests", name, "path"], &request.path));
            found.extend(super::headers::wrong_headers(&["requests", name, "headers"], &request.headers));
            found.extend(request.expect.check(&["requests", name, "expect"], request.method == Method::Head));
        }
        found
    }

    /// Windows that take so long to fill at this pace that they tell of another time.
    fn too_slow(&self, every: Span) -> Vec<Complaint> {
        let lasts = |count: u32| Span(every.0.saturating_mul(self.rounds(count).into()));
        let pace = if self.is_profile() {
            format!("one of {} requests every {every}", self.requests.len())
        } else {
            format!("one request every {every}")
        };
        let help = "say a shorter `every`, or a smaller number";
        let mut found = Vec::new();
        if lasts(self.window) > LONG_WINDOW {
            let message = format!("the window of {} requests looks back {}", self.window, lasts(self.window));
            let label = format!("at {pace} it takes that long to fill, and to forget");
            found.push(Complaint::value(&["window"], message, label).help(help));
        }
        if self.baseline.is_some() && lasts(self.judged_over()) > LONG_WINDOW {
            let (over, lasts) = (self.judged_over(), lasts(self.judged_over()));
            let message = format!("a verdict over {over} requests takes {lasts}");
            let path = if self.judge_over.is_some() { "judge_over" } else { "baseline" };
            let label = format!("at {pace} it takes that long from one verdict to the next");
            found.push(Complaint::value(&[path], message, label).help(help));
        }
        found
    }
}

/// A probe is for looking.
fn acts(method: Method, path: &[&str]) -> Complaint {
    let message = format!("this probe acts on its targets: it sends {} with every measurement", method.as_str());
    let help = "it is sent whenever the runbook is run, and with `--acting-probes` when it is watched or a baseline is recorded: make sure that the target takes it as a test";
    Complaint::value(path, message, "neither GET nor HEAD").help(help)
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
    const RIGHTS: &'static str = "Whatever the web service asks for; credentials go into `basic_auth` or the `headers` of its target as secrets. With a `method` other than GET and HEAD it acts on the service.";

    fn fields() -> Vec<Field> {
        vec![side_field("SIDE"), verdict_field(WORST)]
    }
}
