//! The real program on the real lab, driven by keyboard alone: to the end, back again, and through crashes.
//!
//! A few labs at a time, each with its own ports and folders: they mostly wait. More would wait for each other.
#![cfg(unix)]

mod console;
mod crashes;
mod operator;
mod slow;
#[path = "../../support/way_back.rs"]
mod support;
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use console::Console;
use gonogo::core::time::Span;
use gonogo::driver::facts_of;
use gonogo::journal::Store;
use gonogo::runbook::{self, Options};
use gonogo::words::about;
use operator::{Goal, Operator, Stop};
use support::said_and_took;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use world::{Remains, World, eventually};

/// Steps of `runbook.yaml`.
const STEPS: usize = 22;

/// The lab with what only takes time made short.
const QUICK: [&str; 8] = ["lab", "runbook.yaml", "--set", "soak=3s", "--set", "ttl_wait=2s", "--set", "keep_old=1s"];

/// The whole environment of the program: nothing of the developer's own gets in.
fn environment(scratch: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("TERM", "xterm-256color".into()),
        ("LC_ALL", "C.UTF-8".into()),
        ("PATH", std::env::var_os("PATH").unwrap_or_default().into()),
        ("HOME", scratch.into()),
        ("TMPDIR", scratch.join("tmp")),
        ("USER", "operator".into()),
    ]
}

/// So many tests at a time may have a place, and so a lab.
static TURNS: Semaphore = Semaphore::const_new(3);

/// A place of its own for one test: state, home and temporary files.
struct Place {
    dir: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Place {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let waits = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turn = waits.block_on(TURNS.acquire()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        // The servers may have to run as another user, who must be able to pass through.
        for path in [dir.path().to_owned(), dir.path().join("tmp")] {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711)).unwrap();
        }
        Self { dir, _turn: turn }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The program on a terminal.
    fn console(&self, args: &[&str]) -> Console {
        let state = self.state();
        let state = ["--state-dir", state.to_str().unwrap()];
        Console::start(self.path(), state.iter().chain(args))
    }

    /// The program without a terminal, to its end.
    fn gonogo(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        command.arg("--state-dir").arg(self.state()).args(args).env_clear().envs(environment(self.path()));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.output().unwrap()
    }

