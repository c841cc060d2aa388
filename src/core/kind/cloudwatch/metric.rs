//! What CloudWatch is asked for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::value::FieldType;

/// Metrics by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, CloudwatchMetric>", into = "BTreeMap<String, CloudwatchMetric>")]
pub struct CloudwatchMetrics {
    by_name: BTreeMap<String, CloudwatchMetric>,
    types: BTreeMap<String, FieldType>,
}

impl CloudwatchMetrics {
    /// What is asked for, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &CloudwatchMetric)> {
        self.by_name.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Their types as fields of a reading.
    pub fn types(&self) -> &BTreeMap<String, FieldType> {
        &self.types
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl From<BTreeMap<String, CloudwatchMetric>> for CloudwatchMetrics {
    fn from(by_name: BTreeMap<String, CloudwatchMetric>) -> Self {
        let types = by_name.keys().map(|name| (name.clone(), FieldType::Float)).collect();
        Self { by_name, types }
    }
}

impl From<CloudwatchMetrics> for BTreeMap<String, CloudwatchMetric> {
    fn from(metrics: CloudwatchMetrics) -> Self {
        metrics.by_name
    }
}

/// A metric with a statistic, or metric math.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudwatchMetric {
    /// Whose metric it is, for example `AWS/ApplicationELB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name, for example `RequestCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What it is the metric of, for example `LoadBalancer: app/shop/50dc6c495c0c9188`: all dimensions that it is published with, and no
    /// others. Otherwise it is another metric, or none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// What is made of the numbers of a bin: `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, `p95` and other percentiles,
    /// `tm99`, `IQM` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<String>,
    /// Metric math over other metrics of the probe, for example `100 * FILL(errors, 0) / requests`, in place of all of the above. It must
    /// give one series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// What it counts, for the screen: `s`, `requests`, `%`. CloudWatch is not asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}
