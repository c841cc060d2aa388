//! Values of records as text that can be compared and shown.

use std::collections::BTreeSet;

use hickory_proto::rr::{RData, Record, RecordType as Type};

use crate::core::record::RecordType;
use crate::record_data;
use crate::world::live::foreign;

/// The values of a record set.
pub(in crate::world::live) fn values(answers: &[Record], of: Type) -> BTreeSet<String> {
    answers.iter().filter(|record| record.record_type() == of).map(|record| text(&record.data)).collect()
}

/// One value in the same form.
pub(in crate::world::live) fn text(data: &RData) -> String {
    foreign::clean(&record_data::text(data))
}

/// Values of the runbook in the form of [`values`].
pub(in crate::world::live) fn expected(values: &[String], of: RecordType) -> BTreeSet<String> {
    values.iter().map(|value| normal(value, of)).collect()
}

/// One value of the runbook in the form of [`text`].
pub(in crate::world::live) fn normal(value: &str, of: RecordType) -> String {
    foreign::clean(&record_data::canonical(of, value).unwrap_or_else(|_| value.trim().to_owned()))
}
