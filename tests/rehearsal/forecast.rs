//! The forecast: what rehearsals measured, what counts of it, and what a run makes of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use gonogo::core::durations::{Durations, Typical};
use gonogo::core::evidence::Baselines;
use gonogo::core::fact::{Fact, Mode, Recorded};
use gonogo::core::forecast::{self, Estimate};
use gonogo::core::ids::{Attempt, StepId, Who};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::Plan;
use gonogo::core::rollback::way_back;
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};
use gonogo::rehearsal::durations::{Gathered, MeasuredRehearsal, measure};
use gonogo::runbook::{Options, load_str};
use gonogo::words::about;
use proptest::prelude::*;

use crate::facts::step_started;

const START: At = At(1_795_485_600_000);

fn read(text: &str, profile: Option<&str>) -> Plan {
    let options = Options { profile: profile.map(str::to_owned), set: Vec::new() };
    load_str("test", text.to_owned(), &options).unwrap_or_else(|faults| panic!("{}", faults.render(false, 100))).plan
}

/// Two branches, then a switch that pauses writes, then a watch.
const RUNBOOK: &str = "
title: Forecast
write_pause_budget: 10s
vars: { soak: 1m }
profiles: { short: { vars: { soak: 5s } } }
probes: { up: { kind: tcp, address: '127.0.0.1:1' } }
phases:
  - title: All
    steps:
      - { id: list, title: List, action: { manual: [read] }, expect: 20s }
      - { id: left, title: Left, needs: [list], action: { command: { run: left } }, undo: { command: { run: unleft } }, reversibility: lossless, expect: 30s }
      - { id: right, title: Right, needs: [list], action: { command: { run: right } }, reversibility: free }
      - id: switch
        title: Switch
        needs: [left, right]
        section:
          deadline: 1m
          steps:
            - { title: stop, writes: stop, action: { command: { run: stop } }, undo: { command: { run: unstop } } }
            - { title: go on, writes: resume, action: { command: { run: go } }, undo: { command: { run: ungo } } }
        undo: { command: { run: back } }
        reversibility: lossless
        expect: 8s
      - { id: watch, title: Watch, guards: [up.open], action: { soak: { for: '{{ vars.soak }}' } } }
";

fn me() -> Who {
    Who("ana@bastion".to_owned())
}

/// A run told fact by fact.
struct Story {
    plan: Plan,
    run: Run,
    facts: Vec<Recorded>,
    now: At,
}

impl Story {
    fn new(plan: Plan) -> Self {
        let mut story = Self { plan, run: Run::default(), facts: Vec::new(), now: START };
        let (title, plan) = (story.plan.title.clone(), story.plan.digest.clone());
        let version = "0.0.0".to_owned();
        story.tell(Fact::RunOpened { mode: Mode::Live, title, profile: None, plan, by: me(), version });
        story
    }

