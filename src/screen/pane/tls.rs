//! The pane of the `tls` probe: whether the certificate is good and for how long, then what it says.

use super::{Picture, number, word};
use crate::core::kind::TlsProbe;
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::text::clean;

/// Fewer days than these are marked: certificates are normally renewed some weeks before they end.
const FEW_DAYS: f64 = 14.0;

impl Picture for TlsProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        let names = value.at("names").and_then(Value::list).unwrap_or_default();
        let names: Vec<String> = names.iter().filter_map(Value::text).map(|name| clean(name).into_owned()).collect();
        let until = word(value, "not_after");
        let until = until.split_once('T').map_or(until.as_str(), |(day, _)| day);
        let mut lines = vec![first(value)];
        let reason = word(value, "reason");
        if !reason.is_empty() {
            lines.push(Text::new(Role::NoGo, reason));
        }
        lines.extend([
            Text::new(Role::Dim, "until ")
                .and(Role::Plain, until.to_owned())
                .and(Role::Dim, " for ")
                .and(Role::Plain, names.join(", ")),
            Text::new(Role::Dim, "by ").and(Role::Plain, word(value, "issuer")),
            Text::new(Role::Dim, "at ")
                .and(Role::Plain, word(value, "address"))
                .and(Role::Dim, format!("  {}", word(value, "protocol"))),
        ]);
        lines
    }

    fn one_line(&self, value: &Value, _: &[Text]) -> Text {
        match word(value, "reason") {
            reason if reason.is_empty() => first(value),
            reason => Text::new(Role::NoGo, format!("not valid: {reason}")),
        }
    }
}

fn first(value: &Value) -> Text {
    let days = number(value, "days_left");
    let (role, state) = match value.at("valid").and_then(Value::bool) {
        Some(true) if days.is_some_and(|days| days < FEW_DAYS) => (Role::Unknown, "valid"),
        Some(true) => (Role::Go, "valid"),
        _ => (Role::NoGo, "not valid"),
    };
    let left = days.map_or_else(|| "unknown".to_owned(), |days| format!("{days:.1}"));
    Text::new(role, state).and(Role::Plain, "  days left ").and(Role::Strong, left)
}
