//! The `http` action: one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::judge::told_of;
use crate::core::job::Outcome;
use crate::core::kind::http::HttpAction;
use crate::core::kind::http::expect::PARTIAL_CONTENT;
use crate::core::latency::RequestFailure;
use crate::core::time::Span;
use crate::world::live::jobs::wait_for_stop;
use crate::world::live::kind::{JobContext, Perform};
use crate::world::live::net::http::{self, Broken, HttpAnswer, HttpRequest, Trace, status_text};
use crate::world::live::waiting::{LimitPassed, within};
use crate::world::live::{Shared, foreign};

/// With these a gateway says that it does not know what the server behind it has done: it had no good answer, or none in time. Those
/// from 520 on are of Cloudflare and of other networks; with 521, 523, 525 and 526 they say that nothing was sent.
const NOT_KNOWN_BEHIND: [u16; 7] = [502, 504, 520, 522, 524, 527, 598];

impl Perform for HttpAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (send(shared, self, job).await, None)
    }
}

async fn send(shared: &Shared, call: &HttpAction, job: JobContext<'_>) -> Outcome {
    let JobContext { report, mut stop, .. } = job;
    let target = match shared.http(&call.target) {
        Ok(target) => target,
        Err(what) => return Outcome::Failed { what },
    };
    let contains = match &call.contains {
        Some(text) => match shared.secrets.reveal(text).await {
            Ok(text) => Some(text),
            Err(what) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        },
        None => None,
    };
    let ask = HttpRequest {
        id: &call.target,
        target,
        method: call.method,
        path: &call.path,
        headers: &call.headers,
        body: call.body.as_deref(),
    };
    let name = format!("{} {} on {}", call.method.as_str(), foreign::brief(&call.path, 80), call.target);
    let mut kept = None;
    let started = Instant::now();
    let mut trace = Trace::default();
    let exchange = http::exchange(&ask, &mut kept, &shared.secrets, &mut trace);
    let cut_short = tokio::select! {
        done = within(started + call.limit.to_std(), exchange) => match done {
            Ok(done) => Ok(done),
            Err(LimitPassed { on: Some(what) }) => {
                return Outcome::Failed { what: format!("{what} gave nothing within {}; nothing was sent", call.limit) };
            }
            Err(LimitPassed { on: None }) => Err(format!("within {}", call.limit)),
        },
        () = wait_for_stop(&mut stop) => Err("before it was stopped".to_owned()),
    };
    let done = cut_short.unwrap_or_else(|when| {
        let sent = trace.sent;
        let what = if sent { format!("no answer {when}") } else { format!("no connection to {} {when}", call.target) };
        Err(Broken { kind: RequestFailure::Silent, what, sent, stale: false, local: false })
    });
    match done {
        Ok(answer) => {
            let millis = |part: Option<Duration>| part.unwrap_or_default().as_millis();
            report.line(&format!(
                "{} (connect {} ms, TLS {} ms, first byte {} ms)",
                status_text(answer.status),
                millis(trace.connect),
                millis(trace.tls),
                millis(trace.first_byte)
            ));
            judge(shared, call, contains.as_deref(), &answer, &name, started)
        }
        Err(broken) if broken.sent && !call.method.is_safe() => {
            Outcome::Unknown { why: format!("{name} may have been carried out: {}", broken.what) }
        }
        Err(broken) if broken.sent => Outcome::Failed { what: format!("{name}: {}", broken.what) },
        Err(broken) => Outcome::Failed { what: format!("{}; nothing was sent", broken.what) },
    }
}

fn judge(
    shared: &Shared,
    call: &HttpAction,
    contains: Option<&str>,
    answer: &HttpAnswer,
    name: &str,
    started: Instant,
) -> Outcome {
    let status = status_text(answer.status);
    let asks_part = |headers: &BTreeMap<String, String>| {
        headers.keys().any(|name| name.eq_ignore_ascii_case(hyper::header::RANGE.as_str()))
    };
    let of_target = shared.http(&call.target).is_ok_and(|target| asks_part(&target.headers));
    let part =
        answer.status.as_u16() == PARTIAL_CONTENT && call.success.is_empty() && !of_target && !asks_part(&call.headers);
    if part {
        return Outcome::Failed { what: format!("{name} answered {status}, with a part that nobody asked for") };
    }
    let good = if call.success.is_empty() {
        answer.status.is_success()
    } else {
        call.success.contains(&answer.status.as_u16())
    };
    let unpacked = http::unpacked(answer);
    let text = unpacked.as_ref().map_or_else(|_| "".into(), |body| String::from_utf8_lossy(body));
    let words = shared.secrets.tell_brief(&text, 200);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    if !good {
        if NOT_KNOWN_BEHIND.contains(&answer.status.as_u16()) && !call.method.is_idempotent() {
            return Outcome::Unknown {
                why: format!("{name} may have been carried out: a gateway answered {status}{said}"),
            };
        }
        let again = answer
            .retry_after
            .as_deref()
            .map_or_else(String::new, |after| format!(", Retry-After {}", shared.secrets.tell_brief(after, 40)));
        return Outcome::Failed { what: format!("{name} answered {status}{again}{said}") };
    }
    let age = http::cache_age(&answer.headers).ok().flatten().filter(|age| *age > Span::ZERO);
    if let Some(said) =
        http::cache_hit(&answer.headers, answer.status).or(age.map(|age| format!("Age: {}", age.0 / 1_000)))
    {
        let said = shared.secrets.tell_brief(&said, 80);
        let what = format!("a cache answered {name} (`{said}`), and the service may not have been asked");
        return if call.method.is_safe() { Outcome::Failed { what } } else { Outcome::Unknown { why: what } };
    }
    if let Some(wanted) = contains
        && !text.contains(wanted)
    {
        let wanted = shared.secrets.tell_brief(wanted, 80);
        if let Err(packed) = &unpacked {
            let why = told_of(packed, &shared.secrets);
            return Outcome::Failed { what: format!("{name} answered {status}, but not whether `{wanted}`: it {why}") };
        }
        let within = if answer.cut { " in its first 1 MiB" } else { "" };
        return Outcome::Failed { what: format!("{name} answered {status} without `{wanted}`{within}{said}") };
    }
    Outcome::Succeeded { summary: format!("{status}, {} ms", started.elapsed().as_millis()) }
}