    fn tell(&mut self, fact: Fact) {
        self.run.apply(&self.plan, self.now, &fact);
        self.facts.push(Recorded { seq: self.facts.len() as u64 + 1, at: self.now, fact });
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Span::secs(seconds));
    }

    fn attempt(&self, step: &str) -> Attempt {
        Attempt(self.run.step(&step.into()).attempt.0 + 1)
    }

    fn start(&mut self, step: &str) -> JobKey {
        let attempt = self.attempt(step);
        self.tell(step_started(step, attempt, me()));
        let key = JobKey { step: step.into(), direction: Direction::Do, attempt, job: 0 };
        self.tell(Fact::JobStarted { key: key.clone() });
        key
    }

    fn end(&mut self, key: &JobKey) {
        let outcome = Outcome::Succeeded { summary: "done".to_owned() };
        self.tell(Fact::JobEnded { key: key.clone(), outcome, took: Span::ZERO });
    }

    /// Does a step; every job of it takes this long.
    fn does(&mut self, step: &str, seconds: u64) {
        let key = self.start(step);
        let jobs = self.plan.step(&step.into()).unwrap().work.jobs.len();
        for job in 0..u16::try_from(jobs).unwrap() {
            let key = JobKey { job, ..key.clone() };
            if job > 0 {
                self.tell(Fact::JobStarted { key: key.clone() });
            }
            self.wait(seconds);
            self.end(&key);
        }
        self.tell(Fact::StepDone { step: step.into(), attempt: key.attempt, evidence: Vec::new(), guards: Vec::new() });
    }

    fn fails(&mut self, step: &str, seconds: u64) {
        let key = self.start(step);
        self.wait(seconds);
        let outcome = Outcome::Failed { what: "no".to_owned() };
        self.tell(Fact::JobEnded { key: key.clone(), outcome, took: Span::ZERO });
        let (attempt, evidence) = (key.attempt, Vec::new());
        self.tell(Fact::StepFailed {
            step: step.into(),
            attempt,
            why: "no".to_owned(),
            reverted: false,
            evidence,
            guards: Vec::new(),
        });
    }

    fn starts_undo(&mut self, step: &str) -> Attempt {
        let attempt = Attempt(self.run.step(&step.into()).undo_attempt.0 + 1);
        let (by, typed, preview) = (me(), "undo".to_owned(), String::new());
        let baselines = Baselines::new();
        self.tell(Fact::UndoStarted { step: step.into(), attempt, from: 0, by, typed, preview, baselines });
        let key = JobKey { step: step.into(), direction: Direction::Undo, attempt, job: 0 };
        self.tell(Fact::JobStarted { key });
        attempt
    }

    fn undoes(&mut self, step: &str, seconds: u64) {
        let attempt = self.starts_undo(step);
        self.wait(seconds);
        self.tell(Fact::StepUndone { step: step.into(), attempt });
    }

    fn rest(&self) -> Estimate {
        forecast::rest(&self.plan, &self.run, self.now).expect("there is a forecast")
    }

    fn pause(&self) -> Option<String> {
        forecast::pause(&self.plan, &self.run, self.now).map(|pause| about(&pause, true))
    }

    fn back(&self) -> Estimate {
        forecast::way(&self.plan, &self.run, self.now, &way_back(&self.plan, &self.run).steps)
    }

    fn measured(&mut self, steps: &[(&str, Durations)]) {
        let steps = steps.iter().map(|(step, durations)| (StepId::from(*step), durations.clone())).collect();
        self.tell(Fact::DurationsMeasured { rehearsals: vec!["7a11".to_owned()], steps });
    }
}

fn typical(seconds: &[u64]) -> Option<Typical> {
    Typical::of(seconds.iter().map(|secs| Span::secs(*secs)).collect(), false)
}

fn doing(seconds: &[u64]) -> Durations {
    Durations { doing: typical(seconds), ..Durations::default() }
}

fn secs(seconds: u64) -> Span {
    Span::secs(seconds)
}

#[test]
fn without_rehearsals_the_runbooks_word_counts_and_what_it_does_not_say_is_said() {
    let mut story = Story::new(read(RUNBOOK, None));
    // List 20, left 30, switch 8, and a soak knows its own length; nobody knows how long `right` takes.
    assert_eq!(about(&story.rest(), true), "at least 1:58");
    story.does("list", 20);
    story.does("right", 500);
    assert_eq!(about(&story.rest(), true), "about 1:38");
}

#[test]
fn what_is_waited_for_may_take_as_long_as_it_may_where_the_runbook_says_no_more() {
    let text = "
title: t
probes: { up: { kind: tcp, address: '127.0.0.1:1' } }
phases:
  - title: p
    steps:
      - { id: pass, title: Pass, action: { wait: { for: 10m } } }
      - { id: await, title: Await, action: { wait: { until: { conditions: [up.open], within: 1h } } } }
      - id: both
        title: Both
        section: { deadline: 10m, steps: [
          { title: pass, action: { wait: { for: 1m } } },
          { title: await, action: { wait: { until: { conditions: [up.open], within: 5m } } } },
        ] }
";
    let mut story = Story::new(read(text, None));
    assert_eq!(about(&story.rest(), true), "up to 1:16:00");
    story.does("pass", 600);
    assert_eq!(about(&story.rest(), true), "up to 1:06:00");
    story.start("await");
    story.wait(60);
    assert_eq!(about(&story.rest(), true), "up to 1:05:00", "what was waited is over");
    let said = read(&text.replace("id: await,", "id: await, expect: 2m,"), None);
    assert_eq!(about(&Story::new(said).rest(), true), "up to 18:00");
    let acts = read(
        &text.replace("{ wait: { for: 10m } }", "{ command: { run: act, limit: 10m } }, reversibility: free"),
        None,
    );
    assert!(Story::new(acts).rest().at_least, "nobody knows how long a command acts");
}

