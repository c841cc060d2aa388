//! `check` and `plan`: what a runbook says, without touching anything.

use std::path::Path;

use super::{CliError, Outcome, RunbookArgs, durations, say, say_error};
use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::forecast;
use crate::core::plan::{Confirm, Plan, Reversibility, Step, Work};
use crate::core::state::Run;
use crate::core::status::word;
use crate::core::time::{At, Span};
use crate::journal::Store;
use crate::runbook::{Loaded, Options, load, load_str, load_without_baselines, telling};
use crate::term::{ColorChoice, ColorSupport};
use crate::text::clean;
use crate::words;

/// Columns of messages when the width of the terminal is not known.
const COLUMNS: usize = 100;

/// Reads a runbook or says everything that is wrong with it.
pub(super) fn read(args: &RunbookArgs, color: ColorChoice) -> Result<Loaded, CliError> {
    read_with(args, color, true)
}

/// The same without the baselines that its probes name.
pub(super) fn read_without_baselines(args: &RunbookArgs, color: ColorChoice) -> Result<Loaded, CliError> {
    read_with(args, color, false)
}

fn read_with(args: &RunbookArgs, color: ColorChoice, with_baselines: bool) -> Result<Loaded, CliError> {
    // Checked here and not by clap, whose error repeats the value.
    if let Some((name, _)) = args.set.iter().find(|(name, _)| telling(name)) {
        return Err(CliError::usage(format!(
            "--set {}: its name says that it is a secret, but every user of this machine can see what stands on a \
             command line, and it would be kept with the run: say under `secrets:` in the runbook where it comes from \
             (env, file or command)",
            clean(name)
        )));
    }
    let options = Options { profile: args.profile.clone(), set: args.set.clone() };
    let load = if with_baselines { load } else { load_without_baselines };
    let loaded = if args.path == std::path::Path::new(super::bundled::BUNDLED) {
        load_str("runbook.yaml (bundled)", super::bundled::BUNDLED_TEXT, &options)
    } else {
        load(&args.path, &options)
    };
    loaded.map_err(|faults| {
        let text = faults.render(colours(color), COLUMNS);
        let unreached = faults
            .unreached
            .map_or_else(String::new, |unreached| format!("not checked until these are corrected: {unreached}\n"));
        CliError::usage(text + &unreached)
    })
}

fn colours(color: ColorChoice) -> bool {
    let tty = std::io::IsTerminal::is_terminal(&std::io::stderr());
    (tty || color == ColorChoice::Always) && ColorSupport::detect(color) != ColorSupport::None
}

pub(super) fn check(args: &RunbookArgs, color: ColorChoice) -> Outcome {
    let loaded = read(args, color)?;
    if !loaded.warnings.is_empty() {
        let name = args.path.display().to_string();
        say_error(&loaded.diagnostics(&name).render(colours(color), COLUMNS));
    }
    let Plan { phases, steps, probes, title, digest, .. } = &loaded.plan;
    let warnings = words::count(loaded.warnings.len(), "warning");
    say(&format!(
        "good: \"{}\" has {}, {}, {}; {warnings}; digest {}",
        clean(title),
        words::count(phases.len(), "phase"),
        words::count(steps.len(), "step"),
        words::count(probes.len(), "probe"),
        digest.get(..12).unwrap_or(digest)
    ));
    if let Some(cost) = super::aws::cost(&loaded.plan) {
        say(&cost);
    }
    if args.profile.is_none() && !loaded.profiles.is_empty() {
        say(&format!("profiles not checked here: {} (check them with --profile)", clean(&loaded.profiles.join(", "))));
    }
    Ok(0)
}

pub(super) fn plan(state: Option<&Path>, args: &RunbookArgs, color: ColorChoice) -> Outcome {
    let loaded = read(args, color)?;
    let plan = &loaded.plan;
    // Read only, and optional: a plan is printed whether or not anything was ever rehearsed here.
    let store = state.filter(|state| state.join("runs").is_dir()).and_then(|state| Store::open(state).ok());
    let rehearsed = store.and_then(|store| durations::of(&store, plan, &loaded.source, args).fact());
    let mut run = Run::default();
    if let Some(rehearsed) = &rehearsed {
        run.apply(plan, At(0), rehearsed);
    }
    say(&format!("{}  (digest {})", clean(&plan.title), plan.digest.get(..12).unwrap_or_default()));
    let owner = plan.owner.as_ref().map(|owner| format!("owner {}", clean(owner)));
    let roles: Vec<String> = plan.roles.iter().map(|(role, who)| format!("{role} {who}")).collect();
    let roles = (!roles.is_empty()).then(|| format!("roles: {}", clean(&roles.join(", "))));
    let window =
        plan.window.map(|window| format!("window {} to {}", words::day(window.opens), words::day(window.closes)));
    let budget = plan.write_pause_budget.map(|budget| format!("write pause of at most {budget}"));
    let forecast = rehearsed.as_ref().map(|rehearsed| forecast(plan, &run, rehearsed));
    for line in [owner, roles, window, budget, forecast].into_iter().flatten() {
        say(&line);
    }
    for phase in &plan.phases {
        say(&format!("\n{}", clean(&phase.title)));
        for step in plan.steps.get(phase.steps.clone()).unwrap_or_default() {
            print_step(plan, &run, step);
        }
    }
    Ok(0)
}

