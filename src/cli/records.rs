//! `runs`, `log` and `verify`: the recorded runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{CliError, Outcome, say, say_error};
use crate::core::evidence::Evidence;
use crate::core::fact::Fact;
use crate::core::ids::ProbeId;
use crate::core::plan::Plan;
use crate::core::state::Run;
use crate::core::time::At;
use crate::driver::facts_of;
use crate::journal::{LockState, NotedHead, Reader, RunId, RunMeta, Store, verify as verify_chain};
use crate::runbook::{Options, load_kept};
use crate::sample_log::unkept;
use crate::text::{clean, json as shown_json};
use crate::words;

/// Labels under which a run records how its runbook was read.
pub(super) const PROFILE: &str = "profile";
/// The `--set` pairs as JSON.
pub(super) const SET: &str = "set";
/// Copies of the baselines by probe, as JSON.
const BASELINES: &str = "baselines";
/// The mode as a word.
pub(super) const MODE: &str = "mode";

/// The run asked for, or the newest.
pub(super) fn pick(store: &Store, asked: Option<&str>) -> Result<RunId, CliError> {
    if let Some(asked) = asked {
        return store.resolve(asked).map_err(CliError::usage);
    }
    store
        .newest(|_| true)?
        .map(|reader| reader.meta().run.clone())
        .ok_or_else(|| CliError::usage("there are no runs yet: start one with `gonogo run` or `gonogo lab`"))
}

/// The plan a run was opened with, from the copy in its journal.
pub(super) fn plan_of(reader: &Reader) -> Result<Plan, CliError> {
    let bytes = reader.runbook()?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::outside("the run's copy of its runbook is not text"))?;
    let loaded = load_kept("the run's runbook", text, &options_of(reader.meta())?, &baselines_of(reader.meta())?)
        .map_err(|faults| CliError::outside(faults.to_string()))?;
    Ok(loaded.plan)
}

/// The copies of the baselines that a run keeps.
pub(super) fn baselines_of(meta: &RunMeta) -> Result<BTreeMap<ProbeId, Arc<str>>, CliError> {
    let kept: BTreeMap<ProbeId, String> = match meta.labels.get(BASELINES) {
        Some(label) => serde_json::from_str(label).map_err(CliError::outside)?,
        None => BTreeMap::new(),
    };
    Ok(kept.into_iter().map(|(probe, text)| (probe, text.into())).collect())
}

/// The label under which a run of this plan keeps its baselines; none without any.
pub(super) fn baselines_label(plan: &Plan) -> Option<(String, String)> {
    let texts: BTreeMap<&ProbeId, &str> = plan.baselines.iter().map(|(probe, text)| (probe, &**text)).collect();
    let label = (!texts.is_empty()).then(|| serde_json::to_string(&texts).ok()).flatten();
    label.map(|label| (BASELINES.to_owned(), label))
}

/// How a run's runbook was read.
pub(super) fn options_of(meta: &RunMeta) -> Result<Options, CliError> {
    let set = meta.labels.get(SET).map_or_else(|| Ok(Vec::new()), |set| serde_json::from_str(set));
    Ok(Options { profile: meta.labels.get(PROFILE).cloned(), set: set.map_err(CliError::outside)? })
}

pub(super) fn runs(state: &Path) -> Outcome {
    let store = Store::open(state)?;
    let runs = store.list()?;
    if runs.is_empty() {
        say("no runs yet: start one with `gonogo run` or `gonogo lab`");
        return Ok(0);
    }
    for run in runs {
        let driver = match run.driver {
            LockState::Free => String::new(),
            LockState::Held(None) => "  driven now".to_owned(),
            LockState::Held(Some(holder)) => {
                format!("  {}@{} drives (pid {})", clean(&holder.user), clean(&holder.host), holder.pid)
            }
        };
        match run.journal {
            Ok(journal) => {
                let state = store.read_run(&run.id).map_err(CliError::from).and_then(|reader| state_of(&reader));
                let mode = clean(journal.meta.labels.get(MODE).map_or("", String::as_str));
                let last = journal.last.as_ref();
                // For a run whose runbook this version cannot read, its last fact is shown.
                let state = state.unwrap_or_else(|_| last.map_or_else(String::new, |(_, kind)| kind.replace('_', " ")));
                let last = last.map_or_else(String::new, |(at, _)| format!(", last {}", words::day(At(*at))));
                let facts = words::count(usize::try_from(journal.head.seq).unwrap_or(usize::MAX), "fact");
                say(&format!(
                    "{}  {mode:<9} {}  {}  ({facts}{last}){driver}",
                    run.id,
                    clean(&journal.meta.title),
                    clean(&state)
                ));
            }
            Err(error) => say(&format!("{}  cannot be read: {}", run.id, clean(&error.to_string()))),
        }
    }
    Ok(0)
}