#[test]
fn steps_beside_one_another_take_as_long_as_the_longer() {
    let mut story = Story::new(read(RUNBOOK, None));
    story.measured(&[
        ("list", doing(&[10, 10])),
        ("left", doing(&[100, 104])),
        ("right", doing(&[40, 43, 50])),
        ("switch", doing(&[8, 11])),
        ("watch", doing(&[60, 60])),
    ]);
    // 10 + 104 + 11 + 60; spreads 0, 4, 3, 0 add up by their squares.
    assert_eq!((story.rest().span, story.rest().spread()), (secs(185), Some(secs(5))));
    assert_eq!(about(&story.rest(), true), "3:05 ± 5.0 s");
    story.does("list", 7);
    story.does("left", 700);
    // What is settled adds nothing, however long it took; now `right` is the longest way.
    assert_eq!(story.rest().span, secs(43 + 11 + 60));
    for step in ["right", "switch", "watch"] {
        story.does(step, 1);
    }
    assert_eq!(story.rest(), Estimate::default());
}

#[test]
fn what_was_measured_once_has_no_spread() {
    let mut story = Story::new(read(RUNBOOK, None));
    story.does("list", 1);
    story.does("right", 1);
    story.measured(&[("left", doing(&[40])), ("switch", doing(&[9])), ("watch", doing(&[60]))]);
    assert_eq!(story.rest().spread(), None);
    assert_eq!(about(&story.rest(), true), "about 1:49");
}

#[test]
fn what_is_left_of_a_running_step_shrinks_and_when_it_is_late_nobody_knows() {
    let mut story = Story::new(read(RUNBOOK, None));
    story.does("list", 1);
    story.does("right", 1);
    story.measured(&[("left", doing(&[20, 30, 36])), ("switch", doing(&[9, 9])), ("watch", doing(&[60, 60]))]);
    story.start("left");
    let mut before = story.rest();
    assert_eq!(before.span, secs(30 + 9 + 60));
    for _ in 0..30 {
        story.wait(1);
        assert_eq!(story.rest().span, Span(before.span.0 - 1_000));
        before = story.rest();
    }
    story.wait(7);
    assert_eq!((story.rest().span, story.rest().at_least), (secs(69), false), "within its spread it may end any time");
    story.wait(4);
    assert_eq!(about(&story.rest(), true), "at least 1:09");
}

#[test]
fn a_soak_that_does_not_count_ends_later() {
    let mut story = Story::new(read(RUNBOOK, None));
    for step in ["list", "left", "right", "switch"] {
        story.does(step, 1);
    }
    story.measured(&[("watch", doing(&[60, 60]))]);
    story.start("watch");
    story.wait(20);
    assert_eq!(story.rest().span, secs(40));
    let (step, attempt, since) = ("watch".into(), Attempt(1), story.now);
    story.tell(Fact::SoakInterrupted { step, attempt, since, evidence: Vec::new() });
    story.wait(30);
    assert_eq!(story.rest().span, secs(40));
}

#[test]
fn the_pause_is_known_before_it_is_spent_and_while_it_lasts() {
    let mut story = Story::new(read(RUNBOOK, None));
    assert_eq!(story.pause().unwrap(), "about 8.0 s", "a section lasts at least as long as the pause in it");
    let switch = Durations { doing: typical(&[20, 24]), pausing: typical(&[3, 4, 4]), ..Durations::default() };
    story.measured(&[("switch", switch)]);
    assert_eq!(story.pause().unwrap(), "4.0 s ± 1.0 s");
    for step in ["list", "left", "right"] {
        story.does(step, 1);
    }
    let key = story.start("switch");
    story.wait(1);
    assert_eq!(story.pause().unwrap(), "3.0 s ± 1.0 s");
    story.end(&key);
    let next = JobKey { job: 1, ..key };
    story.tell(Fact::JobStarted { key: next.clone() });
    story.wait(1);
    story.end(&next);
    assert_eq!(story.pause(), None, "writes flow again, although the checks are not over");
}

