//! What the command line knows of AWS: whether this build has it, and which rights a runbook needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::check::read;
use super::{CliError, Outcome, RunbookArgs, say};
use crate::core::action::Action;
use crate::core::aws::{AwsAccess, CloudWatchRegion, HostedZone};
use crate::core::ids::TargetId;
use crate::core::kind::CloudwatchProbe;
use crate::core::origin::actions;
use crate::core::plan::Plan;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::record_data::octal;
use crate::term::ColorChoice;
use crate::text::clean;
use crate::words;

/// Refuses a plan that needs AWS in a build without it.
pub(super) fn supported(plan: &Plan) -> Result<(), CliError> {
    match in_aws(plan).next() {
        Some((id, _)) if cfg!(not(feature = "aws")) => Err(CliError::usage(format!(
            "the target `{id}` is in AWS, and this build of gonogo has none: build it with the cargo feature `aws`, which is on by \
             default; nothing was started"
        ))),
        _ => Ok(()),
    }
}

fn zones(plan: &Plan) -> impl Iterator<Item = (&TargetId, &HostedZone)> {
    plan.targets.iter().filter_map(|(id, target)| match target {
        Target::Route53(zone) => Some((id, zone)),
        _ => None,
    })
}

/// The targets in AWS, with whose rights they are asked.
fn in_aws(plan: &Plan) -> impl Iterator<Item = (&TargetId, &AwsAccess)> {
    plan.targets.iter().filter_map(|(id, target)| match target {
        Target::Route53(zone) => Some((id, &zone.aws)),
        Target::Cloudwatch(of) => Some((id, &of.aws)),
        Target::Postgres(_) | Target::Dns(_) | Target::Http(_) => None,
    })
}

/// What probes of CloudWatch cost, in one line; nothing when there are none.
pub(super) fn cost(plan: &Plan) -> Option<String> {
    let asked: Vec<(Span, u32)> =
        plan.probes.values().filter_map(|probe| Some((probe.every, probe.kind.metrics_asked()?))).collect();
    if asked.is_empty() {
        return None;
    }
    let an_hour: f64 =
        asked.iter().map(|(every, metrics)| f64::from(*metrics) * 3_600.0 / every.as_secs_f64().max(0.001)).sum();
    let metrics: usize = asked.iter().filter_map(|(_, metrics)| usize::try_from(*metrics).ok()).sum();
    let dollars = an_hour / 1_000.0 * CloudwatchProbe::PRICE_OF_A_THOUSAND;
    Some(format!(
        "CloudWatch: {} asked for, {an_hour:.0} an hour: ${dollars:.3} for each hour of a run, at ${:.2} for 1,000 metrics (GetMetricData, list price of us-east-1, https://aws.amazon.com/cloudwatch/pricing/)",
        words::count(metrics, "metric"),
        CloudwatchProbe::PRICE_OF_A_THOUSAND
    ))
}

/// Prints the least IAM policy with which a runbook can be driven.
pub(super) fn iam(args: &RunbookArgs, color: ColorChoice) -> Outcome {
    let plan = read(args, color)?.plan;
    if in_aws(&plan).next().is_none() {
        return Err(CliError::usage(format!("\"{}\" has no target in AWS, so it needs no policy", clean(&plan.title))));
    }
    say(&serde_json::to_string_pretty(&policy(&plan)).map_err(CliError::outside)?);
    Ok(0)
}

/// What is changed in one zone.
#[derive(Default)]
struct Wanted {
    names: BTreeSet<String>,
    types: BTreeSet<&'static str>,
    deletes: bool,
    creates: bool,
}