/// The state of a run, in words.
fn state_of(reader: &Reader) -> Result<String, CliError> {
    let plan = plan_of(reader)?;
    let facts = facts_of(&reader.tail(reader.head()?.seq)?).map_err(CliError::outside)?;
    Ok(words::run_state(&plan, &Run::fold(&plan, &facts)))
}

pub(super) fn log(state: &Path, asked: Option<&str>, json: bool) -> Outcome {
    let store = Store::open(state)?;
    let reader = store.read_run(&pick(&store, asked)?)?;
    let head = reader.head()?;
    let records = reader.tail(head.seq)?;
    if json {
        for record in records {
            let line = serde_json::json!({
                "seq": record.seq, "at_ms": record.at_ms, "kind": record.kind, "version": record.version,
                "hash": record.hash.to_string(),
                "fact": serde_json::from_str::<serde_json::Value>(&record.body).unwrap_or(serde_json::Value::Null),
            });
            say(&shown_json(&line.to_string()));
        }
        return Ok(0);
    }
    let plan = plan_of(&reader)?;
    let facts = facts_of(&records).map_err(CliError::outside)?;
    let (first, last) = (facts.first().map_or(At(0), |fact| fact.at), facts.last().map_or(At(0), |fact| fact.at));
    for recorded in facts {
        let (who, what) = words::fact(&plan, &recorded.fact);
        say(&format!("{:>5}  {}  {:<18} {what}", recorded.seq, words::moment(recorded.at, first, last), clean(&who)));
        if let Fact::RunEnded { customers: Some(seen), customers_at, .. } = &recorded.fact {
            let read = customers_at.map_or_else(String::new, |at| format!(" (as of {} UTC)", words::utc(at)));
            say(&format!("       customers: {}{read}", clean(&seen.to_string())));
        }
        let (evidence, guards): (&[Evidence], &[Evidence]) = match &recorded.fact {
            Fact::StepStarted { evidence, .. } => (evidence, &[]),
            Fact::StepDone { evidence, guards, .. } | Fact::StepFailed { evidence, guards, .. } => (evidence, guards),
            _ => (&[], &[]),
        };
        for told in evidence.iter().chain(guards) {
            let actual: Vec<&str> = told.assessment.terms.iter().map(|term| term.actual.as_str()).collect();
            let verdict = told.assessment.verdict;
            say(&format!("       {verdict:<8} {}  {}", clean(&told.name), clean(&actual.join(", "))));
        }
    }
    Ok(0)
}

pub(super) fn verify(state: &Path, asked: &str, head: Option<&str>) -> Outcome {
    let store = Store::open(state)?;
    let reader = store.read_run(&pick(&store, Some(asked))?)?;
    let expected: Option<NotedHead> = head.map(str::parse).transpose().map_err(CliError::usage)?;
    let report = verify_chain(&reader, expected.as_ref())?;
    let intact = report.is_intact();
    let tell = if intact { say } else { say_error };
    tell(&report.to_string());
    if intact {
        say("  the chain holds the facts and the runbook; samples and labels are outside it and are not checked");
    }
    // Missing readings are not damage: the loss was recorded when it happened.
    if let Ok(unkept @ 1..) = unkept(&reader) {
        tell(&format!("  {}: the disk was too slow for them", words::unkept(unkept)));
    }
    Ok(u8::from(!intact))
}
