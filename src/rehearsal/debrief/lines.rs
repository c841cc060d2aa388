//! The debrief for a person, line by line.

use std::fmt::Write as _;

use super::{BlockedEntry, Debrief, StepEntry, UpdatesEntry};
use crate::core::time::Span;

/// What a step is late by before it is worth a word; and half of what was expected, at least.
const NOTICEABLE: Span = Span::secs(5);

impl BlockedEntry {
    fn line(&self) -> String {
        match self.for_ms {
            0 => format!("ended {}: {}", self.title, self.why),
            for_ms => format!("held back {} for {}: {}", self.title, Span(for_ms), self.why),
        }
    }
}

impl StepEntry {
    /// How much longer it took than it should have, when that is worth a word.
    fn slower(&self) -> Option<String> {
        let took = self.took_ms?;
        let expect = self.expect_ms.filter(|expect| {
            let over = took.saturating_sub(*expect);
            over >= NOTICEABLE.0 && over.saturating_mul(2) >= *expect
        });
        let max = self.max_ms.filter(|max| took > *max);
        let than = match (expect, max) {
            (None, None) => return None,
            (_, Some(max)) => format!("longer than the {} it may take", Span(max)),
            (Some(expect), None) => format!("not {}", Span(expect)),
        };
        Some(format!("slower than expected: {} took {}, {than}", self.title, Span(took)))
    }
}

impl UpdatesEntry {
    fn line(&self) -> String {
        let every = Span(self.every_ms);
        if self.automatic {
            return format!("status updates: an automatic operator gives none; the runbook asks for one every {every}");
        }
        let given = if self.given == 0 { "none".to_owned() } else { self.given.to_string() };
        let silence = Span(self.longest_silence_ms);
        format!("status updates: {given} given, longest silence {silence}; the runbook asks for one every {every}")
    }
}

impl Debrief {
    /// The debrief for a person, line by line.
    pub fn lines(&self) -> Vec<String> {
        let span = |ms: u64| Span(ms).to_string();
        let ending = self.ending.as_deref().unwrap_or("NOT ENDED");
        let mut lines = vec![format!("{}: {ending} after {}", self.runbook, span(self.took_ms))];
        for (number, mishap) in self.mishaps.iter().enumerate() {
            lines.push(format!("T+{}  {}", span(mishap.at_ms), mishap.what));
            match (&mishap.noticed_by, mishap.noticed_after_ms) {
                (Some(by), Some(after)) if mishap.noticed_surely => {
                    lines.push(format!("      showed after {} as: {by}", span(after)));
                }
                (Some(by), Some(after)) => {
                    lines.push(format!(
                        "      what went wrong next, after {}, perhaps because of it: {by}",
                        span(after)
                    ));
                }
                _ => lines.push("      no step failed because of it".to_owned()),
            }
            for held in self.held_back.iter().filter(|held| held.mishap == Some(number)) {
                lines.push(format!("      {}", held.line()));
            }
            if let (Some(answer), Some(after)) = (&mishap.answer, mishap.answered_after_ms) {
                lines.push(format!("      answered after {}: {answer}", span(after)));
            }
        }
        for held in self.held_back.iter().filter(|held| held.mishap.is_none()) {
            lines.push(format!("T+{}  {}", span(held.at_ms), held.line()));
        }
        lines.extend(self.steps.iter().filter_map(StepEntry::slower));
        if let Some(rollback) = self.rollback {
            let how = if rollback.complete { "everything was taken back" } else { "the way back was gone in part" };
            lines.push(format!("rollback: {how}, {} steps in {}", rollback.steps, span(rollback.took_ms)));
        } else {
            lines.push("rollback: not used".to_owned());
        }
        let mut pause = format!("write pause: {}", span(self.write_pause_ms));
        if let Some(budget) = self.write_pause_budget_ms {
            // Writing to a String cannot fail.
            let _ = write!(pause, " of {}", span(budget));
        }
        lines.push(pause);
        lines.extend(self.updates.as_ref().map(UpdatesEntry::line));
        let silence = self.updates.filter(UpdatesEntry::too_silent).map(|updates| span(updates.longest_silence_ms));
        if self.harm.is_empty() {
            lines.push(match silence {
                Some(silence) => format!("nothing that would have hurt, but people heard nothing for {silence}"),
                None => "nothing that would have hurt".to_owned(),
            });
        } else {
            lines.push("what would have hurt:".to_owned());
            lines.extend(self.harm.iter().map(|harm| format!("  - {harm}")));
        }
        lines
    }
}
