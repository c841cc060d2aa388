//! The `cloudwatch` probe and the `cloudwatch.silence` action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{CheckContext, Complaint, Curve, OwnFields, ProbeDoc, ProbeSpec, TargetUse};
use crate::core::bins::Bins;
use crate::core::ids::TargetId;
use crate::core::simulate::Simulated;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::{Field, Shape, Value};

mod check;
mod known;
mod metric;
mod silence;

pub use metric::{CloudwatchMetric, CloudwatchMetrics};
pub use silence::SilenceAction;

/// Numbers that Amazon CloudWatch has gathered: metrics with their statistics, and metric math over them.
///
/// CloudWatch is behind: it gathers numbers over bins of time (`period`), and for a while after the end of a bin they are
/// too low. So the newest bin is taken that ended `delay` ago or earlier, and the age of a reading counts from the
/// beginning of that bin: with the defaults it is 3 to 4 minutes. What happened after an action shows once a whole bin has begun
/// after it. Do not let CloudWatch alone decide on a way back.
///
/// A number is null, and whatever asks for it UNKNOWN, when CloudWatch has none for a bin that is young enough, when what it has is not
/// complete (`PartialData`, `InternalError`) and when it refuses the metric (`Forbidden`). It is never 0 for want of data.
/// Many services leave a metric out while there is nothing to count: say `FILL(errors, 0)` in an expression where that
/// means 0, beside a metric that is always there, such as requests.
///
/// All metrics of a probe are asked for in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudwatchProbe {
    /// The `cloudwatch` target.
    pub target: TargetId,
    /// What is asked for, by the names that expressions use: of the runbook and of metric math. They begin with a
    /// small letter and consist of letters, digits and `_`.
    #[schemars(with = "BTreeMap<String, CloudwatchMetric>")]
    pub metrics: CloudwatchMetrics,
    /// Length of a bin. 60s when absent; many services have basic metrics every 5m only.
    #[serde(default = "one_minute")]
    pub period: Span,
    /// How long ago a bin must have ended, so that its numbers are complete. 2m when absent.
    #[serde(default = "two_minutes")]
    pub delay: Span,
    /// The age from which a number opens no gate any more, counted from the beginning of its bin. 5m when absent.
    #[serde(default = "five_minutes")]
    pub max_age: Span,
    /// Where the numbers come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

const NO_NUMBER: &str = "CloudWatch has none that is complete and young enough; `why.NAME` says why";

fn one_minute() -> Span {
    Span::secs(60)
}

fn two_minutes() -> Span {
    Span::secs(120)
}

fn five_minutes() -> Span {
    Span::secs(300)
}

impl CloudwatchProbe {
    /// Dollars for a thousand metrics asked for (list price of us-east-1; <https://aws.amazon.com/cloudwatch/pricing/>, "API").
    pub const PRICE_OF_A_THOUSAND: f64 = 0.01;
    /// The account that rehearsals take place in when the target names none.
    pub const REHEARSED_ACCOUNT: &'static str = "000000000000";

    /// Which bins its readings tell of.
    pub fn bins_told(&self) -> Bins {
        Bins { period: self.period, delay: self.delay, max_age: self.max_age }
    }
}

