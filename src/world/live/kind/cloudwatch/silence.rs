//! The `cloudwatch.silence` action: alarm actions switched off and on again, each call sent once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::silenced::SilencedAlarms;
use crate::core::job::{Adoption, JobKey, Outcome};
use crate::core::kind::SilenceAction;
use crate::core::time::Span;
use crate::world::WorldEvent;
use crate::world::live::jobs::{Reporter, wait_for_stop};
use crate::world::live::kind::{JobContext, Perform};
use crate::world::live::net::aws::{AwsCaller, CallFailure, Tries};
use crate::world::live::{Shared, foreign, see_through};

/// Time until a call that came too early is sent again, first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// How long it is looked whether a call takes effect whose answer was lost, and how often.
const LOOK: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Perform for SilenceAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (silence(shared, self, job).await, None)
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

/// An alarm as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AlarmNow {
    /// Whether its actions are on.
    acts: bool,
    /// Whether it is in ALARM.
    in_alarm: bool,
}

/// What is asked, and by whom.
struct Place<'a> {
    action: &'a SilenceAction,
    asker: AwsCaller,
    called: String,
    record: SilencedAlarms,
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().cloned().collect::<Vec<_>>().join(", ")
}

/// Some names behind a comma, or nothing.
fn beside<'a>(what: &str, of: impl IntoIterator<Item = &'a String>) -> String {
    let of = names(of);
    if of.is_empty() { of } else { format!("; {what}: {of}") }
}

async fn asked<'a>(shared: &'a Shared, action: &'a SilenceAction, report: &Reporter) -> Result<Place<'a>, String> {
    let region = shared.cloudwatch(&action.target)?;
    let asker = shared.aws.asker(&action.target, &region.access(), &shared.secrets).await?;
    report.line(&format!("as {} in account {}", asker.identity.arn, asker.identity.account));
    let called = shared.secrets.tell(&format!("{} ({})", action.target, region.address()));
    Ok(Place { action, asker, called, record: SilencedAlarms::of(&shared.options.run_dir, &action.target) })
}