/// The forecast for the whole plan from rehearsals.
fn forecast(plan: &Plan, run: &Run, rehearsed: &Fact) -> String {
    let rest = forecast::rest(plan, run, At(0)).map_or_else(String::new, |rest| words::about(&rest, true));
    let pause = forecast::pause(plan, run, At(0)).filter(forecast::Estimate::says_something);
    let pause = pause.map_or_else(String::new, |pause| format!(", writes paused for {}", words::about(&pause, true)));
    let from = match rehearsed {
        Fact::DurationsMeasured { rehearsals, .. } => words::count(rehearsals.len(), "rehearsal"),
        _ => String::new(),
    };
    format!("forecast from {from}: {rest} of work{pause}")
}

/// One line of a step under its label.
fn line(label: &str, text: &str) {
    say(&format!("      {label:<7}{}", clean(text)));
}

/// Joins the parts that are present with commas.
fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

fn some(span: Span, text: impl Fn(Span) -> String) -> Option<String> {
    (span > Span::ZERO).then(|| text(span))
}

fn print_step(plan: &Plan, run: &Run, step: &Step) {
    let rehearsed = run.durations(&step.id);
    let about = joined([
        step.owner.as_ref().map(|owner| format!("owner {}", clean(owner))),
        step.expect.map(|expect| format!("expect {expect}")),
        step.max.map(|max| format!("overdue after {max}")),
        rehearsed.and_then(|durations| durations.doing.as_ref()).map(words::rehearsed),
    ]);
    say(&format!("\n  {:>2}. {} [{}]{about}", step.number, clean(&step.title), step.id));
    let rule = |id| plan.condition(id).map_or("", |condition| condition.source());
    if !step.needs.is_empty() {
        line("needs", &step.needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    for gate in &step.gates {
        let forbidden = (!gate.overridable).then(|| "override forbidden".to_owned());
        let more = joined([some(gate.hold, |hold| format!("held for {hold}")), forbidden]);
        line("gate", &format!("{}: {}{more}", gate.name, rule(gate.condition)));
    }
    print_work("do", &step.work);
    for guard in &step.guards {
        let more = joined([some(guard.tolerate, |span| format!("broken for at most {span}"))]);
        line("guard", &format!("{}: {}{more}", guard.name, rule(guard.condition)));
    }
    for check in &step.verify {
        let more =
            joined([some(check.hold, |hold| format!("held for {hold}")), Some(format!("within {}", check.within))]);
        line("verify", &format!("{}: {}{more}", check.name, rule(check.condition)));
    }
    match &step.undo {
        Some(undo) => print_work("undo", undo),
        None if step.reversibility == Reversibility::None => {}
        None if step.reversibility == Reversibility::Free => line("undo", "nothing: it leaves nothing behind"),
        None if step.work.takes_itself_back() => {
            line("undo", "by hand once it is done: the runbook has none for the whole");
        }
        None => line("undo", "by hand: the runbook has none"),
    }
    let until = step.undo_until.as_ref().map_or_else(String::new, |until| format!(", possible until {until}"));
    line(
        "back",
        &match step.reversibility {
            Reversibility::None => "cannot be taken back".to_owned(),
            Reversibility::Free => format!("free: nobody notices{until}"),
            Reversibility::Lossless => format!("lossless: an effort or a pause, but no data{until}"),
            Reversibility::Lossy => format!("LOSSY: data written since is lost{until}"),
        },
    );
    for told in taking_back(plan, run, step) {
        line("", &told);
    }
    let two = if step.confirm == Confirm::TwoPerson { ", and a second person types their name" } else { "" };
    line("type", &format!("\"{}\"{two}", word(step)));
}

/// How long taking a step back takes: as measured, else as far as the runbook says.
fn taking_back(plan: &Plan, run: &Run, step: &Step) -> Vec<String> {
    if step.undo.is_none() {
        return Vec::new();
    }
    let durations = run.durations(&step.id);
    if let Some(undoing) =
        durations.and_then(|durations| durations.undoing.as_ref()).filter(|_| !step.waits_to_be_undone())
    {
        return vec![words::rehearsed(undoing)];
    }
    let mut told = vec![format!("takes {}", words::about(&forecast::undoing(plan, run, step), true))];
    let from = durations.into_iter().flat_map(|durations| &durations.undoing_from);
    told.extend(from.map(|(from, took)| format!("going back from {from}: {}", words::rehearsed(took))));
    told
}

/// Prints what a step or its undo does, and its limits.
fn print_work(label: &str, work: &Work) {
    if work.section {
        let deadline = work.deadline.map_or_else(String::new, |deadline| format!(", deadline {deadline}"));
        let jobs = words::count(work.jobs.len(), "job");
        line(label, &format!("a section of {jobs} back to back after one confirmation{deadline}"));
    }
    for text in &work.preview {
        line(label, text);
    }
    for (at, job) in work.jobs.iter().enumerate() {
        let of = if work.section { format!("{}. ", at + 1) } else { String::new() };
        if let Some(terms) = job.action.terms() {
            line("limit", &format!("{of}{terms}"));
        }
    }
    for (number, job) in work.going_back() {
        if let Some(terms) = job.undo.as_ref().and_then(Action::terms) {
            line("limit", &format!("undo {number}. {terms}"));
        }
    }
}
