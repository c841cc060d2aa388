//! Whether an answer is what the `http` probe expects.

use std::borrow::Cow;
use std::time::Duration;

use hyper::header;
use serde_json::Value as Json;

use crate::core::ids::TargetId;
use crate::core::kind::http::HttpExpect;
use crate::core::kind::http::expect::{PARTIAL_CONTENT, is_redirect};
use crate::core::latency::RequestFailure;
use crate::core::simulate::Literal;
use crate::core::time::Span;
use crate::world::live::declared;
use crate::world::live::net::http::{HttpAnswer, Packed, cache_age, cache_hit, unpacked};
use crate::world::live::secrets::Secrets;

/// Characters of foreign text in a sentence.
const QUOTED: usize = 80;

/// Why an answer tells nothing of the service: it comes out of a cache, and nobody said that this is good enough.
pub(super) fn out_of_cache(
    expect: &HttpExpect,
    (answer, date_stood): (&HttpAnswer, Option<Duration>),
    target: &TargetId,
    secrets: &Secrets,
) -> Option<String> {
    if expect.cached {
        return None;
    }
    let cached = |how: String| {
        Some(format!("the answer of {target} comes out of a cache{how} (`cached: true` in `expect` allows it)"))
    };
    match cache_age(&answer.headers) {
        Ok(Some(age)) if age > Span::ZERO => cached(format!(" and is {} s old", age.0 / 1_000)),
        Ok(_) => match (cache_hit(&answer.headers, answer.status), date_stood) {
            (Some(said), _) => cached(format!(", which says `{}`", secrets.tell_brief(&said, QUOTED))),
            (None, Some(stood)) => cached(format!(": its `Date` has stood still for {} s", stood.as_secs())),
            (None, None) => None,
        },
        Err(header) => {
            let header = secrets.tell_brief(&header, QUOTED);
            Some(format!("the answer of {target} has `{header}`, so its age is unknown"))
        }
    }
}

/// Holds an answer, and whether a part of it was asked for, against what is expected of it: nothing, or the kind of failure and a
/// sentence that is fit to be shown.
pub(super) fn judge(
    expect: &HttpExpect,
    (answer, asked_part): (&HttpAnswer, bool),
    target: &TargetId,
    secrets: &Secrets,
) -> Result<(), (RequestFailure, String)> {
    let status = answer.status.as_u16();
    let told = |text: &str| secrets.tell_brief(text, QUOTED);
    let values = |name: &str| {
        let all = answer.headers.get_all(name).into_iter();
        all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let location = values(header::LOCATION.as_str());
    let accepted = if asked_part { expect.accepts_part(status) } else { expect.accepts(status) };
    if !accepted {
        return Err(match location.first().filter(|_| is_redirect(status)) {
            Some(to) => (RequestFailure::Redirect, format!("{target} answers {status}, to {}", told(to))),
            None if is_redirect(status) => (RequestFailure::Redirect, format!("{target} answers {status}")),
            None if status == PARTIAL_CONTENT && expect.accepts_part(status) => {
                (RequestFailure::Status, format!("{target} answers {status}, with a part that nobody asked for"))
            }
            None => (RequestFailure::Status, format!("{target} answers {status}")),
        });
    }
    if let Some(wanted) = &expect.location
        && (location.is_empty() || location.iter().any(|to| to != wanted))
    {
        let other = location.iter().find(|to| *to != wanted);
        let instead = other.map_or_else(|| "nowhere".to_owned(), |to| format!("to {}", told(to)));
        let what = format!("{target} answers {status}, {instead} and not to {}", told(wanted));
        return Err((RequestFailure::Location, what));
    }
    for (name, wanted) in &expect.header {
        let there = values(name);
        let good = |value: &String| value.contains(wanted);
        // Each cookie has a line of its own (RFC 6265 §3); other headers say one thing, so all of their lines must.
        let any = name.eq_ignore_ascii_case(header::SET_COOKIE.as_str());
        let Some(other) = there.iter().find(|value| !good(value)) else {
            if !there.is_empty() {
                continue;
            }
            let what = format!("the answer of {target} has no header {}", told(name));
            return Err((RequestFailure::Header, what));
        };
        let some = there.iter().any(good);
        if any && some {
            continue;
        }
        let [name, other, wanted] = [name, other, wanted].map(|text| told(text));
        let what = if some {
            format!("the answer of {target} has {name} several times, once as `{other}`, without `{wanted}`")
        } else {
            format!("the answer of {target} has `{name}: {other}`, without `{wanted}`")
        };
        return Err((RequestFailure::Header, what));
    }
    if answer.cut {
        return Err((RequestFailure::BodyTooLong, format!("the answer of {target} is longer than 1 MiB")));
    }
    let body = plain(answer, expect, target, secrets)?;
    if let Some(wanted) = &expect.contains
        && !String::from_utf8_lossy(&body).contains(wanted)
    {
        return Err((RequestFailure::Text, format!("{target} answers {status} without `{}`", told(wanted))));
    }
    json(expect, &body, target, secrets).map_err(|what| (RequestFailure::Json, what))
}

/// The body without its content coding. One that cannot be taken off matters only when the body is to be read.
fn plain<'a>(
    answer: &'a HttpAnswer,
    expect: &HttpExpect,
    target: &TargetId,
    secrets: &Secrets,
) -> Result<Cow<'a, [u8]>, (RequestFailure, String)> {
    let kind = match unpacked(answer) {
        Ok(body) => return Ok(body),
        Err(Packed::Unknown(_)) if !expect.reads_body() => return Ok(answer.body.as_slice().into()),
        Err(packed) => packed,
    };
    let word = match &kind {
        Packed::TooLong(_) => RequestFailure::CompressionBomb,
        Packed::Unknown(_) | Packed::Broken(_) => RequestFailure::Encoding,
    };
    Err((word, format!("the answer of {target} {}", told_of(&kind, secrets))))
}

