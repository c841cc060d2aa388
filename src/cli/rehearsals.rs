//! `rehearsals`, and the check for required rehearsals before a live run.

use std::path::Path;

use jiff::Timestamp;

use super::records::{MODE, PROFILE, SET, plan_of};
use super::{CliError, Look, Outcome, RunbookArgs, check::read, say};
use crate::core::fact::{Fact, Mode, Recorded};
use crate::core::ids::Who;
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::driver::facts_of;
use crate::journal::{Reader, RunId, RunMeta, Store, verify};
use crate::rehearsal::compare::changes;
use crate::rehearsal::ledger::{Rehearsal, demand_status};
use crate::runbook::substance;
use crate::term::ColorChoice;
use crate::text::clean;

/// Label of a run on real servers that counts as a rehearsal, because its profile requires none.
pub(super) const REHEARSAL: &str = "rehearsal";

/// The shortest reason for driving without rehearsals, in characters.
const REASON_MIN: usize = crate::core::decide::REASON_MIN;

/// Whether driving this plan is a rehearsal on real servers: its profile lifts the runbook's requirement for
/// rehearsals.
pub(super) fn is_rehearsal(args: &RunbookArgs, plan: &Plan, color: ColorChoice) -> Result<bool, CliError> {
    if args.profile.is_none() || plan.rehearsals.is_some() {
        return Ok(false);
    }
    let base = RunbookArgs { profile: None, ..args.clone() };
    Ok(read(&base, color)?.plan.rehearsals.is_some())
}

/// A rehearsal as its journal records it.
pub(super) struct OnRecord {
    /// Its journal.
    pub(super) reader: Reader,
    /// Its facts.
    pub(super) facts: Vec<Recorded>,
    /// Whether it was made on real servers, not in a simulated world.
    pub(super) real: bool,
}

/// The run as a rehearsal, if it is one that is wanted. A run that cannot be read or was changed does not count.
pub(super) fn rehearsal_of(store: &Store, id: &RunId, wanted: impl Fn(&RunMeta) -> bool) -> Option<OnRecord> {
    let reader = store.read_run(id).ok()?;
    let labels = &reader.meta().labels;
    let simulated = labels.get(MODE).map(String::as_str) == Some(Mode::Rehearsal.as_str());
    if !simulated && !labels.contains_key(REHEARSAL) || !wanted(reader.meta()) {
        return None;
    }
    let facts = facts_of(&reader.tail(reader.head().ok()?.seq).ok()?).ok()?;
    // Labels are outside the chain, so the facts decide.
    let opened = facts.iter().find_map(|recorded| match &recorded.fact {
        Fact::RunOpened { mode, .. } => Some(*mode),
        _ => None,
    });
    let believed = opened == Some(if simulated { Mode::Rehearsal } else { Mode::Live });
    let intact = believed && verify(&reader, None).is_ok_and(|report| report.record_is_whole());
    intact.then_some(OnRecord { reader, facts, real: !simulated })
}

/// All rehearsals on record with their plans, the newest last.
fn on_record(store: &Store) -> Result<Vec<(Rehearsal, Plan, Reader)>, CliError> {
    let mut found = Vec::new();
    for id in store.ids()? {
        let Some(OnRecord { reader, facts, real }) = rehearsal_of(store, &id, |_| true) else { continue };
        let Ok(plan) = plan_of(&reader) else { continue };
        let meta = reader.meta();
        let profile = if real { meta.labels.get(PROFILE).cloned() } else { None };
        let rehearsal = Rehearsal::from_facts(id, meta.created_at, profile, &plan, &facts);
        found.push((rehearsal, plan, reader));
    }
    found.sort_by_key(|(rehearsal, _, _)| rehearsal.made);
    Ok(found)
}

/// Rehearsals that may count for a plan. One on real servers with the same file and vars counts although its profile
/// gives another plan.
fn counting(
    found: &[(Rehearsal, Plan, Reader)],
    plan: &Plan,
    source: &str,
    set: &[(String, String)],
) -> Result<Vec<Rehearsal>, CliError> {
    let runbook = crate::journal::Digest::of(source.as_bytes());
    let set = serde_json::to_string(set).map_err(CliError::outside)?;
    let ours = substance(plan);
    let rehearsals = found.iter().map(|(rehearsal, _, reader)| {
        let mut rehearsal = rehearsal.clone();
        let same = reader.meta().runbook == runbook && reader.meta().labels.get(SET) == Some(&set);
        if rehearsal.profile.is_some() && same {
            rehearsal.substance.clone_from(&ours);
        }
        rehearsal
    });
    Ok(rehearsals.collect())
}

