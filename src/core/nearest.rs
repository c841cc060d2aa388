//! The nearest known name to a mistyped one.

/// The candidate that `name` was probably meant to be, if any is close enough to be worth suggesting.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            // A third of the letters may differ; a longer name that begins or ends with it is near, too.
            let longest = candidate.chars().count().max(lower.chars().count());
            *distance <= longest.div_ceil(3).min(4)
                || (lower.chars().count() >= 3 && (candidate.starts_with(&lower) || candidate.ends_with(&lower)))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?`, or else what there is to choose from.
pub fn suggestion<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(name, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match candidates.as_slice() {
        [] => None,
        [only] => Some(format!("there is only `{only}`")),
        many => {
            let shown: Vec<String> = many.iter().take(12).map(|name| format!("`{name}`")).collect();
            let more = many.len() - shown.len();
            Some(format!(
                "known: {}{}",
                shown.join(", "),
                if more == 0 { String::new() } else { format!(" and {more} more") }
            ))
        }
    }
}
