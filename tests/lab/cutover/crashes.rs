//! Crashes of the cockpit in the middle of a run, and an operator who checks on the servers what each job really did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gonogo::core::plan::Plan;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::operator::{Confirmations, Goal, Moment, Operator, Says, Stop};
use super::world::World;
use super::{Place, QUICK, STEPS};

/// How much of a step's effect is in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Half,
    Whole,
}

impl Effect {
    fn of(parts: &[bool]) -> Self {
        match parts.iter().filter(|there| **there).count() {
            0 => Effect::None,
            some if some == parts.len() => Effect::Whole,
            _ => Effect::Half,
        }
    }

    /// The word that says so.
    fn word(self) -> &'static str {
        match self {
            Effect::None => "not",
            Effect::Half => "half",
            Effect::Whole => "happened",
        }
    }
}

/// The member of the switch that points the application at the new database.
const LAST_OF_SWITCH: u64 = 8;

/// Looks at the servers for what a step does, as an operator with psql and dig would.
fn effect(world: &World, step: &str, job: u64) -> Effect {
    world.settle();
    let there = |database: &str, what: &str| world.count(database, what) > 0;
    let read_only = |database: &str| {
        there(database, "pg_db_role_setting where 'default_transaction_read_only=on' = any (setconfig)")
    };
    let publication = |name: &str| format!("pg_publication where pubname = '{name}'");
    let slot = |name: &str| format!("pg_replication_slots where slot_name = '{name}'");
    let subscription = |name: &str| {
        format!(
            "pg_subscription join pg_database d on d.oid = subdbid where d.datname = current_database() and subname = '{name}'"
        )
    };
    match step {
        "guard-new" => Effect::of(&[read_only("new_db")]),
        "publish" => Effect::of(&[there("old_db", &publication("shop_pub"))]),
        "subscribe" => Effect::of(&[there("new_db", &subscription("shop_sub"))]),
        "way-back-prepared" => Effect::of(&[
            there("new_db", &publication("shop_back_pub")),
            there("new_db", &slot("shop_back")),
            there("old_db", &subscription("shop_back")),
        ]),
        "lower-ttl" => Effect::of(&[world.address().1 == 4]),
        "restore-ttl" => Effect::of(&[world.address().1 == 20]),
        "flip-dns" => Effect::of(&[world.address().0 == world.var("new_address")]),
        // Members of sections: nothing before the first, everything after the last, and something in between.
        "switch-database" if job == 0 && !read_only("old_db") => Effect::None,
        "switch-database" if job == LAST_OF_SWITCH && world.old_web_database() == "new" => Effect::Whole,
        "switch-database" => Effect::Half,
        "drop-way-back" => {
            let there_still = there("old_db", &subscription("shop_back"));
            let whole = there("old_db", &format!("{} and subenabled", subscription("shop_back")));
            Effect::of(&[!there_still, !whole])
        }
        "drop-replication" => Effect::of(&[
            !there("new_db", &subscription("shop_sub")),
            !there("new_db", &slot("shop_back")),
            !there("new_db", &publication("shop_back_pub")),
        ]),
        // They only read, or doing them again is the same as having done them once.
        "new-answers" | "identities" | "statistics" | "infrastructure" | "archive" => Effect::None,
        other => panic!("nobody looked for {other}"),
    }
}

/// The bundled runbook as the lab drives it.
fn plan() -> Plan {
    let options = gonogo::runbook::Options { profile: Some("lab".to_owned()), set: Vec::new() };
    let text = include_str!("../../../runbook.yaml").to_owned();
    gonogo::runbook::load_str("runbook.yaml", text, &options).unwrap_or_else(|faults| panic!("{faults}")).plan
}

/// The direction and the position of the job a fact is about.
fn key_of(fact: &serde_json::Value) -> (&str, u64) {
    let key = &fact["key"];
    (key["direction"].as_str().unwrap_or("?"), key["job"].as_u64().expect("a number"))
}

/// The newest fact of one of these kinds about a step.
fn newest<'a>(log: &'a [serde_json::Value], step: &str, kinds: &[&str]) -> Option<&'a serde_json::Value> {
    log.iter().rev().find_map(|record| {
        let fact = &record["fact"];
        let about = fact["step"].as_str().or_else(|| fact["key"]["step"].as_str());
        (about == Some(step) && kinds.contains(&record["kind"].as_str()?)).then_some(fact)
    })
}

