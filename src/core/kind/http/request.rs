//! What the `http` probe and the `http` action say of a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expect::HttpExpect;
use crate::core::kind::spec::Complaint;

/// The path that is asked when the runbook names none.
pub(in crate::core::kind) fn default_path() -> String {
    "/".to_owned()
}

/// More than this no request line holds; servers mostly take far less.
const LONGEST_PATH: usize = 60_000;

/// What no request can ask for, at `at` below the probe or action.
pub(in crate::core::kind) fn wrong_path(at: &[&str], path: &str) -> Option<Complaint> {
    if !path.starts_with('/') {
        let label = "expected something like `/admin/cutover`";
        return Some(Complaint::value(at, "the path does not begin with `/`", label));
    }
    let label = format!("expected no more than {LONGEST_PATH} bytes");
    (path.len() > LONGEST_PATH).then(|| Complaint::value(at, "this path is too long for a request", label))
}

/// One kind of request of a profile, with what its answer must be like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileRequest {
    /// Path and query.
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
    /// How often it is its turn, against the weights of the others; 1 when absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
}

pub(super) fn get() -> Method {
    Method::Get
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub(super) fn is_get(method: &Method) -> bool {
    *method == Method::Get
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_one(weight: &u32) -> bool {
    *weight == 1
}

impl ProfileRequest {
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

/// Whose turn it is among requests of different weight: spread as evenly as they go (the smooth weighted round-robin of
/// nginx). It begins anew after as many turns as the weights come to.
#[derive(Clone, Debug, Default)]
pub struct RequestTurns {
    /// The weight of each, and how much of a turn it has saved up.
    requests: Vec<(i64, i64)>,
}

impl RequestTurns {
    /// Turns among requests of these weights.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        Self { requests: weights.into_iter().map(|weight| (weight.into(), 0)).collect() }
    }

    /// The position of the one whose turn it is; 0 when there are none.
    pub fn take_turn(&mut self) -> usize {
        let all: i64 = self.requests.iter().map(|(weight, _)| weight).sum();
        for (weight, saved) in &mut self.requests {
            *saved += *weight;
        }
        // The first of those that have saved the most.
        let most = self.requests.iter_mut().enumerate().rev().max_by_key(|(_, (_, saved))| *saved);
        most.map_or(0, |(at, (_, saved))| {
            *saved -= all;
            at
        })
    }

    /// How many of so many turns each gets, without taking them one by one.
    pub fn take_turns(&mut self, count: usize) -> Vec<usize> {
        let weight = |weight: &i64| usize::try_from(*weight).unwrap_or(0);
        let all: usize = self.requests.iter().map(|(of, _)| weight(of)).sum();
        let rounds = count.checked_div(all).unwrap_or(0);
        let mut turns: Vec<usize> = self.requests.iter().map(|(of, _)| weight(of).saturating_mul(rounds)).collect();
        for _ in 0..count.checked_rem(all).unwrap_or(0) {
            let at = self.take_turn();
            if let Some(turn) = turns.get_mut(at) {
                *turn += 1;
            }
        }
        turns
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        let mut turns = RequestTurns::new([5, 1, 1]);
        let taken: Vec<usize> = (0..14).map(|_| turns.take_turn()).collect();
        assert_eq!(taken, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(RequestTurns::new([]).take_turn(), 0);
    }

    #[test]
    fn many_turns_at_once_are_the_turns_one_by_one() {
        for count in [0, 1, 6, 7, 8, 100, 1_003] {
            let (mut one, mut other) = (RequestTurns::new([4, 2, 1]), RequestTurns::new([4, 2, 1]));
            let mut taken = vec![0; 3];
            (0..count).for_each(|_| taken[one.take_turn()] += 1);
            assert_eq!(other.take_turns(count), taken, "{count}");
            assert_eq!(one.take_turn(), other.take_turn(), "{count}");
        }
    }
}
