//! The `route53.change` action: one batch that deletes exactly what is there and creates what is wanted, sent once.
//!
//! What it leads back to stands in the plan, whole, before anything is sent: `from` of each change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ChangeStatus};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::own::OwnChanges;
use super::probe::facts;
use super::sets::{self, ApiSet};
use crate::core::aws::HostedZone;
use crate::core::hosted::{BatchSides, HostedChange, HostedRecordSet, sides};
use crate::core::job::{Adoption, JobKey, Outcome};
use crate::core::kind::Route53Action;
use crate::core::time::Span;
use crate::world::WorldEvent;
use crate::world::live::jobs::{Reporter, wait_for_stop};
use crate::world::live::kind::{JobContext, Perform};
use crate::world::live::net::aws::{AwsCaller, CallFailure, Tries};
use crate::world::live::{Shared, see_through};

/// Time from one question for the state of a change to the next.
const POLL: Duration = Duration::from_secs(5);
/// Time until a batch that came too early is sent again, first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// How long it is looked whether a change takes effect whose answer was lost, and how often.
const LOOK: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Perform for Route53Action {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (change(shared, self, job).await, None)
    }

    async fn take_up(self, shared: Arc<Shared>, key: JobKey, _: watch::Receiver<bool>) {
        shared.outbox.verdict(WorldEvent::Adopted { key: key.clone(), adoption: Adoption::Running });
        let work = {
            let (shared, key) = (Arc::clone(&shared), key.clone());
            async move {
                let report = Reporter::new(&shared, &key);
                (found_again(&shared, &self, &report).await, None)
            }
        };
        Box::pin(see_through(&shared, key, work)).await;
    }
}

/// What is asked, and by whom.
struct Place<'a> {
    shared: &'a Shared,
    action: &'a Route53Action,
    zone: &'a HostedZone,
    asker: AwsCaller,
    report: &'a Reporter,
}

/// A record set of the batch as it is now.
struct Now<'a> {
    sides: BatchSides<'a>,
    found: Option<ApiSet>,
    /// What else there is of its name and type.
    beside: Vec<String>,
}

impl Now<'_> {
    fn is(&self, written: Option<&HostedRecordSet>) -> bool {
        match (&self.found, written) {
            (Some(found), Some(written)) => found.is(written, self.sides.change.record_type),
            (found, written) => found.is_none() && written.is_none(),
        }
    }

    /// Whether the change has been made.
    fn is_as_wanted(&self) -> bool {
        self.is(self.sides.after)
    }

    /// Whether it can be made.
    fn is_as_expected(&self) -> bool {
        self.is(self.sides.before)
    }

    /// What is there, and what is not.
    fn in_the_way(&self) -> String {
        let record = self.sides.change.record();
        let has = match (&self.found, self.beside.as_slice()) {
            (Some(found), _) => found.line(),
            (None, []) => "nothing".to_owned(),
            (None, others) => others.join("; "),
        };
        let expected = self.sides.before.map_or_else(|| "nothing".to_owned(), HostedRecordSet::line);
        format!("{record} has {has}, not {expected}")
    }
}