/// Whether a step is being taken back, by what was last confirmed of it.
fn is_going_back(log: &[serde_json::Value], step: &str) -> bool {
    let confirmed = ["step_started", "undo_started", "step_undone"];
    let newest = log.iter().rev().find(|record| {
        record["fact"]["step"].as_str() == Some(step)
            && record["kind"].as_str().is_some_and(|kind| confirmed.contains(&kind))
    });
    newest.is_some_and(|record| record["kind"] == "undo_started")
}

/// Nothing a customer was told is saved is missing where writes go again.
fn assert_nothing_missing_in_old(world: &World) {
    let missing = world.missing();
    assert_eq!(missing.missing_in_old, 0, "{missing:?}");
}

struct Crashes {
    rng: StdRng,
    /// Ids of all steps in order.
    steps: Vec<String>,
    /// Numbers of the steps that are sections.
    sections: Vec<usize>,
    /// Numbers of the steps that are taken back and made again: the switch of the database and that of traffic.
    switch: usize,
    flip: usize,
    kills: usize,
    wanted: usize,
    findings: BTreeMap<String, usize>,
    worst_pause: u64,
    /// Cockpits that were killed while a section took itself back, and while a step was taken back.
    killed_reverting: usize,
    killed_undoing: usize,
}

/// Where the operator wants to get to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As far as watching the new environment.
    There,
    /// Back, until the old database serves again.
    Back,
    /// To the end.
    Through,
}

impl Crashes {
    fn moment(&mut self) -> Moment {
        let nth = self.rng.random_range(1..=3);
        match self.rng.random_range(0..20) {
            // Around the first write, while the job is on its way, and well into it.
            0..3 => Moment::AfterAnswer { nth, delay: Duration::from_millis(self.rng.random_range(0..25)) },
            3..6 => Moment::AfterAnswer { nth, delay: Duration::from_millis(self.rng.random_range(0..250)) },
            6..9 => Moment::UnderWay { delay: Duration::from_millis(self.rng.random_range(0..1_500)) },
            9..11 => Moment::After(Duration::from_millis(self.rng.random_range(0..5_000))),
            // Other moments would be used up early in a run; the delicate steps come late and are short.
            _ => Moment::Delicate,
        }
    }

    /// Drives one run in a lab of its own to its end, through any number of crashes.
    fn run(&mut self) {
        let place = Place::new();
        let up = place.gonogo(&["lab", "--up"]);
        assert!(up.status.success(), "{up:?}");
        let world = World::of(&place.state());
        let mut confirmed = Confirmations::new();
        let mut args: Vec<&str> = QUICK.to_vec();
        let mut way = Way::There;
        loop {
            let console = place.console(&args);
            let mut operator = if self.kills < self.wanted {
                let moment = self.moment();
                // In the middle of a section, which takes a tenth of a second.
                let middle = |number: &usize| (*number, Duration::from_millis(self.rng.random_range(5..150)));
                let mut delicate: BTreeMap<usize, Duration> = self.sections.iter().map(middle).collect();
                // Not always at the first that comes.
                delicate.retain(|_, _| self.rng.random());
                let back = Duration::from_millis(self.rng.random_range(5..1_500));
                let mut operator = Operator::to_be_killed(console, moment, delicate, back);
                if self.rng.random() {
                    let soon = Duration::from_millis(self.rng.random_range(0..60));
                    operator.stopping = Some((self.switch, soon));
                }
                operator
            } else {
                Operator::at(console)
            };
            operator.confirmed = std::mem::take(&mut confirmed);
            let killed = self.drive(&place, &world, &mut operator, &mut way);
            confirmed.clone_from(&operator.confirmed);
            if !killed {
                self.finish(&place, &world, operator);
                self.check_journal(&place, &confirmed);
                return;
            }
            if !place.has_run() {
                continue;
            }
            self.kills += 1;
            eprintln!(
                "kill {} at: {}",
                self.kills,
                operator.last.conversation().as_deref().unwrap_or("nothing on screen")
            );
            self.count_directions(&place);
            place.assert_intact();
            self.check_journal(&place, &confirmed);
            assert_shown_is_recorded(&place, &operator);
            args = vec!["resume"];
        }
    }

