//! The `cloudwatch.silence` action.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::ids::TargetId;
use crate::core::kind::spec::{ActionDoc, ActionSpec, CheckContext, Complaint, TargetUse};
use crate::core::silence::Silence;
use crate::core::target::{self, Target};
use crate::core::time::Span;

/// Most alarms of one call (Amazon CloudWatch API reference, `DisableAlarmActions`).
const MOST: usize = 100;
/// Longest name of an alarm.
const LONGEST: usize = 255;

/// Switches off what CloudWatch alarms do (notify, scale, page), so that a planned change wakes nobody, or with `end: true` on again.
///
/// Alarms go on judging; only their actions are off. All of them must exist, and those whose actions are off already are left
/// as they are. Which ones were on is written down before anything is sent, and the end of the silence enables exactly these: what
/// somebody else has silenced stays silent. A run cannot end as complete while alarms that it has silenced are silent. When the answer is lost,
/// the alarms are looked at. An alarm that is in ALARM when its actions come back has told nobody: the result names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceAction {
    /// The `cloudwatch` target.
    pub target: TargetId,
    /// The names of the alarms, composite ones too.
    #[schemars(length(min = 1))]
    pub alarms: Vec<String>,
    /// Whether the silence ends: of these alarms, those that this run has silenced get their actions back.
    #[serde(default)]
    pub end: bool,
    /// Longest time it may take. 30s when absent.
    #[serde(default = "half_a_minute")]
    pub limit: Span,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

impl ActionSpec for SilenceAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "cloudwatch", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        self.limit
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let what = if self.end {
            "switch on again, of those that this run has silenced, the actions of the alarms"
        } else {
            "switch off the actions of the alarms"
        };
        let head = format!("in {} {what}:", target::place(&self.target, targets));
        std::iter::once(head).chain(self.alarms.iter().map(|alarm| format!("  {alarm}"))).collect()
    }

    fn terms(&self) -> Vec<String> {
        vec![self.limit.to_string()]
    }

    fn tells_by_itself(&self) -> bool {
        true
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = Vec::new();
        if self.alarms.len() > MOST {
            let label = format!("expected at most {MOST}");
            found.push(Complaint::key(&["alarms"], "these are too many alarms for one action", label));
        }
        let mut known = BTreeSet::new();
        for (at, alarm) in self.alarms.iter().enumerate() {
            let at = at.to_string();
            if alarm.trim().is_empty() || alarm.chars().count() > LONGEST {
                let label = format!("expected the name of an alarm, 1 to {LONGEST} characters");
                found.push(Complaint::value(&["alarms", &at], "this cannot be an alarm", label));
            } else if alarm.starts_with("arn:") {
                found.push(Complaint::value(
                    &["alarms", &at],
                    "this is an ARN",
                    "expected the name of the alarm alone",
                ));
            } else if !known.insert(alarm) {
                found.push(Complaint::value(&["alarms", &at], "the alarm is named twice", "expected each alarm once"));
            }
        }
        found
    }

    fn silence(&self) -> Option<Silence<'_>> {
        Some(Silence { target: &self.target, alarms: &self.alarms, ends: self.end })
    }

    fn leaves_in_force(&self) -> Option<&'static str> {
        (!self.end).then_some("alarms stay silent")
    }

    fn leaves_a_trace(&self) -> bool {
        true
    }
}

impl ActionDoc for SilenceAction {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str = "`cloudwatch:DescribeAlarms`, `cloudwatch:DisableAlarmActions` and `cloudwatch:EnableAlarmActions` on the alarms. `gonogo iam RUNBOOK` prints a policy.";
}

const EXAMPLE: &str = r#"title: Move the database without waking anybody
targets:
  alarms: { cloudwatch: { region: eu-central-1, aws: { account: "123456789012", profile: cutover } } }
phases:
  - title: Move
    steps:
      - id: silence
        title: Silence the alarms of the database
        action: { cloudwatch.silence: { target: alarms, alarms: [shop-db-connections, shop-db-replica-lag] } }
        undo: { cloudwatch.silence: { target: alarms, alarms: [shop-db-connections, shop-db-replica-lag], end: true } }
        reversibility: free
        expect: 5s
      - id: move
        title: Move the database
        action: { manual: [Fail over to the new instance] }
        undo: { manual: [Fail back to the old instance] }
        reversibility: lossless
        expect: 5m
      - id: wake
        title: Give the alarms their actions back
        action: { cloudwatch.silence: { target: alarms, alarms: [shop-db-connections, shop-db-replica-lag], end: true } }
        reversibility: free
        expect: 5s
"#;