async fn change(shared: &Shared, action: &Route53Action, job: JobContext<'_>) -> Outcome {
    let JobContext { key, report, mut stop } = job;
    let failed = |what: String| Outcome::Failed { what: format!("{what}; nothing was sent") };
    let started = Instant::now();
    let until = started + action.limit.to_std();
    let own = shared.hosted.own(&action.target);
    let turn = tokio::select! {
        biased;
        () = wait_for_stop(&mut stop) => return failed("stopped before anything was sent".to_owned()),
        turn = timeout_at(until, own.turn.lock()) => turn,
    };
    let Ok(_turn) = turn else {
        return failed(format!("{}: another change of the zone was under way for {}", action.target, action.limit));
    };
    let prepared = tokio::select! {
        biased;
        () = wait_for_stop(&mut stop) => return failed("stopped before anything was sent".to_owned()),
        prepared = timeout_at(until, Box::pin(prepare(shared, action, report))) => prepared,
    };
    let (zone, batch) = match prepared {
        Ok(Ok(Ready::Batch(zone, batch))) => (zone, batch),
        Ok(Ok(Ready::Needless(summary))) => return Outcome::Succeeded { summary },
        Ok(Err(what)) => return failed(what),
        Err(_) => return failed(format!("{}: no answer within {}", action.target, action.limit)),
    };
    let mut again = AGAIN.0;
    loop {
        let sending = own.sending();
        let sent = submit(&zone, key, &batch).await;
        let too_early = match sent {
            Ok(accepted) => {
                own.is("PENDING");
                drop(sending);
                return follow(&zone, &own, accepted, until, &mut stop).await;
            }
            Err(CallFailure::Refused(refusal)) if refusal.is_too_early() => refusal,
            Err(failure) => {
                let outcome = unanswered(&zone, failure).await;
                match &outcome {
                    Outcome::Succeeded { .. } => own.is("PENDING"),
                    _ => own.is_none(),
                }
                return outcome;
            }
        };
        own.is_none();
        drop(sending);
        let why = if too_early.code == "PriorRequestNotComplete" {
            "Route 53 is still applying an earlier change of this zone"
        } else {
            "Route 53 has too many requests of this account"
        };
        let waited = started.elapsed().as_secs();
        report.line(&format!("{why}; nothing was changed, asked again in {} s ({waited} s so far)", again.as_secs()));
        if Instant::now() + again >= until {
            let what = format!("{}: {why} for {}: {}", action.target, action.limit, too_early.words());
            return Outcome::Failed { what: format!("{what}; nothing was changed") };
        }
        tokio::select! {
            () = sleep(again) => {}
            () = wait_for_stop(&mut stop) => {
                return Outcome::Failed { what: format!("stopped while {why}; nothing was changed") };
            }
        }
        again = (again * 2).min(AGAIN.1);
    }
}

/// What is to be done.
enum Ready<'a> {
    /// This is sent.
    Batch(Box<Place<'a>>, Box<ChangeBatch>),
    /// Everything is as wanted.
    Needless(String),
}

async fn prepare<'a>(shared: &'a Shared, action: &'a Route53Action, report: &'a Reporter) -> Result<Ready<'a>, String> {
    let zone = asked(shared, action, report).await?;
    facts(&zone.asker, zone.zone).await?;
    let now = zone.look().await.map_err(|failure| format!("{}: {}", zone.place(), failure.words()))?;
    if now.iter().all(Now::is_as_wanted) {
        return Ok(Ready::Needless(format!("it was so already in {}; nothing was changed", zone.place())));
    }
    let wrong: Vec<String> = now.iter().filter(|now| !now.is_as_expected()).map(Now::in_the_way).collect();
    if !wrong.is_empty() {
        return Err(format!("{} is not as the runbook expects: {}", zone.place(), wrong.join("; ")));
    }
    let batch = batch(&now).map_err(|err| format!("the batch cannot be made: {err}"))?;
    Ok(Ready::Batch(Box::new(zone), Box::new(batch)))
}

/// Who asks, known before anything is sent.
async fn asked<'a>(shared: &'a Shared, action: &'a Route53Action, report: &'a Reporter) -> Result<Place<'a>, String> {
    let zone = shared.hosted_zone(&action.target)?;
    let asker = shared.aws.asker(&action.target, &zone.aws, &shared.secrets).await?;
    report.line(&format!("as {} in account {}", asker.identity.arn, asker.identity.account));
    Ok(Place { shared, action, zone, asker, report })
}