    /// Drives on through trouble; says whether the cockpit was killed.
    fn drive(&mut self, place: &Place, world: &World, operator: &mut Operator, way: &mut Way) -> bool {
        for _ in 0..80 {
            let stop = match way {
                Way::There => operator.drive(Goal::Step(self.flip + 2)),
                Way::Back => self.drive_back(operator),
                Way::Through => operator.drive(Goal::End),
            };
            match (stop, &way) {
                (Stop::Reached, Way::There) => *way = Way::Back,
                (Stop::Reached, Way::Back) => {
                    assert_nothing_missing_in_old(world);
                    *way = Way::Through;
                }
                (Stop::Reached, Way::Through) => return false,
                (Stop::Killed, _) => return true,
                (Stop::Trouble { number, state }, _) => {
                    if self.sort_out(place, world, operator, number, &state) {
                        return true;
                    }
                }
            }
        }
        panic!("trouble without end; screen:\n{}", operator.last.text());
    }

    /// Takes back the switch of traffic and of the database, one after the other, from wherever the run stands.
    fn drive_back(&self, operator: &mut Operator) -> Stop {
        loop {
            if operator.kill_if_due() {
                return Stop::Killed;
            }
            let view = operator.console.view();
            operator.last = view.clone();
            match Says::of(&view) {
                Says::Step { number, state, .. } => match state.as_str() {
                    "in doubt" => {
                        operator.under_way();
                        return Stop::Trouble { number, state };
                    }
                    "undoing" | "reverting" => match operator.follow_back(number) {
                        Stop::Reached => {}
                        other => return other,
                    },
                    _ => match operator.first_on_the_way_back() {
                        Some(first) if first >= self.switch => match operator.take_back_step(first) {
                            Stop::Reached => {}
                            other => return other,
                        },
                        _ => {
                            operator.close_sheet();
                            return Stop::Reached;
                        }
                    },
                },
                Says::Refused(_) | Says::Remark(_) => operator.console.press("\x0c"),
                _ => operator.console.wait_for_news(&view, Duration::from_millis(200)),
            }
        }
    }

    /// What the cockpit that was just killed was doing, by its last job without an end.
    fn count_directions(&mut self, place: &Place) {
        let log = place.log();
        let mut open: Option<&serde_json::Value> = None;
        for record in &log {
            match record["kind"].as_str() {
                Some("job_started") => open = Some(&record["fact"]),
                Some("job_ended") if open.is_some_and(|open| open["key"] == record["fact"]["key"]) => open = None,
                _ => {}
            }
        }
        match open.map(|fact| key_of(fact).0) {
            Some("revert") => self.killed_reverting += 1,
            Some("undo") => self.killed_undoing += 1,
            _ => {}
        }
    }

    /// Deals with a step that failed or is in doubt; says whether the cockpit was killed meanwhile.
    fn sort_out(&mut self, place: &Place, world: &World, operator: &mut Operator, number: usize, state: &str) -> bool {
        operator.close_sheet();
        let step = self.steps[number - 1].clone();
        let log = place.log();
        if state == "in doubt" {
            let doubt = newest(&log, &step, &["left_in_doubt"]).expect("a doubt");
            let (direction, job) = key_of(doubt);
            let found = match direction {
                "do" => effect(world, &step, job),
                // Taking back twice has the same effect as once, but only the runbook's statements do it: report half,
                // and take back again.
                _ => Effect::Half,
            };
            eprintln!("  {step} in doubt ({direction} {job}): {found:?}");
            *self.findings.entry(format!("{step} {direction} {found:?}")).or_default() += 1;
            operator.resolve(found.word(), "looked at the servers themselves");
            return false;
        }
        let failed = newest(&log, &step, &["step_failed", "undo_failed", "doubt_resolved"]).expect("a failure");
        let why = failed["why"].as_str().unwrap_or("found half done");
        eprintln!("  {step} failed: {why}");
        let reverted = failed["reverted"].as_bool() == Some(true);
        if step == "switch-database" && reverted {
            assert_nothing_missing_in_old(world);
        }
        // A step that was taken back in part is taken back again, from wherever it stands.
        let half_back = is_going_back(&log, &step)
            || step == "switch-database" && !reverted
            || step == "way-back-prepared" && !reverted && why.contains("half");
        if half_back {
            return operator.take_back_step(number) == Stop::Killed;
        }
        if !reverted && world.customers().failed > 0 && why.contains("customers") {
            world.reset_customers();
            operator.verify_again();
            return false;
        }
        let whole = !reverted && effect(world, &step, u64::MAX) == Effect::Whole;
        if whole {
            operator.verify_again();
        } else {
            operator.start_here();
        }
        false
    }

