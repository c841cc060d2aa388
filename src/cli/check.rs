//! `check` and `plan`: what a runbook says, without touching anything.

use super::{Failure, Outcome, RunbookArgs, say, say_error};
use crate::core::plan::{Plan, Step};
use crate::runbook::{Loaded, Options, load, load_str, telling};
use crate::term::{ColorChoice, ColorSupport};
use crate::text::clean;

/// Columns of messages when nobody says how many there are.
const COLUMNS: usize = 100;

/// Reads a runbook or says everything that is wrong with it.
pub(super) fn read(args: &RunbookArgs, color: ColorChoice) -> Result<Loaded, Failure> {
    // Not by clap, whose error repeats the value.
    if let Some((name, _)) = args.set.iter().find(|(name, _)| telling(name)) {
        return Err(Failure::usage(format!(
            "--set {}: its name says that it is a secret, but every user of this machine can see what stands on a \
             command line, and it would be kept with the run: say under `secrets:` in the runbook where it comes from \
             (env, file or command)",
            clean(name)
        )));
    }
    let options = Options { profile: args.profile.clone(), set: args.set.clone() };
    let loaded = if args.path == std::path::Path::new(super::lab::BUNDLED) {
        load_str("runbook.yaml (bundled)", super::lab::BUNDLED_TEXT, &options)
    } else {
        load(&args.path, &options)
    };
    loaded.map_err(|faults| Failure::usage(faults.render(colours(color), COLUMNS)))
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
    let warnings = crate::screen::words::count(loaded.warnings.len(), "warning");
    say(&format!(
        "good: \"{}\" has {} phases, {} steps, {} probes; {warnings}; digest {}",
        clean(title),
        phases.len(),
        steps.len(),
        probes.len(),
        digest.get(..12).unwrap_or(digest)
    ));
    if args.profile.is_none() && !loaded.profiles.is_empty() {
        say(&format!("profiles not checked here: {} (check them with --profile)", loaded.profiles.join(", ")));
    }
    Ok(0)
}

pub(super) fn plan(args: &RunbookArgs, color: ColorChoice) -> Outcome {
    let loaded = read(args, color)?;
    let plan = &loaded.plan;
    say(&format!("{}  (digest {})", clean(&plan.title), plan.digest.get(..12).unwrap_or_default()));
    for phase in &plan.phases {
        say(&format!("\n{}", clean(&phase.title)));
        for step in plan.steps.get(phase.steps.clone()).unwrap_or_default() {
            print_step(plan, step);
        }
    }
    Ok(0)
}

fn print_step(plan: &Plan, step: &Step) {
    let expect = step.expect.map_or_else(String::new, |expect| format!("  expect {expect}"));
    say(&format!("\n  {:>2}. {} [{}]{expect}", step.number, clean(&step.title), step.id));
    let rule = |id| plan.condition(id).map_or("", |condition| condition.source());
    for gate in &step.gates {
        say(&format!("      gate   {}: {}  held {}", clean(&gate.name), clean(rule(gate.condition)), gate.hold));
    }
    for line in step.work.preview() {
        say(&format!("      do     {}", clean(&line)));
    }
    for guard in &step.guards {
        say(&format!("      guard  {}: {}", clean(&guard.name), clean(rule(guard.condition))));
    }
    for check in &step.verify {
        say(&format!("      verify {}: {}  within {}", clean(&check.name), clean(rule(check.condition)), check.within));
    }
    match &step.undo {
        Some(undo) => {
            for line in undo.preview() {
                say(&format!("      undo   {}", clean(&line)));
            }
        }
        None => say("      undo   nothing"),
    }
    say(&format!(
        "      costs  {} to take back; confirmed by typing \"{}\"",
        step.reversibility.as_str(),
        crate::core::decide::word(step)
    ));
}
