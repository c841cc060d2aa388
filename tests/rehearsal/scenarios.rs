//! Rehearsals: every scenario ends as its lesson says, the ledger keeps a live run honest, and nothing real is touched.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gonogo::core::fact::Ending;
use gonogo::core::ids::ProbeId;
use gonogo::core::plan::Plan;
use gonogo::core::time::At;
use gonogo::driver::facts_of;
use gonogo::journal::RunId;
use gonogo::rehearsal::automatic::{Rehearsed, rehearse};
use gonogo::rehearsal::debrief::{Debrief, debrief};
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::scenario::{self, End, Scenario};
use gonogo::world::sim::SimOptions;

fn playbook() -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    Arc::new(runbook::load(&path, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan)
}

/// Plays a plan to its end and tells what came of it.
pub fn play(plan: &Arc<Plan>, scenarios: Vec<Scenario>, policy: Policy, seed: u64) -> (Rehearsed, Debrief, End) {
    let id: RunId = "20260103-0200-0001".parse().unwrap();
    let options = SimOptions { seed, start: At(1_767_405_600_000), scenarios };
    let rehearsed = rehearse(plan, options, &id, &mut AutoOperator::new(policy)).unwrap();
    let facts = facts_of(&rehearsed.records).unwrap();
    let samples = rehearsed.contents.contents().samples;
    let among = |probe: &ProbeId, range: Range<i64>| {
        let meant = samples.iter().filter(|of| range.contains(&of.at_ms) && of.source == probe.as_str());
        meant.filter_map(gonogo::sample_log::reading_of).collect()
    };
    let truth = rehearsed.world.world().truth();
    let debrief = debrief(plan, &facts, &rehearsed.world.mishaps(), &truth, &among);
    let end = debrief.end();
    (rehearsed, debrief, end)
}

/// What happened, for a failing test.
pub fn story(rehearsed: &Rehearsed, plan: &Plan, debrief: &Debrief) -> String {
    let facts = facts_of(&rehearsed.records).unwrap();
    let lines = facts.iter().map(|recorded| {
        let (who, what) = gonogo::words::fact(plan, &recorded.fact);
        format!("{} {who}: {what}\n", gonogo::words::utc(recorded.at))
    });
    lines.chain(debrief.lines().into_iter().map(|line| line + "\n")).collect()
}