    fn finish(&mut self, place: &Place, world: &World, mut operator: Operator) {
        let missing = world.missing();
        let customers = world.customers();
        eprintln!("run finished after {} kills in all: {customers:?} {missing:?}", self.kills);
        assert_eq!(missing.missing_in_new, 0, "{missing:?}");
        self.worst_pause = self.worst_pause.max(customers.longest_pause_ms);
        operator.end("complete", "RUN COMPLETE");
        assert_eq!(operator.leave(), 0);
        place.assert_intact();
        let log = place.log();
        assert_eq!(super::steps_with(&log, "step_done").len(), STEPS);
        assert_eq!(log.iter().filter(|record| record["kind"] == "run_ended").count(), 1);
        let down = place.gonogo(&["lab", "--down"]);
        assert!(down.status.success(), "{down:?}");
        assert_eq!(place.lab_directories(), Vec::<String>::new());
    }

    /// Nothing was started twice, and nothing that nobody confirmed.
    fn check_journal(&self, place: &Place, confirmed: &Confirmations) {
        let log = place.log();
        let mut jobs = BTreeSet::new();
        let mut starts: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for record in &log {
            let fact = &record["fact"];
            match record["kind"].as_str() {
                Some("job_started") => {
                    assert!(jobs.insert(fact["key"].to_string()), "started twice: {}", fact["key"]);
                }
                Some("step_started") => {
                    let step = fact["step"].as_str().unwrap().to_owned();
                    let attempt = fact["attempt"].as_u64().unwrap();
                    assert!(starts.entry(step).or_default().insert(attempt), "an attempt begun twice: {fact}");
                }
                _ => {}
            }
        }
        for (step, attempts) in starts {
            let number = self.steps.iter().position(|other| *other == step).unwrap() + 1;
            let asked = confirmed.get(&number).copied().unwrap_or(0);
            assert!(attempts.len() <= asked, "{step} was begun {} times, confirmed {asked} times", attempts.len());
        }
    }
}

/// Every line of the journal on the last screen is in the journal on disk.
fn assert_shown_is_recorded(place: &Place, operator: &Operator) {
    let text = String::from_utf8(place.gonogo(&["log"]).stdout).unwrap();
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let recorded: Vec<String> = text.lines().map(squeezed).collect();
    for row in operator.last.rows() {
        let row = squeezed(row);
        let time = row.split(' ').next().unwrap_or_default();
        if time.len() != 8 || time.matches(':').count() != 2 || !row.is_char_boundary(row.len().min(60)) {
            continue;
        }
        // A row that does not fit is cut short.
        let shown = &row[..row.len().min(60)];
        assert!(recorded.iter().any(|line| line.contains(shown)), "on screen but not recorded: {row}\n{text}");
    }
}

fn number_of(plan: &Plan, id: &str) -> usize {
    plan.step(&id.into()).expect("a step of the bundled runbook").number
}

/// Kills cockpits until it has been often enough, over as many runs as it takes.
pub fn kill_and_resume(wanted: usize, seed: u64) {
    eprintln!("seed {seed}: GONOGO_SEED={seed} repeats the moments");
    let plan = plan();
    let mut crashes = Crashes {
        rng: StdRng::seed_from_u64(seed),
        steps: plan.steps.iter().map(|step| step.id.to_string()).collect(),
        switch: number_of(&plan, "switch-database"),
        flip: number_of(&plan, "flip-dns"),
        sections: plan.steps.iter().filter(|step| step.work.section).map(|step| step.number).collect(),
        kills: 0,
        wanted,
        findings: BTreeMap::new(),
        worst_pause: 0,
        killed_reverting: 0,
        killed_undoing: 0,
    };
    let mut runs = 0;
    while crashes.kills < wanted {
        crashes.run();
        runs += 1;
    }
    eprintln!("{} kills in {runs} runs; worst pause {} ms", crashes.kills, crashes.worst_pause);
    eprintln!(
        "killed while a section took itself back: {}; while a step was taken back: {}",
        crashes.killed_reverting, crashes.killed_undoing
    );
    eprintln!("found in doubt: {:#?}", crashes.findings);
}