#[test]
fn a_pause_over_several_steps_waits_for_people_too() {
    let text = "
title: t
phases:
  - title: p
    steps:
      - { id: a, title: A, writes: stop, action: { wait: { for: 2s } } }
      - { id: b, title: B, action: { wait: { for: 3s } } }
      - { id: c, title: C, writes: resume, action: { wait: { for: 4s } } }
      - { id: d, title: D, action: { wait: { for: 50s } } }
";
    let mut story = Story::new(read(text, None));
    assert_eq!(story.pause().unwrap(), "at least 9.0 s");
    story.does("a", 2);
    assert_eq!(story.pause().unwrap(), "at least 7.0 s");
    story.does("b", 3);
    story.start("c");
    story.wait(1);
    assert_eq!(story.pause().unwrap(), "about 3.0 s");
}

#[test]
fn the_way_back_takes_what_undoing_took() {
    let mut story = Story::new(read(RUNBOOK, None));
    story.does("list", 1);
    story.does("left", 1);
    assert_eq!(about(&story.back(), true), "about 30 s", "without rehearsals as long as its doing should take");
    story.measured(&[("left", Durations { undoing: typical(&[12, 15]), ..Durations::default() })]);
    assert_eq!(about(&story.back(), true), "15 s ± 3.0 s");
    story.starts_undo("left");
    story.wait(5);
    assert_eq!(about(&story.back(), true), "10 s ± 3.0 s");
    assert_eq!(forecast::rest(&story.plan, &story.run, story.now), None, "whoever goes back has no end ahead");
}

#[test]
fn only_tries_that_went_well_are_measured() {
    let mut story = Story::new(read(RUNBOOK, None));
    story.does("list", 5);
    story.fails("left", 300);
    story.does("left", 31);
    story.does("right", 40);
    story.does("switch", 4);
    story.undoes("switch", 6);
    // The first attempt at taking it back fails, the second goes on behind it: neither is the time of a whole undo.
    let attempt = story.starts_undo("left");
    story.wait(100);
    story.tell(Fact::UndoFailed { step: "left".into(), attempt, why: "no".to_owned() });
    story.undoes("left", 1);
    story.does("left", 33);
    story.undoes("left", 9);
    // Somebody else took over while it was under way.
    story.start("left");
    story.wait(900);
    story.tell(Fact::DriverArrived { by: me(), epoch: 2, away: Span::secs(800) });
    story.tell(Fact::StepDone { step: "left".into(), attempt: Attempt(4), evidence: Vec::new(), guards: Vec::new() });
    let took = measure(&story.plan, &story.facts);
    let left = &took[&StepId::from("left")];
    assert_eq!(
        (left.doing.as_slice(), left.undoing.as_slice()),
        ([secs(31), secs(33)].as_slice(), [secs(9)].as_slice())
    );
    let switch = &took[&StepId::from("switch")];
    assert_eq!((switch.doing[0], switch.pausing[0], switch.undoing[0]), (secs(8), secs(8), secs(6)));
    assert_eq!(took[&StepId::from("right")].pausing, []);
}

/// What a rehearsal of one plan says about another.
fn gathered(then: &str, profile: Option<&str>, now: &str, real: bool) -> BTreeMap<StepId, Durations> {
    let mut story = Story::new(read(then, profile));
    for step in ["list", "left", "right", "switch", "watch"] {
        story.does(step, 7);
    }
    let (present, as_now) = (read(now, None), read(then, None));
    let mut gathered = Gathered::default();
    let as_now = (then != now).then_some(&as_now);
    gathered.add(MeasuredRehearsal { name: "7a11", real, plan: &story.plan, as_now, facts: &story.facts }, &present);
    gathered.typical()
}

fn steps(durations: &BTreeMap<StepId, Durations>) -> Vec<&str> {
    durations.keys().map(StepId::as_str).collect()
}

