//! The `route53` probe: a record set as the API has it, who changes it, and with whose rights it is asked.

use std::time::Duration;

use aws_sdk_route53::types::HostedZoneConfig;
use tokio::time::Instant;

use super::own::OwnState;
use super::sets::{self, ApiSet};
use crate::core::aws::HostedZone;
use crate::core::hosted::HostedRecordSet;
use crate::core::kind::Route53Probe;
use crate::core::reading::Failure;
use crate::core::time::At;
use crate::core::value::Value;
use crate::world::live::kind::Measure;
use crate::world::live::net::aws::{AwsCaller, CallFailure, Tries};
use crate::world::live::{Shared, foreign};

/// How long what Route 53 says of a zone is good.
const ZONE_LASTS: Duration = Duration::from_mins(1);

/// What Route 53 says of a zone itself.
#[derive(Clone, Debug)]
pub(super) struct ZoneFacts {
    private: bool,
    name_servers: Vec<String>,
}

/// What the probe keeps from one look to the next.
#[derive(Default)]
pub(in crate::world::live) struct HostedMemory {
    zone: Option<(Instant, ZoneFacts)>,
    /// The record set and how far own changes were at the last look.
    last: Option<(Option<String>, OwnState)>,
    by_others: i64,
    others_changed: Option<String>,
}

impl HostedMemory {
    /// Takes in what the record set is now. It was changed by others when it is another one, and nothing of this cockpit's was under
    /// way before, now or in between.
    fn looked(&mut self, now: Option<&ApiSet>, before: OwnState, after: OwnState) {
        let now = now.map(ApiSet::line);
        let words = |set: &Option<String>| set.clone().unwrap_or_else(|| "nothing".to_owned());
        if let Some((then, own)) = &self.last
            && *then != now
            && [before, after].iter().all(|state| state.moments == own.moments && !state.under_way)
            && !own.under_way
        {
            self.by_others += 1;
            self.others_changed = Some(format!("from {} to {}", words(then), words(&now)));
        }
        self.last = Some((now, after));
    }
}

impl Measure for Route53Probe {
    type Memory = HostedMemory;

    const DESCRIPTORS: u32 = 4;

    async fn measure(&self, shared: &Shared, _: Duration, memory: &mut HostedMemory) -> Result<Value, Failure> {
        let zone = shared.hosted_zone(&self.target).map_err(Failure::new)?;
        let asker = shared.aws.asker(&self.target, &zone.aws, &shared.secrets).await.map_err(Failure::new)?;
        let known = memory.zone.clone().filter(|(when, _)| when.elapsed() < ZONE_LASTS);
        let facts = if let Some((_, facts)) = known {
            facts
        } else {
            let facts = facts(&asker, zone).await.map_err(Failure::new)?;
            memory.zone = Some((Instant::now(), facts.clone()));
            facts
        };
        let own = shared.hosted.own(&self.target);
        let before = own.state();
        let found = sets::read(&asker, &zone.id, &self.name, self.record_type).await;
        let found = found.map_err(|failure| Failure::new(format!("{}: {}", zone.address(), failure.words())))?;
        let set = sets::of_id(&found, self.set_id());
        memory.looked(set, before, own.state());
        Ok(self.reading(&asker, &facts, (set, &found), memory))
    }

    fn recall(&self, earlier: &[(At, Value)], memory: &mut HostedMemory) {
        // What was done in between is not known, so nobody is blamed for it; what was seen before stays.
        let newest = earlier.iter().rev().map(|(_, value)| value).next();
        if let Some(count) = newest.and_then(|value| value.at("changed_by_others")).and_then(Value::int) {
            memory.by_others = count;
        }
        let words = newest.and_then(|value| value.at("others_changed")).and_then(Value::text);
        memory.others_changed = words.map(str::to_owned);
    }
}