    /// The only or newest run's journal.
    fn log(&self) -> Vec<serde_json::Value> {
        let output = self.gonogo(&["log", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The newest run's name.
    fn run(&self) -> String {
        let mut runs: Vec<String> = std::fs::read_dir(self.state().join("runs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        runs.sort();
        runs.pop().expect("a run")
    }

    fn has_run(&self) -> bool {
        self.state().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some())
    }

    fn assert_intact(&self) {
        let verified = self.gonogo(&["verify", &self.run()]);
        assert!(verified.status.success(), "{verified:?}");
        assert!(String::from_utf8_lossy(&verified.stdout).contains("intact"), "{verified:?}");
        // Not only unchanged, but possible: every decision is made again from its evidence.
        let again = self.gonogo(&["replay", &self.run(), "--verify"]);
        let said = String::from_utf8_lossy(&again.stdout);
        eprintln!("{said}");
        if !said.contains(" 0 differ") {
            let log = self.gonogo(&["log", &self.run()]);
            eprintln!("{}", String::from_utf8_lossy(&log.stdout));
        }
        assert!(again.status.success() && said.contains(" 0 differ"), "{said}{again:?}");
    }

    /// The way back of the newest run took what had been said of it right before, within what the forecast itself says
    /// it may be off.
    fn assert_back_as_forecast(&self) {
        let reader = Store::open(&self.state()).unwrap().read_run(&self.run().parse().unwrap()).unwrap();
        let facts = facts_of(&reader.tail(reader.head().unwrap().seq).unwrap()).unwrap();
        let label = |name: &str| reader.meta().labels.get(name).cloned();
        let set = serde_json::from_str(&label("set").unwrap()).unwrap();
        let source = String::from_utf8(reader.runbook().unwrap()).unwrap();
        let read = runbook::load_str("runbook.yaml", source, &Options { profile: label("profile"), set });
        let plan = read.unwrap_or_else(|error| panic!("{}", error.render(false, 100))).plan;
        let (said, took) = said_and_took(&plan, None, &facts);
        let told = format!("said {}, took {took}", about(&said, true));
        eprintln!("the way back: {told}");
        assert!(took > Span::ZERO && !said.at_least && took <= said.latest(), "{told}");
    }

    /// Directories of labs among the temporary files.
    fn lab_directories(&self) -> Vec<String> {
        std::fs::read_dir(self.path().join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("gonogo-lab-"))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = gonogo::lab::stop(&self.state()) {
            eprintln!("cannot stop the lab: {error}");
        }
    }
}

/// Steps with a fact of this kind in the journal.
fn steps_with(log: &[serde_json::Value], kind: &str) -> BTreeSet<String> {
    let of_kind = log.iter().filter(|record| record["kind"] == kind);
    of_kind.map(|record| record["fact"]["step"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_playbook_is_driven_to_its_end_by_keyboard() {
    let place = Place::new();
    let mut operator = Operator::at(place.console(&["lab"]));
    assert_eq!(operator.drive(Goal::End), Stop::Reached, "{}", operator.last.text());
    assert_eq!(operator.started, (1..=STEPS).collect::<Vec<_>>());

    let world = World::of(&place.state());
    let remains = Remains::of(&place.state());
    let missing = world.missing();
    let customers = world.customers();
    eprintln!("{customers:?}\n{missing:?}");
    assert_eq!(missing.missing_in_new, 0, "{missing:?}");
    assert!(missing.acknowledged > 100, "{missing:?}");
    assert_eq!(customers.failed, 0, "{customers:?}");

    let made = |dir: &str| place.state().join("lab").join(dir).join("shop-before-decommission.dump");
    assert!(made("work").is_file() && !made("secrets").exists(), "what a run makes is kept apart from secrets");
    let last = operator.end("complete", "RUN COMPLETE");
    eprintln!("{}", last.text());
    assert!(last.has("0 failed, ") && last.has(" worst"), "{}", last.text());
    assert_eq!(operator.leave(), 0);
    let farewell = operator.console.view();
    eprintln!("{}", farewell.text());
    assert!(farewell.has("COMPLETE") && farewell.has("longest pause"), "{}", farewell.text());

    remains.assert_gone();
    assert_eq!(place.lab_directories(), Vec::<String>::new());
    place.assert_intact();
    let log = place.log();
    assert_eq!(steps_with(&log, "step_done").len(), STEPS);
    assert!(log.iter().any(|record| record["kind"] == "run_ended" && record["fact"]["how"] == "completed"));

    let mut resumed = place.console(&["resume"]);
    assert_eq!(resumed.exit_code(Duration::from_secs(20)), 2);
    assert!(resumed.view().has("there is no unfinished run"), "{}", resumed.view().text());
}

/// What the operator finds when the switch has been taken back.
fn assert_back_without_loss(world: &World) {
    let missing = world.missing();
    assert_eq!(missing.missing_in_old, 0, "{missing:?}");
    assert_eq!(world.address().0, world.var("old_address"));
    // Customers come back as the old answers in their resolvers expire.
    let customers = eventually("customers are served by the old web service", Duration::from_secs(30), || {
        let customers = world.customers();
        (customers.new_web == 0 && customers.old_web > 0).then_some(customers)
    });
    assert_eq!(customers.failed, 0, "{customers:?}");
    eprintln!("taken back: {customers:?}\n{missing:?}");
}

/// Takes back the switch of traffic and of the database, and no more.
fn take_the_switch_back(operator: &mut Operator) {
    assert_eq!(operator.drive(Goal::Step(16)), Stop::Reached, "{}", operator.last.text());
    for title in ["Point the name at the new environment", "Switch the database"] {
        let taken = operator.take_back_first().expect("there is something to take back");
        assert!(taken.contains(title), "{taken}");
    }
}

#[test]
fn the_switch_is_taken_back_without_loss() {
    let place = Place::new();
    let mut operator = Operator::at(place.console(&QUICK));
    take_the_switch_back(&mut operator);
    let world = World::of(&place.state());
    assert_back_without_loss(&world);

    // The rest of the way, until nothing is left in the world.
    let mut taken = Vec::new();
    taken.extend(std::iter::from_fn(|| operator.take_back_first()));
    eprintln!("{taken:#?}");
    assert_eq!(taken.len(), 5, "{taken:?}");
    assert_back_without_loss(&world);
    for (database, left) in [
        ("old_db", "pg_publication"),
        ("old_db", "pg_replication_slots"),
        ("new_db", "pg_publication"),
        ("new_db", "pg_replication_slots"),
        ("new_db", "pg_subscription"),
        ("old_db", "pg_subscription"),
    ] {
        assert_eq!(world.count(database, left), 0, "{left} of {database}");
    }
    assert_eq!(world.missing().missing_in_old, 0);
    operator.end("rolled-back", "RUN ROLLED BACK");
    assert_eq!(operator.leave(), 1);
    assert_eq!(place.lab_directories(), Vec::<String>::new());
    place.assert_intact();
    place.assert_back_as_forecast();
}

#[test]
fn the_way_back_takes_no_longer_than_was_said_from_earlier_steps_either() {
    // Replication runs; and everything is ready for the switch. From behind the switch the test above goes back.
    for from in [8, 13] {
        let place = Place::new();
        let mut operator = Operator::at(place.console(&QUICK));
        assert_eq!(operator.drive(Goal::Step(from)), Stop::Reached, "{}", operator.last.text());
        let taken = std::iter::from_fn(|| operator.take_back_first()).count();
        assert!(taken > 1, "from step {from}: {taken}");
        operator.end("rolled-back", "RUN ROLLED BACK");
        assert_eq!(operator.leave(), 1);
        place.assert_back_as_forecast();
    }
}

#[test]
fn after_the_switch_was_taken_back_it_is_made_again_where_only_one_address_exists() {
    let place = Place::new();
    let args: Vec<&str> = QUICK.into_iter().chain(["--one-address"]).collect();
    let mut operator = Operator::at(place.console(&args));
    take_the_switch_back(&mut operator);
    let world = World::of(&place.state());
    assert_back_without_loss(&world);

    operator.console.press("\x1b");
    assert_eq!(operator.drive(Goal::End), Stop::Reached, "{}", operator.last.text());
    let missing = world.missing();
    assert_eq!(missing.missing_in_new, 0, "{missing:?}");
    assert_eq!(world.customers().failed, 0);
    operator.end("complete", "RUN COMPLETE");
    assert_eq!(operator.leave(), 0);
    place.assert_intact();
}

#[test]
fn a_way_back_that_stalls_leaves_customers_able_to_write() {
    let place = Place::new();
    let mut operator = Operator::at(place.console(&QUICK));
    assert_eq!(operator.drive(Goal::Step(14)), Stop::Reached, "{}", operator.last.text());
    let world = World::of(&place.state());
    // Nothing that came from the new side can be written on the old one, though the stream stands.
    let stalled = world.hold("old_db", "lock table orders in exclusive mode");
    assert_eq!(operator.first_on_the_way_back(), Some(13));
    let stop = operator.take_back_step(13);
    assert_eq!(stop, Stop::Trouble { number: 13, state: "failed".to_owned() }, "{}", operator.last.text());
    assert!(!world.is_fenced("new_db") && world.is_fenced("old_db"), "exactly one side can write");
    let log = place.log();
    let failed = log.iter().rev().find(|record| record["kind"] == "undo_failed").expect("a failure");
    let why = failed["fact"]["why"].as_str().unwrap();
    assert!(why.contains("job 3 ") && why.contains("the new one is open again"), "{why}");
    let before = world.customers().acknowledged;
    eventually("customers go on", Duration::from_secs(20), || {
        (world.customers().acknowledged > before + 20).then_some(())
    });
    assert_eq!(world.customers().failed, 0, "{:?}", world.customers());

    drop(stalled);
    let behind =
        "pg_replication_slots where slot_name = 'shop_back' and confirmed_flush_lsn < pg_current_wal_lsn() - 100000";
    eventually("the old database to catch up", Duration::from_secs(30), || {
        (world.count("new_db", behind) == 0).then_some(())
    });
    assert_eq!(operator.take_back_step(13), Stop::Reached, "{}", operator.last.text());
    assert!(world.is_fenced("new_db") && !world.is_fenced("old_db"));
    let missing = world.missing();
    assert_eq!(missing.missing_in_old, 0, "{missing:?}");
    // What was done of the way back was not done again.
    let log = place.log();
    let jobs: Vec<u64> = log
        .iter()
        .filter(|record| record["kind"] == "job_started" && record["fact"]["key"]["direction"] == "undo")
        .map(|record| record["fact"]["key"]["job"].as_u64().unwrap())
        .collect();
    assert_eq!(jobs, [0, 1, 2, 2, 3, 4, 5, 6]);
    place.assert_intact();
}

#[test]
fn the_switch_does_not_go_on_while_somebody_could_still_write() {
    let place = Place::new();
    let mut operator = Operator::at(place.console(&QUICK));
    assert_eq!(operator.drive(Goal::Step(13)), Stop::Reached, "{}", operator.last.text());
    let world = World::of(&place.state());
    drop(world.hold("old_db", "alter role shop_app set default_transaction_read_only = off; commit"));
    operator.start_here();
    let failed = eventually("the switch to take itself back", Duration::from_mins(1), || {
        place.log().into_iter().rev().find(|record| record["kind"] == "step_failed")
    });
    let why = failed["fact"]["why"].as_str().unwrap();
    assert!(why.contains("expected nobody, got") && why.contains("shop_app (exempt from the fence)"), "{why}");
    assert_eq!(failed["fact"]["reverted"], true, "{failed}");
    assert!(!world.is_fenced("old_db") && world.is_fenced("new_db"));
    assert_eq!(world.old_web_database(), "old");
    assert_eq!(world.missing().missing_in_old, 0);
}

/// A number from the environment, or the usual one.
fn number<T: std::str::FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => usual,
    }
}

#[test]
fn killed_at_random_nothing_is_lost_or_repeated() {
    // A long test uses a random seed, a short one always the same.
    let seed = if std::env::var_os("GONOGO_KILLS").is_some() { rand::random() } else { 11 };
    crashes::kill_and_resume(number("GONOGO_KILLS", 8), number("GONOGO_SEED", seed));
}

/// What the program says, wherever it says it, and its exit status.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    (output.status.code(), text)
}

#[test]
fn a_run_whose_lab_is_gone_cannot_be_gone_on_with() {
    let place = Place::new();
    let mut operator = Operator::at(place.console(&QUICK));
    assert_eq!(operator.drive(Goal::Step(2)), Stop::Reached);
    operator.console.kill_hard();
    let name = place.run().rsplit('-').next().unwrap().to_owned();

    // The lab is still there: another run would find what this one left.
    let (status, text) = said(&place.gonogo(&["--plain", "lab"]));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains(&format!("gonogo resume {name}")) && text.contains("gonogo lab --down"), "{text}");

    assert!(place.gonogo(&["lab", "--down"]).status.success());
    let before = place.log().len();
    for lab in ["gone", "another"] {
        let (status, text) = said(&place.gonogo(&["--plain", "resume"]));
        assert_eq!(status, Some(3), "{text}");
        let told = [&format!("the lab of run {name} is gone since 20"), " UTC", &format!("gonogo log {name}")];
        assert!(told.iter().all(|told| text.contains(*told)), "{text}");
        assert_eq!(text.contains("is another"), lab == "another", "{text}");
        assert_eq!(place.log().len(), before, "nobody took the run over");
        if lab == "gone" {
            assert!(place.gonogo(&["lab", "--up"]).status.success());
        }
    }
}

#[test]
fn a_lab_run_that_would_leave_this_machine_is_refused_before_anything_starts() {
    let place = Place::new();
    let (status, text) =
        said(&place.gonogo(&["--plain", "lab", "runbook.yaml", "--set", "new_db=host=db.example.com"]));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("the database `new` is at `host=db.example.com`"), "{text}");
    assert!(!place.has_run() && !place.state().join("lab").exists() && place.lab_directories().is_empty());
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let place = Place::new();
    for command in ["check", "plan", "run", "watch", "lab"] {
        let set = ["--plain", command, "runbook.yaml", "--set", "db_password=canary-on-the-line"];
        let (status, text) = said(&place.gonogo(&set));
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains("`secrets:`") && text.contains("db_password"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(!place.has_run());
}

/// A runbook of one command that goes on until a file is there.
const LONG_COMMAND: &str = r#"
title: A long command
phases:
  - title: Only
    steps:
      - id: long
        title: Takes a while
        action:
          command: { run: "until [ -e FILE ]; do sleep 0.05; done; echo done", limit: 1m }
        reversibility: free
"#;

/// Starts the long command from the keyboard and waits until it runs.
fn long_command(place: &Place) -> Operator {
    let runbook = place.path().join("long.yaml");
    std::fs::write(&runbook, LONG_COMMAND.replace("FILE", place.path().join("go-on").to_str().unwrap())).unwrap();
    let mut operator = Operator::at(place.console(&["run", runbook.to_str().unwrap()]));
    operator.console.wait("a ready step", Duration::from_secs(20), |view| {
        view.conversation().is_some_and(|line| line.starts_with("1 is ready")).then_some(())
    });
    operator.start_here();
    operator.console.wait("the running command", Duration::from_secs(20), |view| {
        view.conversation().is_some_and(|line| line.starts_with("1 is running")).then_some(())
    });
    operator
}

/// Lets the long command come to its end.
fn end_the_command(place: &Place) {
    std::fs::write(place.path().join("go-on"), "").unwrap();
}

#[test]
fn a_lost_terminal_leaves_the_command_running() {
    let place = Place::new();
    let mut operator = long_command(&place);
    operator.console.hang_up();
    end_the_command(&place);
    // It waits for the command, records its end and that it was left, and goes.
    assert_eq!(operator.console.exit_code(Duration::from_secs(20)), 5);
    place.assert_intact();
    let log = place.log();
    let kinds: Vec<&str> = log.iter().filter_map(|record| record["kind"].as_str()).collect();
    let at =
        |kind: &str| kinds.iter().position(|other| *other == kind).unwrap_or_else(|| panic!("no {kind}: {kinds:?}"));
    assert!(at("job_ended") < at("driver_left"), "{kinds:?}");
    let ended = &log[at("job_ended")]["fact"];
    assert!(ended["outcome"]["succeeded"].is_object(), "{ended}");

    let mut operator = Operator::at(place.console(&["resume"]));
    assert_eq!(operator.drive(Goal::End), Stop::Reached);
    assert_eq!(operator.started, Vec::<usize>::new(), "nothing is asked again");
    operator.end("complete", "RUN COMPLETE");
    assert_eq!(operator.leave(), 0);
}

#[test]
fn a_killed_cockpit_leaves_the_command_running() {
    let place = Place::new();
    let mut operator = long_command(&place);
    operator.console.kill_hard();
    let mut operator = Operator::at(place.console(&["resume"]));
    eventually("the running command is found again", Duration::from_secs(20), || {
        place.log().iter().any(|record| record["kind"] == "job_adopted").then_some(())
    });
    end_the_command(&place);
    assert_eq!(operator.drive(Goal::End), Stop::Reached);
    assert_eq!(operator.started, Vec::<usize>::new(), "nothing is asked again");
    let log = place.log();
    let adopted = log.iter().find(|record| record["kind"] == "job_adopted").expect("an adoption");
    assert_eq!(adopted["fact"]["adoption"], "running");
    let started = log.iter().filter(|record| record["kind"] == "job_started").count();
    assert_eq!(started, 1);
    operator.end("complete", "RUN COMPLETE");
    assert_eq!(operator.leave(), 0);
    place.assert_intact();
}
