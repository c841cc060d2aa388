//! Names of headers that no server would take.

use std::collections::BTreeMap;

use crate::core::kind::spec::Complaint;
use crate::core::syntax::is_header_name;

/// Names among these headers that no server would take. `path` leads to the headers.
pub(super) fn wrong_headers(path: &[&str], headers: &BTreeMap<String, String>) -> Vec<Complaint> {
    let wrong = |name: &String| {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        Complaint::key(&at, NO_HEADER, HEADER_NAMES)
    };
    headers.keys().filter(|name| !is_header_name(name)).map(wrong).collect()
}

/// What is said of a wrong name of a header.
pub const NO_HEADER: &str = "this cannot be the name of a header";

/// What names of headers look like.
pub const HEADER_NAMES: &str = "expected letters, digits and `-`, without blanks and `:`";