impl Route53Probe {
    #[allow(clippy::cast_precision_loss)] // at most a hundred weights up to 255
    fn reading(
        &self,
        asker: &AwsCaller,
        facts: &ZoneFacts,
        seen: (Option<&ApiSet>, &[ApiSet]),
        memory: &HostedMemory,
    ) -> Value {
        let (set, beside) = seen;
        let is = |wanted: &Option<HostedRecordSet>| match (set, wanted) {
            (Some(set), Some(wanted)) => set.is(wanted, self.record_type),
            (set, wanted) => set.is_none() && wanted.is_none(),
        };
        let weight = set.and_then(|set| set.set.weight);
        let weights: Vec<u16> = beside.iter().filter_map(|set| set.set.weight).collect();
        let sum: u64 = weights.iter().copied().map(u64::from).sum();
        let share = weight.map(|weight| match sum {
            0 => 1.0 / weights.len() as f64,
            sum => f64::from(weight) / sum as f64,
        });
        let texts = |texts: &[String]| Value::List(texts.iter().map(|text| Value::from(text.clone())).collect());
        let clean = |set: &ApiSet| set.set.values.iter().map(|value| foreign::brief(value, 300)).collect::<Vec<_>>();
        let left = asker.found.left();
        let change = memory.last.as_ref().and_then(|(_, own)| own.newest);
        Value::map([
            ("old", is(&self.old).into()),
            ("new", is(&self.new).into()),
            ("exists", set.is_some().into()),
            ("set", set.map(ApiSet::line).into()),
            ("values", set.map_or(Value::Null, |set| texts(&clean(set)))),
            ("ttl", set.and_then(|set| set.set.ttl).map(i64::from).into()),
            ("alias", set.and_then(|set| set.set.alias.as_ref()).map(|of| foreign::brief(&of.name, 300)).into()),
            ("weight", weight.map(i64::from).into()),
            ("share", share.into()),
            ("change", change.map(str::to_owned).into()),
            ("changed_by_others", memory.by_others.into()),
            ("others_changed", memory.others_changed.clone().into()),
            ("private", facts.private.into()),
            ("name_servers", texts(&facts.name_servers)),
            ("account", foreign::brief(&asker.identity.account, 40).into()),
            ("identity", foreign::brief(&asker.identity.arn, 300).into()),
            ("credentials_end", left.is_some().into()),
            ("credentials_end_in_s", left.map(|left| left.as_secs_f64()).into()),
        ])
    }
}

/// What Route 53 says of the zone, if it is the one that the runbook means.
pub(super) async fn facts(asker: &AwsCaller, zone: &HostedZone) -> Result<ZoneFacts, String> {
    let (client, dialer) = asker.route53(Tries::Again);
    let said = client.get_hosted_zone().id(&zone.id).send().await;
    let said = said.map_err(|err| {
        let failure = CallFailure::of(&err, &dialer);
        format!("{}: {}", zone.address(), failure.words())
    })?;
    let Some(found) = said.hosted_zone() else { return Err(format!("Route 53 says nothing of the zone {}", zone.id)) };
    let private = found.config().is_some_and(HostedZoneConfig::private_zone);
    let (name, is) = (sets::plain_name(found.name()), |private| if private { "private" } else { "public" });
    if name != sets::plain_name(&zone.zone) {
        let name = foreign::brief(&name, 300);
        return Err(format!("the hosted zone {} is {name}, and the runbook means {}", zone.id, zone.zone));
    }
    if private != zone.private {
        return Err(format!(
            "the hosted zone {} is {}, and the runbook means a {} one (`private` of the target)",
            zone.id,
            is(private),
            is(zone.private)
        ));
    }
    let mut name_servers: Vec<String> = said
        .delegation_set()
        .map(|set| set.name_servers().iter().map(|name| foreign::brief(&sets::plain_name(name), 300)).collect())
        .unwrap_or_default();
    name_servers.sort();
    Ok(ZoneFacts { private, name_servers })
}
