//! The pane of the `route53` probe: which record set the API has, how far its change is, who else changed it, and with whose
//! rights it is asked.

use super::{Picture, number, word};
use crate::core::kind::Route53Probe;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::screen::{Role, Text};

/// Credentials that end within this are marked, in seconds.
const SOON: f64 = 3_600.0;

impl Picture for Route53Probe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        let mut lines = vec![self.first(value)];
        let set = word(value, "set");
        let set = if set.is_empty() { "no such record set".to_owned() } else { set };
        lines.push(Text::new(Role::Strong, set));
        if let Some(share) = number(value, "share") {
            lines.push(Text::new(Role::Dim, "share ").and(Role::Plain, format!("{:.1} %", share * 100.0)));
        }
        let others = word(value, "others_changed");
        if !others.is_empty() {
            let times = value.at("changed_by_others").and_then(Value::int).unwrap_or(0);
            lines.push(Text::new(Role::NoGo, format!("changed by others {times}× ")).and(Role::Plain, others));
        }
        lines.push(Text::new(Role::Dim, "as ").and(Role::Plain, word(value, "identity")));
        if let Some(left) = number(value, "credentials_end_in_s") {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds
            let ends = Span::secs(left.max(0.0) as u64);
            let role = if left < SOON { Role::Unknown } else { Role::Plain };
            lines.push(Text::new(Role::Dim, "credentials end in ").and(role, ends.to_string()));
        }
        lines
    }
}

impl Route53Probe {
    fn first(&self, value: &Value) -> Text {
        let is = |field| value.at(field).and_then(Value::bool) == Some(true);
        let (role, state) = match (is("old"), is("new")) {
            (_, true) => (Role::Go, "new"),
            (true, false) => (Role::Plain, "old"),
            (false, false) => (Role::NoGo, "neither old nor new"),
        };
        let record = format!("{} {}  ", self.name.trim_end_matches('.'), self.record_type.as_str());
        let first = Text::new(Role::Dim, record).and(role, state);
        match word(value, "change") {
            change if change.is_empty() => first,
            change => first.and(Role::Dim, "  change ").and(Role::Plain, change),
        }
    }
}