impl ProbeSpec for CloudwatchProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "cloudwatch", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        let why = |name: &String| Field::new(name, Shape::Text, "why it is null").null("it is not null");
        let number = |name: &String| Field::new(name, Shape::Float, "declared in the runbook").null(NO_NUMBER);
        let names = || self.metrics.iter().map(|(name, _)| name);
        let whys = Shape::Record(names().map(why).collect());
        let own = Self::fields().into_iter().filter(|field| check::RESERVED.contains(&field.name.as_str()));
        let own = own.map(|field| if field.name == "why" { Field { shape: whys.clone(), ..field } } else { field });
        Shape::Record(names().map(number).chain(own).collect())
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        let region = match context.target(&self.target) {
            Some(Target::Cloudwatch(of)) => Some(of.region.as_str()).filter(|region| !region.contains('«')),
            _ => None,
        };
        check::faults(&self.metrics, self.bins_told(), region)
    }

    fn warnings(&self, every: Span) -> Vec<Complaint> {
        check::warnings(&self.metrics, self.bins_told(), every)
    }

    fn shortest_limit(&self) -> Option<(Span, &'static str)> {
        Some((Span::secs(4), "credentials may take 3 s to be found"))
    }

    fn bins(&self) -> Option<Bins> {
        Some(self.bins_told())
    }

    fn metrics_asked(&self) -> Option<u32> {
        // Metric math is charged by the metrics in it, which are asked for anyway.
        let asked = self.metrics.iter().filter(|(_, metric)| metric.expression.is_none());
        u32::try_from(asked.count()).ok()
    }

    fn own_fields(&self) -> Option<OwnFields<'_>> {
        Some((self.metrics.types(), &self.simulate))
    }

    fn kept_unknown_by(&self, field: &str, reading: &Value) -> Option<String> {
        reading.at(&format!("why.{field}")).and_then(Value::text).map(str::to_owned)
    }

    fn curves(&self) -> Vec<Curve> {
        let mut units = self.metrics.iter().map(|(_, metric)| metric.unit.as_ref());
        // Numbers of different things have no common scale.
        let first = units.next().flatten();
        let is_one_scale = self.metrics.len() == 1 || (first.is_some() && units.all(|unit| unit == first));
        let curve = |name: &String| Curve { name: name.clone(), path: name.clone(), unit: "", failure: None };
        self.metrics.iter().filter(|_| is_one_scale).map(|(name, _)| curve(name)).collect()
    }
}

impl ProbeDoc for CloudwatchProbe {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str = "`cloudwatch:GetMetricData`, which AWS cannot limit to some metrics. `sts:GetCallerIdentity`, which says who is asking, needs no right. `gonogo iam RUNBOOK` prints a policy.";

    fn fields() -> Vec<Field> {
        vec![
            Field::new(
                "NAME",
                Shape::Float,
                "each metric that the runbook declares under `metrics`: its number in the newest bin",
            )
            .null(NO_NUMBER),
            Field::new("why", Shape::Any, "`why.NAME`: why that metric is null").null("it is not null"),
            Field::new(
                "bin",
                Shape::Text,
                "the beginning of the oldest bin that a number of the reading is of, as RFC 3339",
            ),
            Field::new("behind_s", Shape::Float, "time from the beginning of that bin to the measurement")
                .unit("seconds"),
            Field::new("account", Shape::Text, "the account that the credentials belong to"),
        ]
    }
}

const EXAMPLE: &str = r#"title: Move traffic to the new load balancer
targets:
  metrics: { cloudwatch: { region: eu-central-1, aws: { account: "123456789012", profile: cutover } } }
probes:
  shop:
    kind: cloudwatch
    target: metrics
    metrics:
      requests:
        namespace: AWS/ApplicationELB
        metric: RequestCount
        dimensions: { LoadBalancer: app/shop/50dc6c495c0c9188 }
        statistic: Sum
      errors:
        namespace: AWS/ApplicationELB
        metric: HTTPCode_Target_5XX_Count
        dimensions: { LoadBalancer: app/shop/50dc6c495c0c9188 }
        statistic: Sum
      p95:
        namespace: AWS/ApplicationELB
        metric: TargetResponseTime
        dimensions: { LoadBalancer: app/shop/50dc6c495c0c9188 }
        statistic: p95
        unit: s
      error_share: { expression: "100 * FILL(errors, 0) / requests", unit: "%" }
    every: 30s
phases:
  - title: Move
    steps:
      - id: move
        title: Give it all of the traffic
        gates:
          - { that: shop.error_share < 1.0 && shop.p95 < 0.5, hold: 2m }
        action: { manual: [Set the weight to 100] }
        verify:
          - { that: shop.requests > 100.0 && shop.error_share < 1.0 && shop.p95 < 0.5, hold: 2m, within: 15m }
        reversibility: lossless
        expect: 10m
"#;
