//! A call of `GetMetricData`, checked as the service checks it.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;

use super::metrics::{self, MetricKey, WantedBins};
use super::{Refused, cbor};

/// Most queries of a call, and most numbers that it may ask for.
const MOST_QUERIES: usize = 500;
const MOST_NUMBERS: i64 = 100_800;
/// One thing that is asked for.
pub(super) struct Query {
    pub(super) id: String,
    pub(super) what: What,
    pub(super) label: String,
    pub(super) returned: bool,
}

pub(super) enum What {
    Metric(MetricKey, String, WantedBins),
    Math(String),
}

/// A call of `GetMetricData` that is in order.
pub(super) struct MetricDataCall {
    pub(super) queries: Vec<Query>,
    pub(super) newest_first: bool,
    /// How many numbers earlier pages had.
    pub(super) skip: usize,
}

impl MetricDataCall {
    pub(super) fn of(document: &Value) -> Result<Self, Refused> {
        let missing =
            |name: &str| Refused::invalid("MissingRequiredParameter", format!("The parameter {name} is required."));
        let start = cbor::time(document, "StartTime").ok_or_else(|| missing("StartTime"))?;
        let end = cbor::time(document, "EndTime").ok_or_else(|| missing("EndTime"))?;
        if start >= end {
            let message = "The parameter StartTime must be less than the parameter EndTime.";
            return Err(Refused::invalid("ValidationError", message));
        }
        // Of the last fifteen days, full minutes.
        let start = start - start.rem_euclid(if end - start < 60_000 { 1_000 } else { 60_000 });
        let queries = cbor::list(document, "MetricDataQueries");
        if queries.is_empty() || queries.len() > MOST_QUERIES {
            let message = format!("The collection MetricDataQueries must have a size of 1 to {MOST_QUERIES}.");
            return Err(Refused::invalid("ValidationError", message));
        }
        let queries: Vec<Query> =
            queries.iter().map(|query| Query::of(query, (start, end))).collect::<Result<_, _>>()?;
        let ids: BTreeSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        if ids.len() < queries.len() {
            return Err(Refused::invalid(
                "ValidationError",
                "The values for parameter id in MetricDataQueries are not unique.",
            ));
        }
        let numbers: i64 = queries
            .iter()
            .map(|query| match &query.what {
                What::Metric(.., wanted) => wanted.count(),
                What::Math(_) => 0,
            })
            .sum();
        if numbers > MOST_NUMBERS {
            let message =
                format!("You have requested up to {numbers} datapoints, which exceeds the limit of {MOST_NUMBERS}.");
            return Err(Refused::invalid("InvalidParameterCombination", message));
        }
        let newest_first = cbor::text(document, "ScanBy") != Some("TimestampAscending");
        let skip = match cbor::text(document, "NextToken") {
            Some(token) => {
                token.parse().map_err(|_| Refused::invalid("InvalidNextToken", "The next token is invalid."))?
            }
            None => 0,
        };
        Ok(Self { queries, newest_first, skip })
    }
}

impl Query {
    fn of(query: &Value, (start, end): (i64, i64)) -> Result<Self, Refused> {
        let id = cbor::text(query, "Id").unwrap_or_default().to_owned();
        let is_id = id.starts_with(|first: char| first.is_ascii_lowercase())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_id {
            return Err(Refused::invalid(
                "ValidationError",
                format!(
                    "The value {id} for parameter MetricDataQueries.member.1.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
                ),
            ));
        }
        let returned = cbor::at(query, "ReturnData").and_then(Value::as_bool).unwrap_or(true);
        let label = cbor::text(query, "Label").map(str::to_owned);
        match (cbor::at(query, "MetricStat"), cbor::text(query, "Expression")) {
            (Some(_), Some(_)) | (None, None) => {
                let message = format!("Exactly one of MetricStat and Expression must be given for {id}.");
                Err(Refused::invalid("InvalidParameterCombination", message))
            }
            (None, Some(expression)) => {
                let label = label.unwrap_or_else(|| id.clone());
                Ok(Self { id, what: What::Math(expression.to_owned()), label, returned })
            }
            (Some(stat), None) => {
                let metric = cbor::at(stat, "Metric").cloned().unwrap_or(Value::Null);
                let named = |name: &str| {
                    let text = cbor::text(&metric, name).filter(|text| !text.is_empty());
                    let message = format!("The parameter MetricStat.Metric.{name} is required.");
                    text.map(str::to_owned).ok_or_else(|| Refused::invalid("MissingRequiredParameter", message))
                };
                let key = (named("Namespace")?, named("MetricName")?, dimensions(&metric)?);
                let period = cbor::int(stat, "Period").unwrap_or(0);
                if !([1, 5, 10, 20, 30].contains(&period) || (period > 0 && period % 60 == 0)) {
                    return Err(Refused::value("The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60."));
                }
                let statistic = cbor::text(stat, "Stat").unwrap_or_default().to_owned();
                if !metrics::is_statistic(&statistic) {
                    return Err(Refused::value(format!(
                        "The value {statistic} for parameter MetricStat.Stat is invalid."
                    )));
                }
                let period = period * 1_000;
                let wanted = WantedBins { start: start - start.rem_euclid(period), end, period };
                let label = label.unwrap_or_else(|| key.1.clone());
                Ok(Self { id, what: What::Metric(key, statistic, wanted), label, returned })
            }
        }
    }

    pub(super) fn metric(&self) -> &str {
        match &self.what {
            What::Metric((_, name, _), ..) => name,
            What::Math(_) => &self.id,
        }
    }
}

pub(super) fn dimensions(of: &Value) -> Result<BTreeMap<String, String>, Refused> {
    let given = cbor::list(of, "Dimensions");
    let mut found = BTreeMap::new();
    for dimension in given {
        let (Some(name), Some(value)) = (cbor::text(dimension, "Name"), cbor::text(dimension, "Value")) else {
            return Err(Refused::invalid("MissingRequiredParameter", "A dimension needs a name and a value."));
        };
        if name.is_empty() || value.is_empty() || found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Refused::value(format!("The dimension {name} is empty or given twice.")));
        }
    }
    if found.len() > 30 {
        return Err(Refused::value("A metric has at most 30 dimensions."));
    }
    Ok(found)
}