#[test]
fn the_playbook_goes_to_its_end_when_nothing_goes_wrong() {
    let plan = playbook();
    for seed in 1..6 {
        let (rehearsed, debrief, end) = play(&plan, Vec::new(), Policy::good(), seed);
        assert_eq!(end, End::Complete, "seed {seed}\n{}", story(&rehearsed, &plan, &debrief));
        assert_eq!(debrief.harm, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_playbook_goes_back_to_its_beginning_from_every_step_that_can_be_taken_back() {
    let plan = playbook();
    let last = plan.steps.iter().position(|step| step.reversibility == gonogo::core::plan::Reversibility::None);
    for step in &plan.steps[..last.unwrap_or(plan.steps.len())] {
        let policy = Policy { roll_back_after: Some(step.id.clone()), ..Policy::good() };
        let (rehearsed, debrief, end) = play(&plan, Vec::new(), policy, 7);
        assert_eq!(end, End::RolledBack, "after {}\n{}", step.id, story(&rehearsed, &plan, &debrief));
        assert!(matches!(rehearsed.run.ended, Some((_, Ending::RolledBack))));
        assert_eq!(debrief.held_back, [], "after {}: nobody wanted to begin what was just taken back", step.id);
    }
}

/// A word in the reported harm that only this scenario's own fault can cause.
fn cause(scenario: &str) -> &'static str {
    match scenario {
        "apply-worker-dies" | "probe-lies" | "sql-fails" | "cockpit-killed" | "disk-full" | "terminal-lost" => {
            "13 Switch the database"
        }
        "clock-jump" | "probe-dead" => "UNKNOWN",
        "command-hangs" => "19 Archive a final backup",
        "apply-worker-stops" | "walsender-stops" | "large-transaction" => "lag.seconds",
        "disabled-by-error" | "table-added" | "slot-made-again" | "slot-moved" | "source-fails-over" => "lag.",
        "drain-too-slow" | "lag-spike" | "traffic-surge" => "lag.seconds",
        "lost-answer" => "14 Point the name at the new environment",
        "new-errors" | "new-slow" => "requests of customers failed",
        "open-transaction" => "lag.oldest_transaction_s",
        "resolver-dead" | "resolver-stuck" => "led to the old environment",
        "slot-lost" => "lag.",
        "updates-throttled" => "Throttling",
        other => panic!("say what {other} does to the careless"),
    }
}

#[test]
fn every_scenario_ends_as_its_lesson_says() {
    let plan = playbook();
    let fitting = scenario::fitting(&plan);
    assert!(fitting.len() >= 12, "the playbook deserves more scenarios than {}", fitting.len());
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some((name, scenario)) = fitting.get(next.fetch_add(1, Ordering::Relaxed)) {
                wrong.extend(ends_otherwise(&plan, name, scenario));
            }
            wrong
        };
        let workers: Vec<_> =
            (0..std::thread::available_parallelism().map_or(2, usize::from)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a scenario does not end as it says, under either policy.
fn ends_otherwise(plan: &Arc<Plan>, name: &str, scenario: &Scenario) -> Vec<String> {
    assert_eq!(scenario.ends.careless, End::Harm, "{name} teaches nothing: carelessness must not pay");
    let mut wrong = Vec::new();
    // More seeds where they take a moment each.
    for seed in 1..if cfg!(debug_assertions) { 4 } else { 9 } {
        for (policy, expected) in [(Policy::good(), scenario.ends.good), (Policy::careless(), End::Harm)] {
            let careless = policy == Policy::careless();
            let (rehearsed, debrief, end) = play(plan, vec![scenario.clone()], policy, seed);
            assert!(!rehearsed.world.mishaps().is_empty(), "{name} never happens, seed {seed}");
            let explained = !careless || debrief.harm.iter().any(|harm| harm.contains(cause(name)));
            if end != expected || !explained {
                let kind = if careless { "careless" } else { "good" };
                let story = story(&rehearsed, plan, &debrief);
                wrong.push(format!("{name}, {kind} operator, seed {seed}: {end:?} instead of {expected:?}\n{story}\n"));
            }
        }
    }
    wrong
}

#[test]
fn carelessness_is_punished_by_what_goes_wrong_and_not_by_itself() {
    let plan = playbook();
    for seed in 1..4 {
        let (rehearsed, debrief, end) = play(&plan, Vec::new(), Policy::careless(), seed);
        assert_eq!(end, End::Complete, "seed {seed}\n{}", story(&rehearsed, &plan, &debrief));
    }
}

#[test]
fn a_debrief_tells_what_a_shut_gate_held_back_and_by_what() {
    let plan = playbook();
    let scenario = |name: &str| scenario::fitting(&plan).into_iter().find(|(of, _)| *of == name).unwrap().1;
    let (_, told, _) = play(&plan, vec![scenario("lag-spike")], Policy::good(), 1);
    let lines = told.lines().join("\n");
    let held = told.held_back.iter().find(|held| held.step.as_str() == "switch-database").expect(&lines);
    assert!(held.for_ms > 60_000 && held.mishap == Some(0) && held.why.contains("lag.seconds"), "{lines}");
    assert!(lines.contains("held back 13 Switch the database for"), "{lines}");

    let (_, told, _) = play(&plan, vec![scenario("new-errors")], Policy::good(), 1);
    let lines = told.lines().join("\n");
    assert!(told.held_back.iter().any(|held| held.step.as_str() == "watch" && held.mishap == Some(0)), "{lines}");
    assert!(told.mishaps[0].noticed_surely && lines.contains("showed after"), "{lines}");

    let (_, told, _) = play(&plan, Vec::new(), Policy::good(), 1);
    assert_eq!(told.held_back, [], "nothing was held back");
}

#[test]
fn a_debrief_names_steps_as_the_screen_does() {
    let plan = playbook();
    for name in ["sql-fails", "probe-dead", "resolver-stuck"] {
        let (_, scenario) = scenario::fitting(&plan).into_iter().find(|(of, _)| *of == name).unwrap();
        for policy in [Policy::good(), Policy::careless()] {
            let (_, told, _) = play(&plan, vec![scenario.clone()], policy, 1);
            let lines = told.lines().join("\n");
            for step in plan.steps.iter().filter(|step| step.id.as_str().contains('-')) {
                assert!(!lines.contains(step.id.as_str()), "{name} says {}: {lines}", step.id);
            }
        }
    }
}

#[test]
fn an_automatic_operator_is_not_blamed_for_missing_status_updates_but_they_are_mentioned() {
    let (_, told, _) = play(&playbook(), Vec::new(), Policy::good(), 1);
    let lines = told.lines().join("\n");
    assert!(lines.contains("an automatic operator gives none; the runbook asks for one every 1:00:00"), "{lines}");
    assert!(lines.ends_with("nothing that would have hurt"), "{lines}");
}

/// A folder of its own for one test's runs and files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn gonogo(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gonogo"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Changes the copy of the runbook in the folder of every run.
    fn touch_copies(&self) {
        for run in std::fs::read_dir(self.path("state").join("runs")).unwrap() {
            std::fs::write(run.unwrap().path().join("runbook.yaml"), "touched").unwrap();
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const DEMANDING: &str = "
title: Move one thing
rehearsals: { required: 2, within: 14d, rollback: true }
phases:
  - title: All
    steps:
      - id: look
        title: Look
        action: { manual: [looked] }
      - id: change
        title: Change
        action: { command: { run: [\"true\"] } }
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
        expect: 5s
";

#[test]
fn a_live_run_is_refused_until_it_was_rehearsed_and_again_after_a_step_changed() {
    let place = Place::new();
    let runbook = place.write("runbook.yaml", DEMANDING);
    let refused = place.gonogo(&["run", &runbook, "--plain"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("2 more complete rehearsals of this plan"), "{}", text(&refused));
    assert!(text(&refused).contains("none of them was rolled back"), "{}", text(&refused));

    let forward = place.gonogo(&["rehearse", &runbook, "--auto"]);
    assert_eq!(forward.status.code(), Some(0), "{}", text(&forward));
    let back = place.gonogo(&["rehearse", &runbook, "--auto", "--roll-back-after", "change"]);
    assert_eq!(back.status.code(), Some(0), "{}", text(&back));
    // Nothing was done before this one went back: it does not count.
    let early = place.gonogo(&["rehearse", &runbook, "--auto", "--roll-back-after", "look"]);
    assert_eq!(early.status.code(), Some(0), "{}", text(&early));
    let listed = place.gonogo(&["rehearsals", &runbook]);
    assert_eq!(listed.status.code(), Some(0), "{}", text(&listed));
    assert!(text(&listed).contains("auto, rolled back from step 2 of 2"), "{}", text(&listed));
    assert_eq!(text(&listed).matches("rolled back from").count(), 1, "{}", text(&listed));
    assert!(text(&listed).contains("the demand is met: 2 rehearsals"), "{}", text(&listed));

    // Somebody opened the copies for people in an editor.
    place.touch_copies();
    let listed = place.gonogo(&["rehearsals", &runbook]);
    assert!(text(&listed).contains("the demand is met: 2 rehearsals"), "{}", text(&listed));

    // The end of the input leaves the run: it was begun.
    let accepted = place.gonogo(&["run", &runbook, "--plain"]);
    assert_eq!(accepted.status.code(), Some(1), "{}", text(&accepted));
    assert!(text(&accepted).contains("left at 0 of 2 steps"), "{}", text(&accepted));
    place.touch_copies();
    let resumed = place.gonogo(&["resume", "--plain"]);
    assert_eq!(resumed.status.code(), Some(1), "{}", text(&resumed));
    assert!(text(&resumed).contains("warning: runbook.yaml in the run's folder was changed"), "{}", text(&resumed));
    assert!(text(&resumed).contains("left at 0 of 2 steps"), "{}", text(&resumed));

    // Another date, another name, another note: what was rehearsed is what will be done.
    let noted = DEMANDING.replace("title: Look", "title: Have a look").replace("expect: 5s", "expect: 6s")
        + "        instructions: Mind the step.\n";
    let noted =
        noted.replacen("phases:", "window: { opens: 2031-01-01T00:00:00Z, closes: 2031-01-01T04:00:00Z }\nphases:", 1);
    place.write("runbook.yaml", &noted);
    let listed = place.gonogo(&["rehearsals", &runbook]);
    assert!(text(&listed).contains("the demand is met: 2 rehearsals"), "{}", text(&listed));
    assert!(!text(&listed).contains("since then"), "{}", text(&listed));

    place.write("runbook.yaml", &DEMANDING.replace("[looked]", "[looked twice]"));
    let changed = place.gonogo(&["run", &runbook, "--plain"]);
    assert_eq!(changed.status.code(), Some(2), "{}", text(&changed));
    assert!(text(&changed).contains("look: action changed"), "{}", text(&changed));

    let short = place.gonogo(&["run", &runbook, "--plain", "--without-rehearsals", "no"]);
    assert_eq!(short.status.code(), Some(2), "{}", text(&short));
    let loud = place.gonogo(&["run", &runbook, "--plain", "--without-rehearsals", "the provider shuts down tonight"]);
    assert_eq!(loud.status.code(), Some(1), "{}", text(&loud));
    let log = place.gonogo(&["log"]);
    assert!(text(&log).contains("OVERRODE missing rehearsals"), "{}", text(&log));
}

#[test]
fn a_rehearsal_ends_with_what_can_be_done_with_it() {
    let place = Place::new();
    // A command that is copied finds the same runs.
    let gonogo = format!("gonogo --state-dir {}", place.path("state").display());
    let runbook = place.write("my runbook.yaml", DEMANDING);
    // The end of the input leaves at once.
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml").display().to_string();
    let left = text(&place.gonogo(&["rehearse", &bundled, "--plain", "--seed", "7", "--scenario", "sql-fails"]));
    assert!(left.ends_with(&format!("{gonogo} rehearse {bundled} --seed 7 --scenario sql-fails\n")), "{left}");
    let left = text(&place.gonogo(&["rehearse", &runbook, "--plain", "--seed", "7"]));
    assert!(left.contains("the run stopped at 0 of 2 steps, and nobody ended it: nothing was left in place"), "{left}");
    let run = left.split(&format!("{gonogo} replay ")).nth(1).unwrap().lines().next().unwrap();
    assert!(left.contains(&format!("whole log:          {gonogo} log {run}\n")), "{left}");
    assert!(left.ends_with(&format!("the same once more: {gonogo} rehearse '{runbook}' --seed 7\n")), "{left}");
    // And what it says can be done.
    assert!(text(&place.gonogo(&["log", run])).contains("opened the run, REHEARSAL"), "{left}");
    let again = text(&place.gonogo(&["rehearse", &runbook, "--auto", "--roll-back-after", "change", "--seed", "7"]));
    let command = format!("{gonogo} rehearse '{runbook}' --auto --roll-back-after change --seed 7\n");
    assert!(again.ends_with(&command), "{again}");
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let place = Place::new();
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml").display().to_string();
    let facts = || {
        let output =
            place.gonogo(&["rehearse", &runbook, "--auto", "--json", "--seed", "11", "--scenario", "lag-spike"]);
        let summary: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        let run = summary["run"].as_str().unwrap().to_owned();
        let log = text(&place.gonogo(&["log", &run, "--json"]));
        // The chain begins with the name of the run, and names differ.
        log.lines()
            .map(|line| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                line.as_object_mut().unwrap().remove("hash");
                line.to_string()
            })
            .collect::<Vec<_>>()
    };
    let first = facts();
    assert!(first.len() > 50, "{first:?}");
    assert_eq!(first, facts());
}

/// A title cannot move the cursor or reverse the line, not even in JSON.
#[test]
fn json_for_a_terminal_holds_nothing_hidden() {
    let place = Place::new();
    let title = "Move \u{9b}2J \u{202e}one\u{7f} thing";
    let escaped = r#""Move \u009b2J \u202eone\u007f thing""#;
    let runbook = place.write("runbook.yaml", &DEMANDING.replace("Move one thing", escaped));
    let rehearsed = place.gonogo(&["rehearse", &runbook, "--auto", "--json"]);
    let log = place.gonogo(&["log", "--json"]);
    for (output, at) in [(&rehearsed, "/run"), (&log, "/seq")] {
        let told = text(output);
        assert!(!told.chars().any(|c| c != '\n' && gonogo::text::is_hidden(c)), "{told:?}");
        let value: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert!(value.pointer(at).is_some(), "{told}");
    }
    let opened: serde_json::Value = serde_json::from_str(text(&log).lines().next().unwrap()).unwrap();
    assert_eq!(opened.pointer("/fact/title").and_then(serde_json::Value::as_str), Some(title));
}

/// Calls that leave the program for a network or another program, of everything that was traced.
fn outgoing(trace: &str) -> Vec<&str> {
    trace
        .lines()
        .filter(|line| {
            let network = line.contains("socket(AF_INET") || line.contains("socket(AF_NETLINK");
            let connects = line.contains(" connect(") || line.contains(" bind(") || line.contains(" sendto(");
            let programs = line.contains(" execve(") || line.contains(" execveat(") || line.contains(" vfork(");
            let forks = (line.contains(" clone(") || line.contains(" clone3(")) && !line.contains("CLONE_THREAD");
            network || connects || programs || forks || line.contains(" fork(")
        })
        .collect()
}

#[test]
fn a_rehearsal_asks_the_machine_for_no_network_and_no_other_program() {
    let place = Place::new();
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml").display().to_string();
    for args in [&["--auto"][..], &["--plain", "--speed", "1000"][..]] {
        let trace = place.path("trace");
        let traced = Command::new("strace")
            .args(["-f", "-e", "trace=%network,%process", "-o"])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_gonogo"))
            .arg("--state-dir")
            .arg(place.path("state"))
            .args(["rehearse", &runbook])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let trace = std::fs::read_to_string(&trace).unwrap_or_else(|_| panic!("{}", text(&traced)));
        let calls = outgoing(&trace);
        // The first is the program itself.
        assert_eq!(calls.len(), 1, "{calls:#?}\n{}", text(&traced));
        assert!(calls[0].contains("execve("), "{calls:?}");
    }
}

#[test]
fn a_rehearsal_works_where_there_is_no_network_and_no_process_can_be_started() {
    let place = Place::new();
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml").display().to_string();
    // The first program is the rehearsal itself.
    let denied = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve,socket"];
    let injected = ["-e", "inject=execve:error=EPERM:when=2+", "-e", "inject=socket:error=EPERM"];
    let mut alone = vec!["unshare", "-r", "-n"];
    if !Command::new("unshare").args(["-r", "-n", "true"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("only in part: this machine makes no network namespaces");
        alone.clear();
    }
    alone.extend(denied.iter().chain(&injected));
    let gonogo = |args: &[&str]| {
        let output = Command::new(alone[0])
            .args(&alone[1..])
            .arg(env!("CARGO_BIN_EXE_gonogo"))
            .arg("--state-dir")
            .arg(place.path("state"))
            .args(args)
            .stdin(Stdio::null())
            .output();
        output.unwrap()
    };
    for args in [
        &["rehearse", &runbook, "--auto"][..],
        &["rehearse", &runbook, "--auto", "--scenario", "new-errors"],
        &["replay", "--verify"],
    ] {
        let output = gonogo(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
    }
    // A command that needs a network or processes shows that there are none here.
    let checked = gonogo(&["lab", "--up"]);
    assert!(!checked.status.success(), "{}", text(&checked));
}

#[test]
fn what_cannot_be_rehearsed_is_told_with_the_nearest_name() {
    let place = Place::new();
    let runbook = place.write("runbook.yaml", DEMANDING);
    for (args, told) in [
        (&["--scenario", "lag-spke"][..], "lag-spike"),
        (&["--auto", "--policy", "carless"][..], "careless"),
        (&["--auto", "--roll-back-after", "chnge"][..], "change"),
        (&["--json"][..], "--auto"),
    ] {
        let mut all = vec!["rehearse", runbook.as_str()];
        all.extend(args);
        let output = place.gonogo(&all);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(told), "{args:?}: {}", text(&output));
    }
    let policy = place.write("policy.yaml", "reacton: 5s\n");
    let output = place.gonogo(&["rehearse", &runbook, "--auto", "--policy", &policy]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("reacton"), "{}", text(&output));
}