/// Deletes exactly what was read, and creates what is wanted.
fn batch(now: &[Now<'_>]) -> Result<ChangeBatch, BuildError> {
    let mut changes = Vec::new();
    let change = |action, set| Change::builder().action(action).resource_record_set(set).build();
    for found in now.iter().filter_map(|now| now.found.as_ref()) {
        changes.push(change(ChangeAction::Delete, found.raw.clone())?);
    }
    for BatchSides { change: of, after, .. } in now.iter().map(|now| now.sides) {
        if let Some(after) = after {
            changes.push(change(ChangeAction::Create, sets::for_api(&of.name, of.record_type, after)?)?);
        }
    }
    ChangeBatch::builder().set_changes(Some(changes)).build()
}

impl Place<'_> {
    /// The zone with its name in the runbook.
    fn place(&self) -> String {
        self.shared.secrets.tell(&format!("{} ({})", self.action.target, self.zone.address()))
    }

    async fn look(&self) -> Result<Vec<Now<'_>>, CallFailure> {
        let mut read: BTreeMap<(String, &str), Vec<ApiSet>> = BTreeMap::new();
        let mut now = Vec::new();
        for ((name, of, set_id), sides) in sides(&self.action.changes) {
            let record = (name, of);
            if !read.contains_key(&record) {
                let change = sides.change;
                let sets = sets::read(&self.asker, &self.zone.id, &change.name, change.record_type).await?;
                read.insert(record.clone(), sets);
            }
            let sets = read.get(&record).map(Vec::as_slice).unwrap_or_default();
            let found = sets::of_id(sets, set_id).cloned();
            now.push(Now { sides, found, beside: sets.iter().map(ApiSet::line).collect() });
        }
        Ok(now)
    }

    /// The names of all records that change.
    fn records(&self) -> String {
        let mut names: Vec<String> = self.action.changes.iter().map(HostedChange::record).collect();
        names.dedup();
        names.join(", ")
    }
}

/// A change that Route 53 has accepted.
struct Accepted {
    id: String,
    status: ChangeStatus,
    since: Instant,
}

/// Sends the batch, once.
async fn submit(zone: &Place<'_>, key: &JobKey, batch: &ChangeBatch) -> Result<Accepted, CallFailure> {
    let (client, dialer) = zone.asker.route53(Tries::Once);
    // Whoever looks at the change in CloudTrail finds the run.
    let comment = format!("gonogo {} {key}", zone.shared.options.run_id);
    let mut batch = batch.clone();
    batch.comment = Some(comment.chars().take(256).collect());
    let since = Instant::now();
    let sent = client.change_resource_record_sets().hosted_zone_id(&zone.zone.id).change_batch(batch).send().await;
    let sent = sent.map_err(|err| CallFailure::of(&err, &dialer))?;
    match sent.change_info {
        Some(info) => {
            let id = info.id.trim_start_matches("/change/").to_owned();
            Ok(Accepted { id, status: info.status, since })
        }
        None => Err(CallFailure::Lost("the answer says nothing of the change".to_owned())),
    }
}

/// Waits until all name servers of Route 53 have the change. It is accepted: from here on nothing is a failure.
async fn follow(
    zone: &Place<'_>,
    own: &OwnChanges,
    accepted: Accepted,
    until: Instant,
    stop: &mut watch::Receiver<bool>,
) -> Outcome {
    let Accepted { id, mut status, since } = accepted;
    let done = |state: &str| Outcome::Succeeded {
        summary: format!("{} changed in {}: {state} (change {id})", zone.records(), zone.place()),
    };
    let age = || Span::secs(since.elapsed().as_secs());
    zone.report.line(&format!("Route 53 has accepted change {id}: {}", status.as_str()));
    let mut next = since + POLL;
    loop {
        if status == ChangeStatus::Insync {
            own.is("INSYNC");
            zone.report.line(&format!("change {id} is INSYNC after {}", age()));
            return done(&format!("INSYNC after {}", age()));
        }
        if next >= until {
            return done(&format!("accepted, and still PENDING after {}, which is no failure", age()));
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = wait_for_stop(stop) => {
                return done(&format!("accepted; PENDING after {}, when waiting for INSYNC was stopped", age()));
            }
        }
        next = Instant::now() + POLL;
        let (client, dialer) = zone.asker.route53(Tries::Again);
        match client.get_change().id(&id).send().await {
            Ok(said) => {
                status = said.change_info.map_or(status, |info| info.status);
                if status != ChangeStatus::Insync {
                    zone.report.line(&format!("change {id} is {} for {}", status.as_str(), age()));
                }
            }
            Err(err) => {
                let why = CallFailure::of(&err, &dialer).words();
                zone.report.line(&format!("change {id}: its state is not known after {}: {why}", age()));
            }
        }
    }
}

