//! The fields of a reading of the `http` probe, each with its unit and when it is null.

use crate::core::latency::RequestFailure;
use crate::core::value::{Field, Shape};

/// What a side of a profile has beside its requests.
pub(super) const BESIDE_REQUESTS: [&str; 4] = ["verdict", "needs", "next_in", "why"];

/// The verdict against a baseline; `doc` says whose.
pub(super) fn verdict_field(doc: &'static str) -> Field {
    let null = "the probe names no baseline; or so many requests since the last judgement were not measured that it says nothing any more";
    Field::new("verdict", Shape::Text, doc).words(&["PASS", "FAIL", "INCONCLUSIVE"]).null(null)
}

/// The fields of a side that come from its baseline.
fn judged_fields() -> Vec<Field> {
    let without = "the probe names no baseline";
    let recorded = |name: &str, doc| Field::new(name, Shape::Float, doc).unit("milliseconds").null(without);
    let figures = vec![
        recorded("p50", "its median"),
        recorded("p95", "its 95th percentile"),
        recorded("p99", "its 99th percentile"),
        Field::new("errors", Shape::Float, "its failed requests, 0 to 1").unit("share").null(without),
        Field::new("samples", Shape::Int, "its requests").unit("requests").null(without),
        Field::new("recorded", Shape::Text, "when and where it was made").null(without),
    ];
    vec![
        verdict_field("how it compares with the baseline: `PASS`, `FAIL` or `INCONCLUSIVE`"),
        Field::new(
            "needs",
            Shape::Int,
            "requests missing until the first judgement, or that would have told; 0 otherwise",
        )
        .unit("requests")
        .null("the probe names no baseline, or no number would have told because the baseline has too few"),
        Field::new("next_in", Shape::Int, "requests until the next judgement").unit("requests").null(without),
        Field::new(
            "why",
            Shape::Text,
            "what is worst, or why there is no verdict, in one sentence; empty when it is PASS",
        )
        .null(without),
        Field::new("baseline", Shape::Record(figures), "the recording of the nearest hour, which it is judged against"),
    ]
}

/// A side of a profile: its requests, and what is worst.
pub(super) fn profile_field(name: &str, requests: &[&str]) -> Field {
    let mut fields: Vec<Field> = requests.iter().map(|request| side_field(request)).collect();
    fields.extend(judged_fields().into_iter().filter(|field| BESIDE_REQUESTS.contains(&field.name.as_str())));
    Field::new(name, Shape::Record(fields), "figures of this side, a record for each kind of request")
}

/// The figures of a side, or of one kind of request to it.
pub(super) fn side_field(name: &str) -> Field {
    let none = "nothing in the window was a success, or the newest request was not measured";
    let percentile = |name: &str, doc| Field::new(name, Shape::Float, doc).unit("milliseconds").null(none);
    let part = |name: &str, doc, null| Field::new(name, Shape::Float, doc).unit("milliseconds").null(null);
    let kept = "there is none: no new connection was made";
    let phases = vec![
        part("dns", "looking the name up", "there is none: the address is given, or the connection was kept"),
        part("connect", "the TCP handshake", kept),
        part("tls", "the TLS handshake", "there is none: no new connection was made, or it is plain HTTP"),
        part("first_byte", "from sending the request to the head of the answer", none),
        part("total", "the whole request", none),
    ];
    let total = vec![
        Field::new("requests", Shape::Int, "requests that have ended").unit("requests"),
        Field::new("failed", Shape::Int, "requests that have failed").unit("requests").null("a request is overdue, or the newest was not measured"),
        Field::new("slow", Shape::Int, "requests that took longer than `slow_over`, or failed")
            .unit("requests")
            .null("a request is overdue, the newest was not measured, or the probe does not say `slow_over`"),
        Field::new(
            "not_measured",
            Shape::Int,
            "requests that say nothing of the service: gonogo itself did not run meanwhile, or had no file descriptor left, or a cache answered; they count nowhere else",
        )
        .unit("requests"),
        Field::new(
            "counted_since",
            Shape::Int,
            "when counting began; growth since a step that began before that is not known. `gonogo resume` counts on from the journal: what was due meanwhile is `not_measured`, and what was overdue when gonogo ended has failed",
        )
        .unit("ms since 1970"),
    ];
    let mut figures = vec![
        percentile("p50", "median over the window"),
        percentile("p95", "95th percentile over the window"),
        percentile("p99", "99th percentile over the window"),
        Field::new("last", Shape::Float, "time of the newest request")
            .unit("milliseconds")
            .null("the newest request failed, was not measured, or is overdue"),
        Field::new("errors", Shape::Float, "failed and overdue requests in the window, 0 to 1")
            .unit("share")
            .null("nothing has been answered yet, or the newest request was not measured"),
        Field::new("samples", Shape::Int, "requests in the window that have ended").unit("requests"),
        Field::new("in_flight", Shape::Int, "requests that have not ended").unit("requests"),
        Field::new("oldest_in_flight", Shape::Float, "how long the oldest of them has been waiting")
            .unit("milliseconds")
            .null("none is in flight"),
        Field::new("status", Shape::Int, "HTTP status of the newest answer")
            .unit("status")
            .null("the newest request was not answered, or one is overdue"),
        Field::new(
            "failure",
            Shape::Text,
            "why the newest request failed, or `not measured: …` where it says nothing of the service; empty otherwise",
        ),
        Field::new(
            "common_failure",
            Shape::Text,
            "the most common failure in the window: `not_sent`, `lookup`, `refused`, `unreachable`, `connect_timeout`, `proxy`, `tls`, `timeout`, `unfinished`, `closed`, `no_http`, `head_too_long`, `body_too_long`, `compression_bomb`, `encoding`, `status`, `redirect`, `location`, `text`, `header` or `json`; empty when nothing failed",
        )
        .words(&RequestFailure::WORDS),
        Field::new("address", Shape::Text, "address and port of the newest connection").null("there was none yet"),
        Field::new(
            "address_changes",
            Shape::Int,
            "how often a connection went to an address that the name did not stand for before; holds, the window and the judgement begin anew then",
        )
        .unit("changes"),
        Field::new("moved", Shape::Text, "the newest such change, `OLD → NEW`; empty when there was none"),
        Field::new(
            "unreached",
            Shape::Text,
            "other addresses of the name that were tried first in the newest request and could not be reached, such as `192.0.2.1:443 refused`; empty when the first was",
        ),
        Field::new("protocol", Shape::Text, "protocol of the newest answer, `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`")
            .words(&["HTTP/1.0", "HTTP/1.1", "HTTP/2"])
            .null("the newest request was not answered, or one is overdue"),
        Field::new("phases", Shape::Record(phases), "the parts of a request, each as the median over the window"),
        Field::new("total", Shape::Record(total), "counts since the run began to be measured, for `increase(…)`"),
    ];
    figures.extend(judged_fields());
    Field::new(name, Shape::Record(figures), "figures of this side")
}
