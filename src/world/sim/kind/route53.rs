//! The `route53` probe and the `route53.change` action in a rehearsal.

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::hosted::{HostedChanges, HostedRecordSet};
use crate::core::job::{Outcome, Stream};
use crate::core::kind::spec::ProbeSpec as _;
use crate::core::kind::{Route53Action, Route53Probe};
use crate::core::record::RecordType;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::hosted::is_same;
use crate::world::sim::model::Model;
use crate::world::sim::trouble::Troubles;

/// The usual time until all name servers of Route 53 have a change, in milliseconds.
const PROPAGATION: f64 = 30_000.0;

impl Observe for Route53Probe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(120.0, 0.4)
    }

    #[allow(clippy::cast_precision_loss)] // weights up to 255
    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        let hosted = &look.model.hosted;
        let watched = self.hosted_set().ok_or_else(|| format!("{} watches no record set", look.id))?;
        let set = hosted.seen_by(&watched);
        let (count, changed) = hosted.others_on(&watched).cloned().unwrap_or_default();
        let is = |wanted: &Option<HostedRecordSet>| Value::Bool(is_same(self.record_type, set, wanted.as_ref()));
        let weight = set.and_then(|set| set.weight);
        let share = weight.map(|weight| match hosted.weights_beside(&watched) {
            (0, count) => 1.0 / count as f64,
            (sum, _) => f64::from(weight) / sum as f64,
        });
        let (private, account) = match look.model.target(&self.target) {
            Some(Target::Route53(zone)) => (zone.private, zone.aws.account.clone()),
            _ => (false, None),
        };
        let account = account.unwrap_or_else(|| Self::REHEARSED_ACCOUNT.to_owned());
        let mut values: Vec<String> = set.map(|set| set.values.clone()).unwrap_or_default();
        values.sort();
        let values = Value::List(values.into_iter().map(Value::from).collect());
        let servers: &[&str] = if private { &[] } else { &["ns-1.awsdns-01.com", "ns-2.awsdns-02.net"] };
        Ok(Value::map([
            ("old", is(&self.old)),
            ("new", is(&self.new)),
            ("exists", set.is_some().into()),
            ("set", set.map(HostedRecordSet::line).into()),
            ("values", if set.is_some() { values } else { Value::Null }),
            ("ttl", set.and_then(|set| set.ttl).map(i64::from).into()),
            ("alias", set.and_then(|set| set.alias.as_ref()).map(|alias| alias.name.clone()).into()),
            ("weight", weight.map(i64::from).into()),
            ("share", share.into()),
            ("change", hosted.is_changed(&self.target).then(|| "INSYNC".to_owned()).into()),
            ("changed_by_others", count.into()),
            ("others_changed", (count > 0).then_some(changed).into()),
            ("private", private.into()),
            ("name_servers", Value::List(servers.iter().map(|name| Value::from(*name)).collect())),
            ("identity", format!("arn:aws:sts::{account}:assumed-role/rehearsal/gonogo").into()),
            ("account", account.into()),
            ("credentials_end", true.into()),
            ("credentials_end_in_s", Value::Float(Self::REHEARSED_CREDENTIALS.as_secs_f64())),
        ]))
    }
}

impl Rehearse for Route53Action {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        dice.around(expected.ms.map_or(PROPAGATION, |ms| PROPAGATION.min(ms * 0.5)), 0.35)
    }

    fn prints(&self, _: Span) -> Vec<(f64, Stream, String)> {
        let lines = [(0.02, "Route 53 has accepted the change: PENDING"), (0.99, "Route 53 says INSYNC")];
        lines.map(|(part, line)| (part, Stream::Out, line.to_owned())).into()
    }

    fn result(&self, took: Span) -> String {
        format!("INSYNC after {took}")
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        // Route 53 answers within seconds; what takes long is that all of its servers get it, and that needs nobody here.
        if cut.well && cut.took > Span::secs(2) {
            let summary = format!("the change is accepted and still PENDING after {}", cut.took);
            return (Outcome::Succeeded { summary }, true);
        }
        cut.in_doubt(self.limit)
    }

    fn hindrance(&self, _: &Model, troubles: &mut Troubles, _: &mut Dice) -> Option<String> {
        let says = troubles.refuses()?;
        Some(format!(
            "{}: Route 53 refuses the change for longer than {}: {says}; nothing was changed",
            self.target, self.limit
        ))
    }

    fn finds_out(&self) -> Option<&'static str> {
        Some("the answer was lost, and the record sets are as wanted")
    }

    fn change(&self, model: &mut Model, expect: Option<Span>) -> Result<Option<String>, String> {
        let said = model.change_hosted(HostedChanges { target: &self.target, changes: &self.changes })?;
        for change in &self.simulate {
            model.change(change, expect);
        }
        Ok(Some(said))
    }
}

impl Model {
    /// Changes record sets of a hosted zone, and what its name servers answer.
    fn change_hosted(&mut self, of: HostedChanges<'_>) -> Result<String, String> {
        let said = self.hosted.change(self.now, of).map_err(|why| format!("{}: {why}", of.target))?;
        let mut records: Vec<(&str, RecordType)> =
            of.changes.iter().map(|change| (change.name.as_str(), change.record_type)).collect();
        records.dedup();
        for (name, of_type) in records {
            self.publish_hosted(of.target, name, of_type);
        }
        Ok(said)
    }
}