/// What is the matter with a packed body, behind the word for the answer.
pub(super) fn told_of(packed: &Packed, secrets: &Secrets) -> String {
    let told = |coding: &String| secrets.tell_brief(coding, QUOTED);
    match packed {
        Packed::Unknown(coding) => format!("is packed as {}", told(coding)),
        Packed::Broken(coding) => format!("cannot be unpacked ({})", told(coding)),
        Packed::TooLong(coding) => format!("is longer than 1 MiB once it is unpacked ({})", told(coding)),
    }
}

/// Holds the fields of a JSON body against what is expected of them.
fn json(expect: &HttpExpect, body: &[u8], target: &TargetId, secrets: &Secrets) -> Result<(), String> {
    if expect.json.is_empty() {
        return Ok(());
    }
    let document = declared::json(body, &format!("the answer of {target}"), secrets).map_err(|failure| failure.what)?;
    for (path, wanted) in &expect.json {
        let found = path.split('.').try_fold(&document, |json, key| match json {
            Json::Object(map) => map.get(key),
            Json::Array(items) => items.get(position(key)?),
            _ => None,
        });
        let place = secrets.tell_brief(path, QUOTED);
        match found {
            Some(json) if is(json, wanted) => {}
            Some(json) => {
                let (found, wanted) = (json.to_string(), wanted.to_string());
                let [found, wanted] = [found, wanted].map(|text| secrets.tell_brief(&text, QUOTED));
                return Err(format!("the answer of {target} has {place} = {found}, not {wanted}"));
            }
            None => return Err(format!("the answer of {target} has no {place}")),
        }
    }
    Ok(())
}

/// A position in a list as it is written, without a sign and leading zeros.
fn position(key: &str) -> Option<usize> {
    key.parse().ok().filter(|at: &usize| at.to_string() == key)
}

/// Whether a JSON value is the one that was written down: `1` and `1.0` are the same number.
#[allow(clippy::cast_precision_loss, clippy::float_cmp)] // what was written down is meant exactly
fn is(json: &Json, wanted: &Literal) -> bool {
    match (json, wanted) {
        (Json::Bool(json), Literal::Bool(wanted)) => json == wanted,
        (Json::Number(json), Literal::Int(wanted)) => {
            json.as_i64().map_or_else(|| json.as_f64() == Some(*wanted as f64), |json| json == *wanted)
        }
        (Json::Number(json), Literal::Float(wanted)) => json.as_f64() == Some(*wanted),
        (Json::String(json), Literal::Text(wanted)) => json == wanted,
        _ => false,
    }
}
