//! The pane of the `cloudwatch` probe: its numbers, why some are missing, and how far CloudWatch is behind.

use super::{Picture, number, word};
use crate::core::kind::CloudwatchProbe;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::text::clean;

impl Picture for CloudwatchProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        let mut lines: Vec<Text> = self
            .metrics
            .iter()
            .map(|(name, metric)| {
                let line = Text::new(Role::Dim, format!("{:<18} ", clean(name)));
                match value.at(name).filter(|value| **value != Value::Null) {
                    Some(value) => {
                        let unit = metric.unit.as_ref().map_or_else(String::new, |unit| format!(" {}", clean(unit)));
                        line.and(Role::Plain, format!("{value}{unit}"))
                    }
                    None => line.and(Role::Unknown, word(value, &format!("why.{name}"))),
                }
            })
            .collect();
        lines.push(self.behind(value));
        lines
    }

    fn one_line(&self, value: &Value, lines: &[Text]) -> Text {
        let numbers = lines.iter().take(self.metrics.len());
        let shown = numbers.map(|line| line.to_plain().split_whitespace().collect::<Vec<_>>().join(" "));
        let behind = self.behind(value).to_plain();
        Text::plain(shown.chain([behind]).collect::<Vec<_>>().join(" · "))
    }
}

impl CloudwatchProbe {
    /// How far back in time the numbers are.
    fn behind(&self, value: &Value) -> Text {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds
        let behind = Span::secs(number(value, "behind_s").unwrap_or_default().max(0.0) as u64);
        let bin = word(value, "bin");
        let time = bin.split('T').nth(1).unwrap_or(&bin).trim_end_matches('Z').to_owned();
        Text::new(Role::Dim, format!("{} from {time} UTC, CloudWatch is {behind} behind", self.period))
    }
}