/// What a live run of this plan must record about its rehearsals, or why it may not begin.
pub(super) fn demanded(
    store: &Store,
    plan: &Plan,
    source: &str,
    set: &[(String, String)],
    without: Option<&str>,
    by: &Who,
) -> Result<Option<Fact>, CliError> {
    let Some(demand) = &plan.rehearsals else { return Ok(None) };
    let found = on_record(store)?;
    let status = demand_status(demand, plan, &counting(&found, plan, source, set)?, Timestamp::now());
    let counted = status.counted.iter().map(ToString::to_string).collect();
    let overridden = match without {
        _ if status.missing.is_empty() => None,
        Some(reason) if reason.trim().chars().count() >= REASON_MIN => Some(reason.trim().to_owned()),
        Some(_) => {
            return Err(CliError::usage(format!(
                "the reason given with --without-rehearsals must have at least {REASON_MIN} characters: people will \
                 read it afterwards"
            )));
        }
        None => {
            let mut lines =
                vec!["refused: the runbook demands rehearsals before a live run, and this is missing:".to_owned()];
            lines.extend(status.missing.iter().map(|missing| format!("  {missing}")));
            let ours = substance(plan);
            if let Some((last, old, _)) = found.iter().rev().find(|(last, _, _)| last.substance != ours)
                && status.counted.is_empty()
                && old.title == plan.title
            {
                lines.push(format!("changed since the rehearsal {}:", last.run.short()));
                lines.extend(changes(old, plan).iter().map(|change| format!("  {}", clean(&change.to_string()))));
            }
            lines
                .push("rehearse it with `gonogo rehearse`, or say why not with --without-rehearsals REASON".to_owned());
            return Err(CliError::usage(lines.join("\n")));
        }
    };
    Ok(Some(Fact::RehearsalsChecked { counted, missing: status.missing, overridden, by: by.clone() }))
}

/// Lists the rehearsals of a runbook, and what a live run would still need.
pub(super) fn list(state: &Path, look: Look, args: &RunbookArgs) -> Outcome {
    let loaded = read(args, look.color)?;
    let plan = &loaded.plan;
    let store = Store::open(state)?;
    let found = on_record(&store)?;
    let candidates = counting(&found, plan, &loaded.source, &args.set)?;
    let ours = substance(plan);
    for ((_, old, _), rehearsal) in found.iter().zip(&candidates) {
        let world = rehearsal.profile.as_ref().map_or_else(
            || "simulated".to_owned(),
            |profile| format!("on the real servers of profile {}", clean(profile)),
        );
        let ending = rehearsal.ending.as_ref().map_or("not finished", |how| how.as_str());
        let made = crate::words::day(At(rehearsal.made.as_millisecond()));
        say(&format!("{}  {made}  {ending:<12}  {world}, {}", rehearsal.run, rehearsal.how()));
        let paused = (rehearsal.paused > Span::ZERO).then(|| format!("writes paused for {}", rehearsal.paused));
        let back = rehearsal.went_back_in.map(|took| format!("the way back took {took}"));
        let took = [Some(format!("took {}", rehearsal.took)), paused, back];
        say(&format!("    {}", took.into_iter().flatten().collect::<Vec<_>>().join(", ")));
        if rehearsal.substance != ours && old.title == plan.title {
            for change in changes(old, plan) {
                say(&format!("    since then: {}", clean(&change.to_string())));
            }
        } else if rehearsal.substance != ours {
            say(&format!("    of another runbook: {}", clean(&old.title)));
        }
    }
    if found.is_empty() {
        say("no rehearsals yet: make one with `gonogo rehearse`");
    }
    match &plan.rehearsals {
        None => say("the runbook demands none before a live run"),
        Some(demand) => {
            let status = demand_status(demand, plan, &candidates, Timestamp::now());
            if status.missing.is_empty() {
                let counted = crate::words::count(status.counted.len(), "rehearsal");
                say(&format!("the demand is met: {counted} of this plan"));
            } else {
                say(&format!("a live run still needs: {}", status.missing.join("; ")));
                return Ok(1);
            }
        }
    }
    Ok(0)
}
