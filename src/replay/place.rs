//! A place in a recording as somebody writes it: `T+1:02:03`, `02:14:07`, `41` or a step.

use super::recording::Recording;
use crate::core::ids::StepId;
use crate::core::nearest::suggestion;
use crate::core::time::{At, Span};

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Behind this fact.
    Fact(u64),
    /// To this moment.
    Time(At),
}

/// Reads a place.
///
/// # Errors
///
/// One sentence: what it is not, or that it lies outside the recording.
pub(super) fn read(text: &str, recording: &Recording) -> Result<Destination, String> {
    let text = text.trim();
    if let Some(elapsed) = text.strip_prefix(['T', 't']).and_then(|rest| rest.strip_prefix('+')) {
        let span = clock(elapsed).ok_or_else(|| unreadable(text))?;
        return within(recording, recording.opened().plus(span), text);
    }
    if text.contains(':') {
        let of_day = clock(text).ok_or_else(|| unreadable(text))?;
        return within(recording, first_at(recording.opened(), of_day), text);
    }
    if let Some(step) = recording.plan().step(&StepId::from(text)) {
        let start = recording.start_of(&step.id, 0);
        return start.map(Destination::Fact).ok_or_else(|| format!("\"{text}\" was never begun in this run"));
    }
    if let Ok(seq) = text.trim_start_matches('#').parse::<u64>() {
        let last = recording.last();
        if seq == 0 || seq > last {
            return Err(format!("there is no fact {seq}: they go from 1 to {last}"));
        }
        return Ok(Destination::Fact(seq));
    }
    let steps = recording.plan().steps.iter().map(|step| step.id.as_str());
    Err(suggestion(text, steps).map_or_else(|| unreadable(text), |near| format!("there is no step \"{text}\"; {near}")))
}

fn unreadable(text: &str) -> String {
    format!("\"{text}\" is not a place in a run: write T+1:02:03, 02:14:07 (UTC), a fact's number or a step")
}

fn within(recording: &Recording, at: At, text: &str) -> Result<Destination, String> {
    if at < recording.opened() || at > recording.end() {
        return Err(format!("{text} is outside the recording, which is {} long", recording.length()));
    }
    Ok(Destination::Time(at))
}

/// `1:02:03`, `02:03` (minutes and seconds) or `3`.
fn clock(text: &str) -> Option<Span> {
    let mut secs: u64 = 0;
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return None;
    }
    for (at, part) in parts.iter().enumerate() {
        let number: u64 = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        if at > 0 && number >= 60 {
            return None;
        }
        secs = secs.checked_mul(60)?.checked_add(number)?;
    }
    secs.checked_mul(1_000).map(Span)
}

/// The first moment from `opened` on that shows this time of day in UTC.
fn first_at(opened: At, of_day: Span) -> At {
    const DAY: i64 = 86_400_000;
    let midnight = opened.0.div_euclid(DAY) * DAY;
    let at = At(midnight).plus(of_day);
    // Times are written in whole seconds, but a run may have begun within one.
    if at.plus(Span(999)) < opened { At(at.0.saturating_add(DAY)) } else { at.max(opened) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_read_as_people_write_them() {
        for (text, secs) in [("1:02:03", 3_723), ("02:03", 123), ("7", 7), ("26:00:00", 93_600)] {
            assert_eq!(clock(text), Some(Span::secs(secs)), "{text}");
        }
        for text in ["", ":", "1:60", "1:2:3:4", "-1", "+1", "1:x", "99999999999999999999"] {
            assert_eq!(clock(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_before_the_run_is_the_next_day() {
        let opened = At(1_795_485_600_000); // 2026-11-24 02:00:00 UTC
        assert_eq!(first_at(opened, Span::secs(2 * 3_600 + 14 * 60)), At(opened.0 + 14 * 60_000));
        assert_eq!(first_at(opened, Span::secs(3_600)), At(opened.0 + 23 * 3_600_000));
    }
}
