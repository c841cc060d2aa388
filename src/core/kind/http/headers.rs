//! Headers that no server would take.

use std::collections::BTreeMap;

use crate::core::kind::spec::Complaint;
use crate::core::syntax::is_header_name;

/// How long a body is and how it is sent: another value would break the request.
const OWN_HEADERS: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Names and values of these headers that no server would take. `path` leads to the headers.
pub(super) fn wrong_headers(path: &[&str], headers: &BTreeMap<String, String>) -> Vec<Complaint> {
    let wrong = |name: &String| {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        Complaint::key(&at, NO_HEADER, HEADER_NAMES)
    };
    let broken = |(name, _): (&String, &String)| {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        Complaint::value(&at, NO_HEADER_VALUE, HEADER_VALUES)
    };
    let own = |name: &String| {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        Complaint::key(&at, "gonogo sets this header itself", "leave it out: it follows from the body")
    };
    let names = headers.keys().filter(|name| !is_header_name(name)).map(wrong);
    let is_own = |name: &&String| OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
    names
        .chain(headers.keys().filter(is_own).map(own))
        .chain(headers.iter().filter(|(_, value)| !is_header_value(value)).map(broken))
        .collect()
}

/// Whether a text can be the value of a header (RFC 9110 §5.5).
pub fn is_header_value(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() && letter != '\t')
}

/// What is said of a wrong value of a header.
pub const NO_HEADER_VALUE: &str = "this cannot be the value of a header";

/// What values of headers look like.
pub const HEADER_VALUES: &str = "expected one line without control characters";

/// What is said of a wrong name of a header.
pub const NO_HEADER: &str = "this cannot be the name of a header";

/// What names of headers look like.
pub const HEADER_NAMES: &str = "expected letters, digits and `-`, without blanks and `:`";
