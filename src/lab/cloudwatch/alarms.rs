//! Alarms: looked at, and their actions switched off and on.

use std::collections::BTreeMap;

use ciborium::Value;

use super::{Refused, cbor};

/// The calls that change alarms.
pub(super) const SWITCHES: [&str; 2] = ["DisableAlarmActions", "EnableAlarmActions"];
/// Most names of a call.
const MOST: usize = 100;

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabAlarm {
    /// Whether its actions are on.
    pub acts: bool,
    /// Whether it is in ALARM; otherwise it is OK.
    pub in_alarm: bool,
    /// Whether it is made of other alarms.
    pub composite: bool,
}

fn names(document: &Value) -> Result<Vec<&str>, Refused> {
    let names: Vec<&str> = cbor::list(document, "AlarmNames").iter().filter_map(Value::as_text).collect();
    if names.len() > MOST {
        let message = format!(
            "Value at 'alarmNames' failed to satisfy constraint: Member must have length less than or equal to {MOST}"
        );
        return Err(Refused::invalid("ValidationError", message));
    }
    Ok(names)
}

/// `DescribeAlarms`. Without types only metric alarms are told, as by the service; names that there are not are left out.
pub(super) fn describe(document: &Value, alarms: &BTreeMap<String, LabAlarm>) -> Result<Value, Refused> {
    let names = names(document)?;
    let types: Vec<&str> = cbor::list(document, "AlarmTypes").iter().filter_map(Value::as_text).collect();
    let told = |composite: bool| {
        let is_asked = if composite {
            types.contains(&"CompositeAlarm")
        } else {
            types.is_empty() || types.contains(&"MetricAlarm")
        };
        let of = alarms.iter().filter(|(name, alarm)| {
            is_asked && alarm.composite == composite && (names.is_empty() || names.contains(&name.as_str()))
        });
        let of = of.map(|(name, alarm)| {
            cbor::map([
                ("AlarmName", name.clone().into()),
                ("ActionsEnabled", alarm.acts.into()),
                ("StateValue", if alarm.in_alarm { "ALARM" } else { "OK" }.into()),
            ])
        });
        Value::Array(of.collect())
    };
    Ok(cbor::map([("MetricAlarms", told(false)), ("CompositeAlarms", told(true))]))
}

/// `DisableAlarmActions` and `EnableAlarmActions`. Names that there are not are passed over in silence, as by the service.
pub(super) fn switch(document: &Value, alarms: &mut BTreeMap<String, LabAlarm>, acts: bool) -> Result<Value, Refused> {
    let names = names(document)?;
    if names.is_empty() {
        return Err(Refused::invalid("MissingRequiredParameter", "The parameter AlarmNames is required."));
    }
    for name in names {
        if let Some(alarm) = alarms.get_mut(name) {
            alarm.acts = acts;
        }
    }
    Ok(cbor::map([]))
}
