//! The pane of the `http` probe: a table of its sides.

use super::{Picture, int, number, word};
use crate::core::kind::HttpProbe;
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::text::clean;
use crate::words;

impl Picture for HttpProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        latency(&self.series(), value)
    }

    fn one_line(&self, value: &Value, _: &[Text]) -> Text {
        let mut text = Text::new(Role::Dim, "p95");
        let mut errors = Text::new(Role::Dim, "  errors");
        for (name, path, _) in self.series() {
            let shown = number(value, &format!("{path}.p95")).map_or_else(|| "—".to_owned(), words::millis);
            text = text.and(Role::Dim, format!(" {} ", clean(&name))).and(Role::Plain, format!("{shown} ms"));
            let share = number(value, &format!("{path}.errors"));
            let role = if share.is_some_and(|share| share > 0.0) { Role::NoGo } else { Role::Plain };
            let shown = share.map_or_else(|| "—".to_owned(), |share| format!("{:.1} %", share * 100.0));
            errors = errors.and(role, format!(" {shown}"));
        }
        text.0.extend(errors.0);
        text
    }
}

fn latency(series: &[(String, String, &str)], value: &Value) -> Vec<Text> {
    // As narrow as possible: a table whose rows are wrapped cannot be read.
    let name = series.iter().map(|(name, ..)| crate::text::width(name)).max().unwrap_or(0).max(2);
    let mut lines = vec![Text::new(
        Role::Dim,
        format!("{:<name$}{:>6}{:>6}{:>6}{:>7}{:>4}", "ms", "p50", "p95", "p99", "errors", "n"),
    )];
    // What is long comes below all rows: there may be no room for it.
    let (mut failures, mut verdicts) = (Vec::new(), Vec::new());
    for (side, path, _) in series {
        let Some(figures) = value.at(path) else { continue };
        let side = clean(side);
        let shown = |path: &str| number(figures, path).map_or_else(|| "—".to_owned(), words::millis);
        let errors = number(figures, "errors");
        let share = errors.map_or_else(|| "—".to_owned(), |share| format!("{:.1}%", share * 100.0));
        let samples = int(figures, "samples").unwrap_or(0);
        let role = if errors.is_some_and(|share| share > 0.0) { Role::NoGo } else { Role::Plain };
        let mut line = Text::new(Role::Strong, format!("{side:<name$}"))
            .and(Role::Plain, format!("{:>6}{:>6}{:>6}", shown("p50"), shown("p95"), shown("p99")))
            .and(role, format!("{share:>7}"))
            .and(Role::Dim, format!("{samples:>4}"));
        let failure = word(figures, "failure");
        if !failure.is_empty() {
            failures.push(Text::new(Role::Strong, format!("{side}")).and(Role::NoGo, format!("  {failure}")));
        }
        // The newest request says nothing of what went wrong before it.
        let common = word(figures, "common_failure");
        if !common.is_empty() && failure.is_empty() {
            line = line.and(Role::Dim, format!("  mostly {common}"));
        }
        lines.push(line);
        verdicts.extend(judged(&side, figures));
    }
    lines.extend(failures);
    lines.extend(verdicts);
    lines
}

/// The verdict of a side against its baseline; nothing without one.
fn judged(side: &str, figures: &Value) -> Option<Text> {
    let why = word(figures, "why");
    let verdict = match figures.at("verdict").and_then(Value::text) {
        None if why.is_empty() => return None,
        None => "UNKNOWN",
        Some(verdict) => verdict,
    };
    let role = match verdict {
        "PASS" => Role::Go,
        "FAIL" => Role::NoGo,
        _ => Role::Unknown,
    };
    let recorded = word(figures, "baseline.recorded");
    let why = if why.is_empty() { format!("as good as {recorded}") } else { why };
    let line = Text::new(Role::Strong, side).and(role, format!("  {verdict}"));
    Some(line.and(Role::Dim, format!("  {why}")))
}
