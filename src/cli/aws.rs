//! What the command line knows of AWS: whether this build has it, and which rights a runbook needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::check::read;
use super::{CliError, Outcome, RunbookArgs, say};
use crate::core::action::Action;
use crate::core::aws::HostedZone;
use crate::core::ids::TargetId;
use crate::core::origin::actions;
use crate::core::plan::Plan;
use crate::core::target::Target;
use crate::record_data::octal;
use crate::term::ColorChoice;
use crate::text::clean;

/// Refuses a plan that needs AWS in a build without it.
pub(super) fn supported(plan: &Plan) -> Result<(), CliError> {
    match zones(plan).next() {
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

/// Prints the least IAM policy with which a runbook can be driven.
pub(super) fn iam(args: &RunbookArgs, color: ColorChoice) -> Outcome {
    let plan = read(args, color)?.plan;
    if zones(&plan).next().is_none() {
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
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn partition(zone: &HostedZone) -> &'static str {
    match zone.aws.region.as_deref() {
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
probes:
  look: { kind: route53, target: other, name: www.example.org, new: { values: ["192.0.2.1"], ttl: 60 }, every: 10s }
phases:
  - title: P
    steps:
      - id: a
        title: A
        action: { route53.change: { target: zone, changes: [{ name: "*.Example.com.", to: { values: ["192.0.2.1"], ttl: 60 } }] } }
        undo: { route53.change: { target: zone, changes: [{ name: "*.example.com", from: { values: ["192.0.2.1"], ttl: 60 } }] } }
        reversibility: lossless
"#;
        let loaded = load_str("r", runbook.to_owned(), &Options::default());
        let policy = policy(&loaded.unwrap_or_else(|faults| panic!("{faults}")).plan);
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
        ]);
        assert_eq!(policy, json!({ "Version": "2012-10-17", "Statement": statements }));
    }
}
