//! The pane of the `postgres.replication` probe.

use super::{Picture, int, number, word};
use crate::core::kind::ReplicationProbe;
use crate::core::kind::replication::{ReplicationState, heartbeat};
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::words;

impl Picture for ReplicationProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        replication(value)
    }
}

/// Seconds by which the heartbeat and the walsender may differ before it is said.
const DISAGREE: f64 = 2.0;

/// What mends a slot or a subscription that is another one.
const MADE_AGAIN: &str = "rows are missing: subscribe anew, with a first copy";

fn names(value: &Value) -> Vec<&str> {
    match value {
        Value::List(names) => names.iter().filter_map(Value::text).collect(),
        _ => Vec::new(),
    }
}

fn replication(value: &Value) -> Vec<Text> {
    let state = word(value, "state");
    let known = ReplicationState::from_word(&state);
    if known == Some(ReplicationState::Absent) {
        return vec![Text::new(Role::Unknown, state).and(Role::Plain, "  there is no subscription")];
    }
    let idle = known == Some(ReplicationState::Disabled);
    let stalls = word(value, "heartbeat") == heartbeat::STANDS;
    let role = match known {
        Some(ReplicationState::Streaming) if stalls => Role::Unknown,
        Some(ReplicationState::Streaming) => Role::Go,
        Some(ReplicationState::Copying | ReplicationState::Disabled) => Role::Unknown,
        _ => Role::NoGo,
    };
    let seconds = number(value, "seconds");
    let behind = seconds.map_or_else(|| "unknown".to_owned(), words::seconds);
    let bytes = int(value, "bytes").map_or_else(|| "unknown".to_owned(), words::bytes);
    let kept = int(value, "retained_bytes").map_or_else(|| "?".to_owned(), words::bytes);
    let ready = int(value, "tables_ready").map_or_else(|| "?".to_owned(), |n| n.to_string());
    let tables = int(value, "tables").map_or_else(|| "?".to_owned(), |n| n.to_string());
    let oldest = number(value, "oldest_transaction_s").map_or_else(|| "unknown".to_owned(), words::seconds);
    let mut lines = vec![
        Text::new(role, state)
            .and(Role::Plain, "  behind ")
            .and(Role::Strong, behind)
            .and(Role::Plain, "  ")
            .and(Role::Strong, bytes),
        Text::plain(format!("slot keeps {kept}  {}", word(value, "wal_status"))),
        Text::plain(format!("tables {ready} of {tables} ready  oldest transaction {oldest}")),
    ];
    if stalls {
        lines.push(Text::new(Role::NoGo, heartbeat::STANDS));
    }
    // Where nothing is to flow, no beat is missed.
    if seconds.is_none() && !idle && !stalls {
        lines.push(Text::new(Role::Unknown, format!("no heartbeat: {}", word(value, "heartbeat"))));
    } else if let (Some(beat), Some(walsender)) = (seconds, number(value, "replay_lag_s"))
        && (beat - walsender).abs() > DISAGREE.max(beat.min(walsender))
    {
        let walsender = words::seconds(walsender);
        lines.push(Text::new(Role::Unknown, format!("the walsender disagrees: behind {walsender}")));
    }
    if let Some(prepared) = int(value, "prepared_transactions").filter(|prepared| *prepared > 0) {
        let count = words::count(usize::try_from(prepared).unwrap_or(0), "prepared transaction");
        let age = number(value, "oldest_prepared_s").map_or_else(|| "?".to_owned(), words::seconds);
        lines.push(Text::new(Role::Unknown, format!("{count} on the source, oldest {age}")));
    }
    if let (Some(total), Some(copied)) = (int(value, "rows_to_copy"), int(value, "rows_copied")) {
        let left = number(value, "copied_in_s").map_or_else(String::new, |s| format!(", {} left", words::seconds(s)));
        lines.push(Text::plain(format!("copied {copied} of about {total} rows{left}")));
    }
    if let Some(full) = number(value, "wal_full_in_s") {
        lines.push(Text::new(Role::Unknown, format!("the slot has no room left in {}", words::seconds(full))));
    }
    match (int(value, "sequence_gap"), word(value, "sequence")) {
        (Some(gap), name) if gap > 0 => lines.push(Text::plain(format!("sequence {name} is {gap} behind"))),
        (None, name) if !name.is_empty() => {
            lines.push(Text::plain(format!("sequence {name} is not on both sides, or may not be read")));
        }
        _ => {}
    }
    if let Some(skipped) = int(value, "rows_skipped").filter(|skipped| *skipped > 0) {
        lines.push(Text::new(
            Role::NoGo,
            format!("{skipped} changes of rows that the target does not have were skipped"),
        ));
    }
    if matches!(known, Some(ReplicationState::SlotMadeAgain | ReplicationState::SlotMoved)) {
        lines.push(Text::new(Role::NoGo, MADE_AGAIN));
    }
    let missing = value.at("tables_missing").map(names).unwrap_or_default();
    if !missing.is_empty() {
        lines.push(Text::new(Role::NoGo, format!("not replicated: {}", missing.join(", "))));
    }
    let interrupted = value.at("tables_interrupted").map(names).unwrap_or_default();
    if !interrupted.is_empty() {
        lines
            .push(Text::new(Role::NoGo, format!("not replicated for a while, copy again: {}", interrupted.join(", "))));
    }
    if let Some(errors) = int(value, "apply_errors").filter(|errors| *errors > 0) {
        lines.push(Text::new(Role::NoGo, words::count(usize::try_from(errors).unwrap_or(0), "apply error")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_does_not_flow_is_said_in_words_and_what_is_not_known_is_not_a_number() {
        let lines = |value: &Value| -> String {
            let line = |line: &Text| line.0.iter().map(|piece| piece.text.as_str()).collect::<String>() + "\n";
            replication(value).iter().map(line).collect()
        };
        let mut value = Value::map([
            ("state", "streaming".into()),
            ("heartbeat", heartbeat::BEATS.into()),
            ("seconds", Value::Float(0.02)),
            ("prepared_transactions", Value::Int(0)),
            ("sequence_gap", Value::Int(0)),
            ("sequence", Value::Null),
        ]);
        let well = lines(&value);
        assert!(
            ["prepared", "sequence", "copied", "room", "skipped", "arrive"].iter().all(|word| !well.contains(word))
        );
        let mut put = |path: &str, other: Value| {
            if let Value::Map(fields) = &mut value {
                Arc::make_mut(fields).insert(path.to_owned().into(), other);
            }
            lines(&value)
        };
        assert!(put("heartbeat", heartbeat::STANDS.into()).contains("\nbeats do not arrive\n"));
        put("prepared_transactions", Value::Int(2));
        assert!(put("oldest_prepared_s", Value::Float(90.0)).contains("2 prepared transactions on the source, oldest"));
        put("rows_copied", Value::Int(50));
        let copying = put("rows_to_copy", Value::Int(200));
        assert!(copying.contains("copied 50 of about 200 rows\n"), "{copying}");
        assert!(put("copied_in_s", Value::Float(3.0)).contains("rows, 3"));
        assert!(put("wal_full_in_s", Value::Float(600.0)).contains("the slot has no room left in "));
        put("sequence", "public.ids".into());
        assert!(put("sequence_gap", Value::Int(7)).contains("sequence public.ids is 7 behind"));
        assert!(put("sequence_gap", Value::Null).contains("public.ids is not on both sides, or may not be read"));
        assert!(put("rows_skipped", Value::Int(3)).contains("3 changes of rows that the target does not have"));
    }
}