/// The least policy for exactly the zones, names, types and actions of a plan, its way back included.
fn policy(plan: &Plan) -> Value {
    let mut wanted: BTreeMap<&TargetId, Wanted> = BTreeMap::new();
    for changes in actions(plan).filter_map(Action::hosted) {
        let of = wanted.entry(changes.target).or_default();
        for change in changes.changes {
            of.names.insert(octal::name(&change.name));
            of.types.insert(change.record_type.as_str());
            of.deletes |= change.from.is_some();
            of.creates |= change.to.is_some();
        }
    }
    let mut statements = Vec::new();
    let mut partitions = BTreeSet::new();
    for (at, (id, zone)) in zones(plan).enumerate() {
        let partition = partition(zone);
        let resource = format!("arn:{partition}:route53:::hostedzone/{}", zone.id);
        statements.push(json!({
            "Sid": format!("Read{at}"),
            "Effect": "Allow",
            "Action": ["route53:GetHostedZone", "route53:ListResourceRecordSets"],
            "Resource": resource,
        }));
        let Some(of) = wanted.get(id) else { continue };
        partitions.insert(partition);
        let sides = [(of.creates, "CREATE"), (of.deletes, "DELETE")];
        let sides: Vec<&str> = sides.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        statements.push(json!({
            "Sid": format!("Change{at}"),
            "Effect": "Allow",
            "Action": "route53:ChangeResourceRecordSets",
            "Resource": resource,
            "Condition": { "ForAllValues:StringEquals": {
                "route53:ChangeResourceRecordSetsNormalizedRecordNames": of.names,
                "route53:ChangeResourceRecordSetsRecordTypes": of.types,
                "route53:ChangeResourceRecordSetsActions": sides,
            } },
        }));
    }
    for (at, partition) in partitions.into_iter().enumerate() {
        statements.push(json!({
            "Sid": format!("Follow{at}"),
            "Effect": "Allow",
            "Action": "route53:GetChange",
            "Resource": format!("arn:{partition}:route53:::change/*"),
        }));
    }
    if plan.probes.values().any(|probe| probe.kind.metrics_asked().is_some()) {
        // It has neither resources nor conditions for single metrics.
        statements.push(json!({
            "Sid": "Metrics", "Effect": "Allow", "Action": "cloudwatch:GetMetricData", "Resource": "*",
        }));
    }
    for (at, (id, of)) in regions(plan).enumerate() {
        let silences = actions(plan).filter_map(Action::silence).filter(|silence| silence.target == id);
        let alarms: BTreeSet<&str> = silences.flat_map(|silence| silence.alarms).map(String::as_str).collect();
        if alarms.is_empty() {
            continue;
        }
        let (partition, account) = (partition_of(Some(&of.region)), of.aws.account.as_deref().unwrap_or("*"));
        let arn = |alarm: &str| format!("arn:{partition}:cloudwatch:{}:{account}:alarm:{alarm}", of.region);
        statements.push(json!({
            "Sid": format!("Alarms{at}"), "Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*",
        }));
        statements.push(json!({
            "Sid": format!("Silence{at}"),
            "Effect": "Allow",
            "Action": ["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions"],
            "Resource": alarms.into_iter().map(arn).collect::<Vec<_>>(),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn regions(plan: &Plan) -> impl Iterator<Item = (&TargetId, &CloudWatchRegion)> {
    plan.targets.iter().filter_map(|(id, target)| match target {
        Target::Cloudwatch(of) => Some((id, of)),
        _ => None,
    })
}

fn partition(zone: &HostedZone) -> &'static str {
    partition_of(zone.aws.region.as_deref())
}

fn partition_of(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Options, load_str};

    #[test]
    fn the_policy_allows_what_the_runbook_does_and_nothing_else() {
        let runbook = r#"
title: Move
targets:
  zone: { route53: { zone: example.com, id: Z1 } }
  other: { route53: { zone: example.org, id: Z2, aws: { region: us-gov-west-1 } } }
  metrics: { cloudwatch: { region: eu-central-1 } }
probes:
  shop:
    kind: cloudwatch
    target: metrics
    every: 30s
    metrics:
      errors: { namespace: Shop, metric: Errors, statistic: Sum }
      twice: { expression: 2 * errors }
  look: { kind: route53, target: other, name: www.example.org, new: { values: ["192.0.2.1"], ttl: 60 }, every: 10s }
phases:
  - title: P
    steps:
      - id: a
        title: A
        action: { route53.change: { target: zone, changes: [{ name: "*.Example.com.", to: { values: ["192.0.2.1"], ttl: 60 } }] } }
        undo: { route53.change: { target: zone, changes: [{ name: "*.example.com", from: { values: ["192.0.2.1"], ttl: 60 } }] } }
        reversibility: lossless
      - id: b
        title: B
        action: { cloudwatch.silence: { target: metrics, alarms: [y, x] } }
        undo: { cloudwatch.silence: { target: metrics, alarms: [x], end: true } }
        reversibility: free
"#;
        let loaded = load_str("r", runbook.to_owned(), &Options::default());
        let plan = loaded.unwrap_or_else(|faults| panic!("{faults}")).plan;
        let policy = policy(&plan);
        let cost = cost(&plan).unwrap();
        assert!(
            cost.starts_with("CloudWatch: 1 metric asked for, 120 an hour: $0.001 for each hour of a run"),
            "{cost}"
        );
        let read = |resource: &str, sid: &str| {
            json!({
                "Sid": sid,
                "Effect": "Allow",
                "Action": ["route53:GetHostedZone", "route53:ListResourceRecordSets"],
                "Resource": resource,
            })
        };
        let change = json!({
            "Sid": "Change1",
            "Effect": "Allow",
            "Action": "route53:ChangeResourceRecordSets",
            "Resource": "arn:aws:route53:::hostedzone/Z1",
            "Condition": { "ForAllValues:StringEquals": {
                "route53:ChangeResourceRecordSetsNormalizedRecordNames": [r"\052.example.com"],
                "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
                "route53:ChangeResourceRecordSetsActions": ["CREATE", "DELETE"],
            } },
        });
        let follow = json!({
            "Sid": "Follow0", "Effect": "Allow", "Action": "route53:GetChange", "Resource": "arn:aws:route53:::change/*",
        });
        let statements = json!([
            read("arn:aws-us-gov:route53:::hostedzone/Z2", "Read0"),
            read("arn:aws:route53:::hostedzone/Z1", "Read1"),
            change,
            follow,
            json!({ "Sid": "Metrics", "Effect": "Allow", "Action": "cloudwatch:GetMetricData", "Resource": "*" }),
            json!({ "Sid": "Alarms0", "Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*" }),
            json!({
                "Sid": "Silence0",
                "Effect": "Allow",
                "Action": ["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions"],
                "Resource": ["arn:aws:cloudwatch:eu-central-1:*:alarm:x", "arn:aws:cloudwatch:eu-central-1:*:alarm:y"],
            }),
        ]);
        assert_eq!(policy, json!({ "Version": "2012-10-17", "Statement": statements }));
    }
}