#[test]
fn a_step_that_changed_does_not_count_and_the_others_do() {
    assert_eq!(steps(&gathered(RUNBOOK, None, RUNBOOK, true)), ["left", "list", "right", "switch", "watch"]);
    // Another command, another heading, another step in between.
    let changed =
        RUNBOOK.replace("run: left", "run: left --slowly").replace("title: Right", "title: The right one").replace(
            "      - id: switch",
            "      - { id: new, title: New, needs: [], action: { wait: { for: 1s } } }\n      - id: switch",
        );
    assert_eq!(steps(&gathered(RUNBOOK, None, &changed, true)), ["list", "right", "switch", "watch"]);
    // In a simulated world a step takes what the runbook expects: with another word it would have taken another time.
    let expected = RUNBOOK.replace("expect: 30s", "expect: 60s");
    assert_eq!(steps(&gathered(RUNBOOK, None, &expected, true)), ["left", "list", "right", "switch", "watch"]);
    assert_eq!(steps(&gathered(RUNBOOK, None, &expected, false)), ["right", "switch", "watch"]);
}

#[test]
fn another_profile_counts_where_no_time_is_another() {
    assert_eq!(steps(&gathered(RUNBOOK, Some("short"), RUNBOOK, true)), ["left", "list", "right", "switch"]);
}

#[test]
fn in_a_simulated_world_a_checklist_takes_no_time() {
    assert_eq!(steps(&gathered(RUNBOOK, None, RUNBOOK, false)), ["left", "right", "switch", "watch"]);
}

#[test]
fn real_servers_are_believed_before_a_simulated_world() {
    let mut gathered = Gathered::default();
    for (seconds, real) in [(30, false), (90, true), (31, false)] {
        let mut story = Story::new(read(RUNBOOK, None));
        story.does("list", 1);
        story.does("left", seconds);
        gathered.add(
            MeasuredRehearsal { name: "7a11", real, plan: &story.plan, as_now: None, facts: &story.facts },
            &read(RUNBOOK, None),
        );
    }
    let left = gathered.typical().remove(&StepId::from("left")).and_then(|durations| durations.doing).unwrap();
    assert_eq!((left.middle, left.count, left.real), (secs(90), 1, true));
}

#[test]
fn a_stored_fact_is_read_again_as_it_was() {
    let pausing = Typical::of(vec![Span(321), Span(329)], true);
    let undoing_from = BTreeMap::from([(StepId::from("watch"), Typical::of(vec![Span(9)], false).unwrap())]);
    let durations = Durations { doing: typical(&[7]), undoing_from, pausing, ..Durations::default() };
    let steps = BTreeMap::from([(StepId::from("switch"), durations)]);
    let fact = Fact::DurationsMeasured { rehearsals: vec!["7a11".to_owned()], steps };
    let body = fact.encode().unwrap();
    assert_eq!(Fact::decode(fact.kind(), 1, &body).unwrap(), fact, "{body}");
}

/// A plan of steps that need any of the steps in the list, in any order: the list is turned round for half of them.
fn woven(needs: &[Vec<usize>], turned: bool) -> Plan {
    let text = "title: t\nphases:\n  - title: p\n    steps:\n".to_owned();
    let mut lines: Vec<String> = needs
        .iter()
        .enumerate()
        .map(|(at, needs)| {
            let mut needs: Vec<usize> = needs.iter().filter(|_| at > 0).map(|need| need % at.max(1)).collect();
            needs.sort_unstable();
            needs.dedup();
            let needs = needs.iter().map(|need| format!("s{need}")).collect::<Vec<_>>().join(", ");
            format!("      - {{ id: s{at}, title: S, needs: [{needs}], action: {{ manual: [x] }} }}\n")
        })
        .collect();
    if turned {
        lines.reverse();
    }
    read(&(text + &lines.concat()), None)
}