/// The batch was sent and not accepted, or nobody knows.
async fn unanswered(zone: &Place<'_>, failure: CallFailure) -> Outcome {
    let place = zone.place();
    match failure {
        CallFailure::Unsent(what) => Outcome::Failed { what: format!("{place}: {what}; nothing was sent") },
        CallFailure::Refused(refusal) => {
            let said = refusal.words();
            let now = zone.look().await.unwrap_or_default();
            if !now.is_empty() && now.iter().all(Now::is_as_wanted) {
                let summary = format!("somebody else has changed {} in {place} just so meanwhile", zone.records());
                return Outcome::Succeeded { summary };
            }
            let wrong: Vec<String> = now.iter().filter(|now| !now.is_as_expected()).map(Now::in_the_way).collect();
            let what = if wrong.is_empty() {
                format!("{place} refuses the change: {said}")
            } else {
                format!(
                    "somebody has changed {place} meanwhile: {}; Route 53 refuses the batch: {said}",
                    wrong.join("; ")
                )
            };
            Outcome::Failed { what: format!("{what}; nothing was changed") }
        }
        CallFailure::Lost(why) => {
            zone.report.line(&format!("the answer was lost ({why}): looking at the record sets"));
            match settle(zone).await {
                Settled::Done => {
                    let summary = format!("{} is as wanted in {place}, though the answer was lost", zone.records());
                    Outcome::Succeeded { summary }
                }
                Settled::Not(what) => Outcome::Unknown {
                    why: format!("the batch was sent to {place} and its answer was lost ({why}); {what}"),
                },
            }
        }
    }
}

/// What the record sets say of a change that may have been made.
enum Settled {
    /// It is made.
    Done,
    /// It is not, or nobody knows: what is known.
    Not(String),
}

/// Looks until the change is seen, for a while.
async fn settle(zone: &Place<'_>) -> Settled {
    let until = Instant::now() + LOOK;
    loop {
        let seen = zone.look().await;
        if seen.as_ref().is_ok_and(|now| now.iter().all(Now::is_as_wanted)) {
            return Settled::Done;
        }
        if Instant::now() >= until {
            let seconds = LOOK.as_secs();
            return Settled::Not(match seen {
                Ok(now) if now.iter().all(Now::is_as_expected) => {
                    format!("{seconds} s later all is as before, and it may still be carried out")
                }
                Ok(now) => {
                    let wrong: Vec<String> =
                        now.iter().filter(|now| !now.is_as_wanted()).map(Now::in_the_way).collect();
                    format!("{seconds} s later it is neither as before nor as wanted: {}", wrong.join("; "))
                }
                Err(failure) => format!("and nothing could be seen: {}", failure.words()),
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What has become of a change that an earlier cockpit may have sent. Nothing is sent.
async fn found_again(shared: &Shared, action: &Route53Action, report: &Reporter) -> Outcome {
    let zone = match asked(shared, action, report).await {
        Ok(zone) => zone,
        Err(why) => return Outcome::Unknown { why: format!("the record sets cannot be looked at: {why}") },
    };
    let seen = SystemTime::now();
    match settle(&zone).await {
        Settled::Done => Outcome::Succeeded {
            summary: format!("{} is as wanted in {}: it was carried out", zone.records(), zone.place()),
        },
        Settled::Not(what) => {
            let looked = seen.elapsed().map_or(0, |took| took.as_secs());
            Outcome::Unknown { why: format!("looked at {} for {looked} s: {what}", zone.place()) }
        }
    }
}