impl Place<'_> {
    /// The alarms that there are, by name.
    async fn look(&self) -> Result<BTreeMap<String, AlarmNow>, CallFailure> {
        let (client, dialer) = self.asker.cloudwatch(Tries::Again);
        let call = client
            .describe_alarms()
            .set_alarm_names(Some(self.action.alarms.clone()))
            .set_alarm_types(Some(vec![AlarmType::MetricAlarm, AlarmType::CompositeAlarm]))
            .max_records(100);
        let said = call.send().await.map_err(|err| CallFailure::of(&err, &dialer))?;
        let now = |acts: Option<bool>, state: Option<&StateValue>| AlarmNow {
            acts: acts.unwrap_or(false),
            in_alarm: state == Some(&StateValue::Alarm),
        };
        let mut found = BTreeMap::new();
        for alarm in said.metric_alarms() {
            found.insert(
                alarm.alarm_name().unwrap_or_default().to_owned(),
                now(alarm.actions_enabled(), alarm.state_value()),
            );
        }
        for alarm in said.composite_alarms() {
            found.insert(
                alarm.alarm_name().unwrap_or_default().to_owned(),
                now(alarm.actions_enabled(), alarm.state_value()),
            );
        }
        Ok(found)
    }

    /// Sends the one call that changes something, once.
    async fn submit(&self, alarms: &BTreeSet<String>) -> Result<(), CallFailure> {
        let (client, dialer) = self.asker.cloudwatch(Tries::Once);
        let alarms = Some(alarms.iter().cloned().collect());
        if self.action.end {
            let sent = client.enable_alarm_actions().set_alarm_names(alarms).send().await;
            sent.map(|_| ()).map_err(|err| CallFailure::of(&err, &dialer))
        } else {
            let sent = client.disable_alarm_actions().set_alarm_names(alarms).send().await;
            sent.map(|_| ()).map_err(|err| CallFailure::of(&err, &dialer))
        }
    }

    /// Looks for a while whether all of `alarms` are as wanted; what they are at last, if it is known.
    async fn settle(&self, alarms: &BTreeSet<String>) -> (bool, Option<BTreeMap<String, AlarmNow>>) {
        let until = Instant::now() + LOOK;
        let mut last = None;
        loop {
            if let Ok(now) = self.look().await {
                let is_so = |alarm: &String| now.get(alarm).is_none_or(|alarm| alarm.acts == self.action.end);
                if alarms.iter().all(is_so) {
                    return (true, Some(now));
                }
                last = Some(now);
            }
            if Instant::now() + LOOK_EVERY >= until {
                return (false, last);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The result when all of `alarms` are as wanted.
    async fn done(&self, alarms: &BTreeSet<String>, now: &BTreeMap<String, AlarmNow>, how: &str) -> Outcome {
        let place = &self.called;
        if !self.action.end {
            let others = self.action.alarms.iter().filter(|alarm| !alarms.contains(*alarm));
            let summary = format!(
                "silent in {place}{how}: {}{}",
                names(alarms),
                beside("silent before, and left so at the end", others)
            );
            return Outcome::Succeeded { summary };
        }
        let mut left = match self.record.read().await {
            Ok(left) => left.unwrap_or_default(),
            Err(why) => return Outcome::Failed { what: format!("the alarms have their actions again, and {why}") },
        };
        left.retain(|alarm| !alarms.contains(alarm));
        if let Err(why) = self.record.write(left).await {
            return Outcome::Failed { what: format!("the alarms have their actions again, and {why}") };
        }
        let missed = alarms.iter().filter(|alarm| now.get(*alarm).is_some_and(|alarm| alarm.in_alarm));
        let gone = alarms.iter().filter(|alarm| !now.contains_key(*alarm));
        let summary = format!(
            "have their actions again in {place}{how}: {}{}{}",
            names(alarms),
            beside("in ALARM now, and nobody was told", missed),
            beside("gone meanwhile", gone)
        );
        Outcome::Succeeded { summary }
    }
}

/// What is to be done.
enum Ready {
    /// These are switched.
    Alarms(BTreeSet<String>),
    /// There is nothing to do.
    Needless(String),
}

async fn prepare(place: &Place<'_>) -> Result<Ready, String> {
    let SilenceAction { alarms, end, .. } = place.action;
    let at = &place.called;
    let recorded = place.record.read().await?.unwrap_or_default();
    let now = place.look().await.map_err(|failure| format!("{at}: {}", failure.words()))?;
    if *end {
        let own: BTreeSet<String> = alarms.iter().filter(|alarm| recorded.contains(*alarm)).cloned().collect();
        if own.is_empty() {
            return Ok(Ready::Needless(format!("this run has silenced none of them in {at}; nothing was sent")));
        }
        return Ok(Ready::Alarms(own));
    }
    let missing: Vec<&String> = alarms.iter().filter(|alarm| !now.contains_key(*alarm)).collect();
    if !missing.is_empty() {
        let missing: Vec<String> = missing.into_iter().map(|alarm| foreign::brief(alarm, 255)).collect();
        return Err(format!("{at} has no alarm {}", missing.join(", ")));
    }
    let acting: BTreeSet<String> = now.into_iter().filter(|(_, now)| now.acts).map(|(alarm, _)| alarm).collect();
    if acting.is_empty() {
        let all = names(alarms);
        return Ok(Ready::Needless(format!(
            "somebody else has silenced all of them in {at}, and they stay so: {all}; nothing was sent"
        )));
    }
    place.record.write(recorded.union(&acting).cloned().collect()).await?;
    Ok(Ready::Alarms(acting))
}

async fn silence(shared: &Shared, action: &SilenceAction, job: JobContext<'_>) -> Outcome {
    let JobContext { report, mut stop, .. } = job;
    let failed = |what: String| Outcome::Failed { what: format!("{what}; nothing was sent") };
    let until = Instant::now() + action.limit.to_std();
    let work = async {
        let place = asked(shared, action, report).await?;
        let ready = prepare(&place).await?;
        Ok::<_, String>((place, ready))
    };
    let prepared = tokio::select! {
        biased;
        () = wait_for_stop(&mut stop) => return failed("stopped before anything was sent".to_owned()),
        prepared = timeout_at(until, Box::pin(work)) => prepared,
    };
    let (place, alarms) = match prepared {
        Ok(Ok((place, Ready::Alarms(alarms)))) => (place, alarms),
        Ok(Ok((_, Ready::Needless(summary)))) => return Outcome::Succeeded { summary },
        Ok(Err(what)) => return failed(what),
        Err(_) => return failed(format!("{}: no answer within {}", action.target, action.limit)),
    };
    let mut again = AGAIN.0;
    loop {
        match place.submit(&alarms).await {
            Ok(()) => return settled(&place, &alarms, "").await,
            Err(CallFailure::Refused(refusal)) if refusal.is_too_early() && Instant::now() + again < until => {
                report.line(&format!("{}; nothing was changed, sent again in {} s", refusal.words(), again.as_secs()));
                tokio::select! {
                    () = sleep(again) => {}
                    () = wait_for_stop(&mut stop) => {
                        return refused(&place, &alarms, "stopped while CloudWatch had too many requests").await;
                    }
                }
                again = (again * 2).min(AGAIN.1);
            }
            Err(CallFailure::Refused(refusal)) => return refused(&place, &alarms, &refusal.words()).await,
            Err(CallFailure::Unsent(what)) => return refused(&place, &alarms, &what).await,
            Err(CallFailure::Lost(why)) => {
                report.line(&format!("the answer was lost ({why}): looking at the alarms"));
                return settled(&place, &alarms, ", though the answer was lost").await;
            }
        }
    }
}

/// Nothing was changed: what was written down before is taken back.
async fn refused(place: &Place<'_>, alarms: &BTreeSet<String>, why: &str) -> Outcome {
    let mut what = format!("{}: {why}; nothing was changed", place.called);
    if !place.action.end {
        let rest = async {
            let mut recorded = place.record.read().await?.unwrap_or_default();
            recorded.retain(|alarm| !alarms.contains(alarm));
            place.record.write(recorded).await
        };
        if let Err(why) = rest.await {
            what = format!("{what}; {why}");
        }
    }
    Outcome::Failed { what }
}

/// The call was sent, and accepted or lost: the alarms say what became of it.
async fn settled(place: &Place<'_>, alarms: &BTreeSet<String>, how: &str) -> Outcome {
    match place.settle(alarms).await {
        (true, Some(now)) => place.done(alarms, &now, how).await,
        (_, last) => {
            let wanted = if place.action.end { "still silent" } else { "still not silent" };
            let open = alarms.iter().filter(|alarm| {
                last.as_ref().is_none_or(|now| now.get(*alarm).is_some_and(|alarm| alarm.acts != place.action.end))
            });
            let what = match &last {
                Some(_) => format!("{wanted}: {}", names(open)),
                None => format!("nothing is known of {}", names(open)),
            };
            Outcome::Unknown { why: format!("{}: {what}; it may still be carried out", place.called) }
        }
    }
}

/// After a restart: what was written down and the alarms themselves say what became of it. Nothing is sent.
async fn found_again(shared: &Shared, action: &SilenceAction, report: &Reporter) -> Outcome {
    let place = match asked(shared, action, report).await {
        Ok(place) => place,
        Err(why) => return Outcome::Unknown { why: format!("it may have been carried out: {why}") },
    };
    let recorded = match place.record.read().await {
        Ok(recorded) => recorded.unwrap_or_default(),
        Err(why) => return Outcome::Unknown { why: format!("it may have been carried out: {why}") },
    };
    let own: BTreeSet<String> = action.alarms.iter().filter(|alarm| recorded.contains(*alarm)).cloned().collect();
    if own.is_empty() && !action.end {
        // They are written down before anything is sent.
        return Outcome::Failed { what: format!("{}: it had not come to that; nothing was sent", place.called) };
    }
    if own.is_empty() {
        let summary = format!("{} has none of them silenced by this run any more", place.called);
        return Outcome::Succeeded { summary };
    }
    settled(&place, &own, ", as was found after a restart").await
}