/// The longest way to the end of a step, by going every way.
fn longest(story: &Story, took: &BTreeMap<StepId, u64>, id: &StepId) -> u64 {
    if story.run.is_settled(id) {
        return 0;
    }
    let needs = &story.plan.step(id).unwrap().needs;
    took[id] + needs.iter().map(|need| longest(story, took, need)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn the_rest_is_the_longest_way_and_shrinks_with_every_step(
        needs in prop::collection::vec(prop::collection::vec(0_usize..9, 0..3), 1..9),
        took in prop::collection::vec(1_u64..5_000, 9),
        order in Just((0_usize..9).collect::<Vec<_>>()).prop_shuffle(),
        turned: bool,
    ) {
        let mut story = Story::new(woven(&needs, turned));
        let took: BTreeMap<StepId, u64> =
            (0..needs.len()).map(|at| (StepId::from(format!("s{at}")), took[at])).collect();
        let measured: Vec<(&str, Durations)> =
            took.iter().map(|(id, secs)| (id.as_str(), doing(&[*secs, *secs + secs / 9, secs - secs / 9]))).collect();
        story.measured(&measured);
        let mut before = story.rest();
        for at in order.into_iter().filter(|at| *at < needs.len()) {
            let oracle = took.keys().map(|id| longest(&story, &took, id)).max().unwrap();
            prop_assert_eq!(before.span, secs(oracle));
            prop_assert!(before.latest() >= before.span && !before.at_least && !before.about);
            let id = format!("s{at}");
            // Whatever order they are done in, and however long each takes.
            story.start(&id);
            for _ in 0..3 {
                story.wait(took[&StepId::from(id.as_str())].div_ceil(2));
                let now = story.rest();
                prop_assert!(now.span <= before.span);
                before = now;
            }
            story.tell(Fact::StepDone { step: id.as_str().into(), attempt: Attempt(1), evidence: Vec::new(), guards: Vec::new() });
            before = story.rest();
        }
        prop_assert_eq!(before, Estimate::default());
    }
}

/// A folder of its own for one test's runs and files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn gonogo(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        command.arg("--state-dir").arg(self.0.path().join("state")).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const REHEARSED: &str = "
title: Move one thing
write_pause_budget: 1m
phases:
  - title: All
    steps:
      - id: change
        title: Change
        action: { command: { run: [\"true\"] } }
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
        writes: pause
        expect: 50s
      - id: settle
        title: Settle
        action: { wait: { for: 90s } }
        expect: 90s
";

#[test]
fn rehearsals_feed_the_forecast_of_a_run_and_its_replay() {
    let place = Place::new();
    let runbook = place.write("runbook.yaml", REHEARSED);
    let before = text(&place.gonogo(&["plan", &runbook], ""));
    assert!(!before.contains("rehearsed") && !place.0.path().join("state").exists(), "{before}");
    for seed in ["1", "2", "3"] {
        let back: &[&str] = if seed == "3" { &["--roll-back-after", "change"] } else { &[] };
        let args = [&["rehearse", &runbook, "--auto", "--seed", seed], back].concat();
        let rehearsed = place.gonogo(&args, "");
        assert_eq!(rehearsed.status.code(), Some(0), "{}", text(&rehearsed));
        assert!(
            !text(&place.gonogo(&["log", "--json"], "")).contains("durations_measured"),
            "it follows from its seed"
        );
    }
    let plan = text(&place.gonogo(&["plan", &runbook], ""));
    assert!(plan.contains("forecast from 3 rehearsals: 1:"), "{plan}");
    assert!(plan.contains("expect 50 s, rehearsed 3×: ") && plan.contains("rehearsed 1×: "), "{plan}");
    let listed = text(&place.gonogo(&["rehearsals", &runbook], ""));
    assert!(
        listed.contains("writes paused for ")
            && listed.contains("rolled back from step 1 of 2")
            && listed.contains("the way back took "),
        "{listed}"
    );

    let run = text(&place.gonogo(&["run", &runbook, "--plain"], "show 1\nleave\n"));
    let end = run.lines().find(|line| line.starts_with("forecast end in 1:")).unwrap_or_else(|| panic!("{run}"));
    assert!(end.contains(" ± "), "{end}");
    let pause = run.lines().find(|line| line.starts_with("write pause 0.00 s of 1:00, expect ")).unwrap();
    assert!(pause.contains(" ± "), "{run}");
    assert!(run.contains("rehearsed 3×: ") && run.contains("rests on 3 rehearsals"), "{run}");
    let replayed = text(&place.gonogo(&["replay", "--plain"], "leave\n"));
    assert!(replayed.contains(end) && replayed.contains(pause), "{end}\n{replayed}");
    let verified = place.gonogo(&["replay", "--verify"], "");
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));

    // For a step that was changed, only the runbook's expectation is known.
    place.write("runbook.yaml", &REHEARSED.replace("[\"true\"]", "[\"true\", \"now\"]"));
    let changed = text(&place.gonogo(&["plan", &runbook], ""));
    assert!(!changed.contains("expect 50 s, rehearsed") && changed.contains("expect 1:30, rehearsed"), "{changed}");
}
