//! Commands: output of every kind, limits, survival, adoption and secrets.

use std::collections::BTreeMap;

use gonogo::core::action::{Action, Checklist};
use gonogo::core::board::Board;
use gonogo::core::expr::Sight;
use gonogo::core::job::{Adoption, Outcome};
use gonogo::core::kind::command::{CommandLine, CommandProbe};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};
use gonogo::core::value::{FieldType, Value};
use gonogo::world::World as _;

use crate::support::{Setting, Stage, failed, key, shell, succeeded, unknown, until};

#[tokio::test]
async fn a_probe_that_takes_longer_than_its_interval_is_fresh_all_the_while() {
    let probe = CommandProbe {
        run: CommandLine::Shell("sleep 2.3; echo '{\"n\": 1}'".to_owned()),
        env: BTreeMap::new(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        simulate: BTreeMap::new(),
    };
    let setting = Setting::default().probe_every("slow", ProbeKind::Command(probe), 1_000, 5_000);
    let (plan, mut stage) = (setting.plan(), setting.stage());
    let (run, mut board) = (Run::default(), Board::new(&plan, At(0)));
    stage.world.watch();
    let is_fresh = |board: &Board, at: At| matches!(board.sight(at, &"slow".into()), Sight::Fresh { .. });
    for round in 0..3 {
        let reading = stage.reading("slow", |reading| Some(reading.clone())).await;
        let arrived = reading.at.plus(reading.took);
        assert!(round == 0 || is_fresh(&board, arrived.before(Span(1))), "the one before until this one came");
        board.observe(&plan, &run, arrived, &reading);
        assert!(is_fresh(&board, arrived), "{reading:?}");
        assert!(!is_fresh(&board, arrived.plus(Span::secs(15))), "silence is no slowness");
    }
}

#[tokio::test]
async fn a_probes_program_has_no_terminal_to_write_on_and_says_when_it_does_not_start() {
    let probe = |run: CommandLine| {
        ProbeKind::Command(CommandProbe {
            run,
            env: BTreeMap::new(),
            fields: BTreeMap::from([("leads".to_owned(), FieldType::Bool)]).into(),
            as_of: None,
            simulate: BTreeMap::new(),
        })
    };
    // A process that leads a session has no terminal, unless it opens one for itself.
    let leads = CommandLine::Shell(
        r#"set -- $(ps -o sid= -p $$); [ "$1" = $$ ] && leads=true; echo "{\"leads\": ${leads:-false}}""#.to_owned(),
    );
    let missing = CommandLine::Argv(vec!["/nonexistent/program".to_owned()]);
    let setting = Setting::default().probe_every("leads", probe(leads), 500, 5_000);
    let mut stage = setting.probe_every("missing", probe(missing), 500, 5_000).stage();
    stage.world.watch();
    let reading = stage.reading("leads", |reading| Some(reading.clone())).await;
    assert_eq!(reading.result.expect("a reading").at("leads"), Some(&Value::Bool(true)));
    let reading = stage.reading("missing", |reading| Some(reading.clone())).await;
    let told = reading.result.expect_err("there is no such program").what;
    assert!(told.starts_with("/nonexistent/program does not start: No such file"), "{told}");
}

fn pid_in(path: &std::path::Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A figure of this process in KiB: `VmRSS`, what is resident, or `VmHWM`, the most that ever was.
fn memory(figure: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_command_runs_and_its_lines_come_through() {
    let mut stage = Setting::default().stage();
    let outcome = stage
        .run(Action::Command(shell(
            r#"echo "hello $GONOGO_RUN $GONOGO_STEP $GONOGO_ATTEMPT $GONOGO_IDEMPOTENCY_KEY $GONOGO_EPOCH"; printf 'no break' >&2"#,
        )))
        .await;
    assert_eq!(succeeded(&outcome), "exit 0");
    assert_eq!(stage.lines(), ["hello run-1 s0 1 run-1.s0.do.1.0 7", "no break"]);
}

#[tokio::test]
async fn failures_say_status_and_last_words() {
    let mut stage = Setting::default().stage();
    let outcome = stage.run(Action::Command(shell("echo working; echo 'no route to host' >&2; exit 3"))).await;
    assert_eq!(failed(&outcome), "exit 3: no route to host");
    let mut two = shell("exit 2");
    two.success = vec![0, 2];
    assert_eq!(succeeded(&stage.run(Action::Command(two)).await), "exit 2");
    let mut missing = shell("");
    missing.run = CommandLine::Argv(vec!["/nonexistent/program".to_owned()]);
    let outcome = stage.run(Action::Command(missing)).await;
    assert!(failed(&outcome).contains("/nonexistent/program does not start"), "{outcome:?}");
    let mut nowhere = shell("true");
    nowhere.cwd = Some("/nonexistent".to_owned());
    let outcome = stage.run(Action::Command(nowhere)).await;
    assert!(failed(&outcome).contains("no directory /nonexistent"), "{outcome:?}");
    let outcome = stage.run(Action::Command(shell("kill -9 $$"))).await;
    assert_eq!(failed(&outcome), "ended by signal 9");
}

#[tokio::test]
async fn hostile_bytes_arrive_as_data() {
    let mut stage = Setting::default().stage();
    let outcome =
        stage.run(Action::Command(shell(r"printf '\033[2J\000x\377\302\233y\342\200\256z\n'; echo end"))).await;
    succeeded(&outcome);
    let lines = stage.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].chars().all(|c| !c.is_control() && c != '\u{202e}'), "{lines:?}");
    assert!(lines[0].contains("␛[2J"), "{lines:?}");
}

/// Not a test of its own: measures a whole process, in which nothing else may run.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_flood_in_a_process_of_its_own() {
    let mut stage = Setting::default().stage();
    let before = memory("VmRSS:");
    let outcome =
        stage.run(Action::Command(shell("yes 0123456789abcdef | head -c 1000000000; echo the very end"))).await;
    let more = memory("VmHWM:").saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KiB more");
    assert!(succeeded(&outcome).contains("MiB of output not kept"), "{outcome:?}");
    assert!(stage.lines().len() < 4_000);
    assert!(stage.dropped() > 1_000_000, "{}", stage.dropped());
    let size = std::fs::metadata(stage.output("s0.do.1.0.out")).unwrap().len();
    assert_eq!(size, 64 * 1024 * 1024);
}

#[test]
fn a_flood_is_bounded_and_its_end_is_seen() {
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "command::a_flood_in_a_process_of_its_own"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
async fn one_endless_line_is_bounded() {
    let mut stage = Setting::default().stage();
    let outcome = stage.run(Action::Command(shell("head -c 50000000 /dev/zero"))).await;
    succeeded(&outcome);
    let lines = stage.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("more bytes)"), "{}", &lines[0][lines[0].len() - 80..]);
}

#[tokio::test]
async fn the_limit_ends_the_whole_group_also_when_it_ignores_term() {
    let mut stage = Setting::default().stage();
    let note = stage.dir.path().join("child");
    let mut command = shell(&format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {0}; sleep 600; sleep 600' & wait; sleep 600",
        note.display()
    ));
    command.limit = Span(700);
    let outcome = stage.run(Action::Command(command)).await;
    assert!(failed(&outcome).contains("took longer than 700 ms"), "{outcome:?}");
    let child = pid_in(&note).unwrap();
    until("gone", || !alive(child)).await;
}

#[tokio::test]
async fn a_child_that_keeps_the_pipe_open_does_not_hang_the_step() {
    let mut stage = Setting::default().stage();
    let note = stage.dir.path().join("child");
    let outcome = stage
        .run(Action::Command(shell(&format!(
            "setsid sh -c 'echo $$ > {0}; exec sleep 600' & until [ -s {0} ]; do sleep 0.01; done; echo done",
            note.display()
        ))))
        .await;
    assert_eq!(succeeded(&outcome), "exit 0");
    let child = pid_in(&note).unwrap();
    assert!(alive(child), "the step has ended, and not because the child did");
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn stop_ends_a_command() {
    let mut stage = Setting::default().stage();
    let key = key("long");
    stage.world.start(key.clone(), &Action::Command(shell("echo up; exec sleep 600")));
    stage.line("up").await;
    stage.world.stop(&key);
    let outcome = stage.ended(&key).await;
    assert!(failed(&outcome).starts_with("told to stop, ended after"), "{outcome:?}");
}

#[tokio::test]
async fn a_command_outlives_the_world_and_is_adopted() {
    let setting = Setting::default();
    let mut stage = setting.stage();
    let (key, gate) = (key("long"), stage.dir.path().join("gate"));
    let action = Action::Command(shell(&format!(
        "echo first; while [ ! -e {0} ]; do sleep 0.05; done; echo last; exit 4",
        gate.display()
    )));
    stage.world.start(key.clone(), &action);
    stage.line("first").await;
    stage.restart(&setting); // the first world is dropped: nobody is told any more
    stage.world.adopt(key.clone(), &action);
    assert_eq!(stage.adopted(&key).await, Adoption::Running);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(failed(&stage.ended(&key).await), "exit 4: first / last");

    stage.restart(&setting);
    stage.world.adopt(key.clone(), &action);
    let Adoption::Ended { outcome, .. } = stage.adopted(&key).await else { panic!() };
    assert_eq!(failed(&outcome), "exit 4: first / last");
}

/// Not a test of its own: the cockpit that the next test kills.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_cockpit_to_be_killed() {
    let dir = std::env::var_os("GONOGO_TEST_DIR").expect("started by the next test");
    let dir = std::path::Path::new(&dir);
    let mut world = crate::support::world(&Setting::default().plan(), dir);
    world.start(key("long"), &waits_for(&dir.join("gate")));
    while world.next().await.is_some() {}
}

fn waits_for(gate: &std::path::Path) -> Action {
    let text = format!("echo first; while [ ! -e {0} ]; do sleep 0.05; done; echo last", gate.display());
    let mut command = shell(&text);
    command.limit = Span::secs(4);
    Action::Command(command)
}

#[tokio::test]
async fn a_command_outlives_a_killed_cockpit() {
    for finish in [true, false] {
        let setting = Setting::default();
        let mut stage = setting.stage();
        let gate = stage.dir.path().join("gate");
        let mut cockpit = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "command::a_cockpit_to_be_killed"])
            .env("GONOGO_TEST_DIR", stage.dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let out = stage.output("long.do.1.0.out");
        until("started", || std::fs::read_to_string(&out).is_ok_and(|text| text == "first\n")).await;
        cockpit.kill().unwrap(); // SIGKILL
        cockpit.wait().unwrap();
        let (key, action) = (key("long"), waits_for(&gate));
        if finish {
            stage.world.adopt(key.clone(), &action);
            assert_eq!(stage.adopted(&key).await, Adoption::Running);
            std::fs::write(&gate, "").unwrap();
            assert_eq!(succeeded(&stage.ended(&key).await), "exit 0");
            assert_eq!(stage.lines(), ["first", "last"]);
        } else {
            // Without a cockpit the limit is enforced all the same.
            let end = stage.output("long.do.1.0.exit");
            until("ended", || end.exists()).await;
            stage.world.adopt(key.clone(), &action);
            let Adoption::Ended { outcome, took } = stage.adopted(&key).await else { panic!() };
            assert!(failed(&outcome).contains("took longer than 4.0 s"), "{outcome:?}");
            assert!(took >= Span::secs(4), "{took}");
        }
    }
}

#[tokio::test]
async fn what_never_started_stays_so() {
    let mut stage = Setting::default().stage();
    let action = Action::Command(shell("echo ran"));
    stage.world.adopt(key("never"), &action);
    assert_eq!(stage.adopted(&key("never")).await, Adoption::NeverStarted);
    // A watcher that comes up late gives way.
    stage.world.start(key("never"), &action);
    let outcome = stage.ended(&key("never")).await;
    assert!(!matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert!(stage.lines().is_empty());
    let manual = Action::Manual(Checklist { items: vec!["look".to_owned()], simulate: Vec::new() });
    stage.world.adopt(key("m"), &manual);
    assert_eq!(stage.adopted(&key("m")).await, Adoption::Untraceable);
    stage.world.start(key("m"), &manual);
    failed(&stage.ended(&key("m")).await);
}

/// The processes behind the job `long`.
fn behind(stage: &Stage, who: &str) -> rustix::process::Pid {
    let traces = std::fs::read(stage.output("long.do.1.0.pid")).unwrap();
    let traces: serde_json::Value = serde_json::from_slice(&traces).unwrap();
    rustix::process::Pid::from_raw(traces[who]["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

/// A command that tidies up when it is asked to end, and says so in `note`.
fn tidy(note: &std::path::Path) -> Action {
    // Its shell would say how the sleep ended, into a pipe that nobody reads any more, and die of it.
    let text =
        "exec 2> /dev/null; trap 'sleep 0.2; echo tidied > {}; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    Action::Command(shell(&text.replace("{}", &note.display().to_string())))
}

#[tokio::test]
async fn without_its_watcher_a_command_is_ended_and_has_time_to_tidy_up() {
    for restarted in [false, true] {
        let setting = Setting::default();
        let mut stage = setting.stage();
        let (key, note) = (key("long"), stage.dir.path().join("note"));
        stage.world.start(key.clone(), &tidy(&note));
        stage.line("up").await;
        let (watcher, command) = (behind(&stage, "watcher"), behind(&stage, "command"));
        let kill = || rustix::process::kill_process(watcher, rustix::process::Signal::KILL).unwrap();
        let why = if restarted {
            stage.restart(&setting); // nobody sees what becomes of the watcher
            kill();
            until("gone", || !alive(watcher.as_raw_nonzero().get())).await;
            stage.world.adopt(key.clone(), &tidy(&note));
            let Adoption::Ended { outcome, .. } = stage.adopted(&key).await else { panic!() };
            unknown(&outcome).to_owned()
        } else {
            kill();
            unknown(&stage.ended(&key).await).to_owned()
        };
        let pid = command.as_raw_nonzero();
        assert!(why.contains(&format!("gonogo then ended the command (process {pid}) with TERM")), "{why}");
        assert_eq!(std::fs::read_to_string(&note).unwrap(), "tidied\n", "{restarted}");
        until("gone", || !alive(pid.get())).await;
    }
}

#[tokio::test]
async fn a_killed_watcher_leaves_it_unknown_and_a_reused_pid_is_not_mistaken_for_it() {
    let setting = Setting::default();
    let mut stage = setting.stage();
    let key = key("long");
    let action = Action::Command(shell("echo up; exec sleep 600"));
    stage.world.start(key.clone(), &action);
    stage.line("up").await;
    let note = stage.output("long.do.1.0.pid");
    let traces: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    let (watcher, command) = (behind(&stage, "watcher"), behind(&stage, "command"));
    rustix::process::kill_process(watcher, rustix::process::Signal::KILL).unwrap();
    let outcome = stage.ended(&key).await;
    assert!(unknown(&outcome).contains("watcher was killed"), "{outcome:?}");
    until("gone", || !alive(command.as_raw_nonzero().get())).await;

    // The numbers now belong to somebody else: this very process.
    let mut forged = traces.clone();
    for who in ["watcher", "command"] {
        forged[who]["pid"] = std::process::id().into();
    }
    std::fs::write(&note, forged.to_string()).unwrap();
    stage.restart(&setting);
    stage.world.adopt(key.clone(), &action);
    let Adoption::Ended { outcome, .. } = stage.adopted(&key).await else { panic!() };
    let why = unknown(&outcome);
    assert!(why.contains("without writing down a result") && why.ends_with("the command itself runs no more"), "{why}");
}

#[tokio::test]
async fn secrets_reach_the_command_and_nothing_else() {
    let canary = "cAnary-«x»-9731!";
    let setting = Setting::default()
        .secret("token", SecretSource::Command(vec!["printf".to_owned(), "%s".to_owned(), canary.to_owned()]))
        .secret("home", SecretSource::Env("HOME".to_owned()));
    let mut stage = setting.stage();
    let mut command = shell(
        r#"printf '%s\n' "$TOKEN"; printf '%s' "$TOKEN" | base64 >&2; printf 'user:%s' "$TOKEN" | base64
           printf '%s' "$TOKEN" | od -An -tx1 | tr -d ' \n'; echo; echo "home=[$HOME]"; tr '\0' ' ' < /proc/$$/cmdline; echo; exit 1"#,
    );
    command.env = BTreeMap::from([("TOKEN".to_owned(), "«secret:token»".to_owned())]);
    let outcome = stage.run(Action::Command(command)).await;
    failed(&outcome);
    let lines = stage.lines();
    assert!(lines.contains(&"«secret:token»".to_owned()), "{lines:?}");
    assert!(lines.contains(&"home=[]".to_owned()), "sources of secrets are not inherited: {lines:?}");
    stage.assert_clean(&["cAnary", "9731", "Y0FuYXJ5", "63416e617279"]);

    let mut argv = shell("");
    argv.run = CommandLine::Argv(vec!["echo".to_owned(), "«secret:token»".to_owned()]);
    let outcome = stage.run(Action::Command(argv)).await;
    assert!(failed(&outcome).contains("`token` stands in the command line"), "{outcome:?}");
}

#[tokio::test]
async fn a_missing_secret_fails_by_name() {
    let setting = Setting::default().secret("gone", SecretSource::Env("GONOGO_NOT_SET".to_owned()));
    let mut stage = setting.stage();
    let mut command = shell("echo ran");
    command.env = BTreeMap::from([("X".to_owned(), "«secret:gone»".to_owned())]);
    let outcome = stage.run(Action::Command(command)).await;
    assert_eq!(failed(&outcome), "secret `gone`: the variable GONOGO_NOT_SET is not set; nothing was run");
}

fn probe(text: &str) -> ProbeKind {
    ProbeKind::Command(CommandProbe {
        run: CommandLine::Shell(text.to_owned()),
        env: BTreeMap::new(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int), ("all".to_owned(), FieldType::Any)]).into(),
        as_of: None,
        simulate: BTreeMap::new(),
    })
}

#[tokio::test]
async fn every_measurement_has_its_whole_limit_however_late_it_begins() {
    let slow = probe("sleep 2.5; echo '{\"n\": 1, \"all\": 1}'");
    let mut stage = Setting::default().probe_every("slow", slow, 2_000, 4_000).stage();
    stage.world.watch();
    for _ in 0..4 {
        let reading = stage.reading("slow", |reading| Some(reading.clone())).await;
        assert!(reading.result.is_ok(), "{reading:?}");
        assert!(reading.took < Span(4_000), "it took what it took, and no waiting before it: {reading:?}");
    }
}

#[tokio::test]
async fn what_a_probe_prints_beside_its_answer_is_read_to_its_end() {
    let mut stage = Setting::default()
        .probe("talks", probe("head -c 300000 /dev/zero >&2 && echo '{\"n\": 4, \"all\": 1}'"))
        .probe("floods", probe("head -c 3000000 /dev/zero | tr '\\0' x"))
        .probe("never_ends", probe("yes"))
        .stage();
    stage.world.watch();
    assert_eq!(stage.value("talks", |_| true).await.at("n"), Some(&Value::Int(4)));
    for probe in ["floods", "never_ends"] {
        assert_eq!(stage.failure(probe).await, "the command printed more than 1 MiB and was stopped");
    }
}

#[tokio::test]
async fn command_probes_read_json_and_fail_in_words() {
    let mut stage = Setting::default()
        .probe("good", probe(r#"echo '{"n": 4, "all": {"a": [1, "x", null]}, "other": 1}'"#))
        .probe("text", probe("echo hello"))
        .probe("tiny", probe(r#"echo '{"n": 0, "all": 1e-400}'"#))
        .probe("exit", probe("echo 'no such thing' >&2; exit 9"))
        .probe_every("hang", probe("sleep 100 & sleep 100"), 100, 400)
        .stage();
    stage.world.watch();
    let good = stage.value("good", |_| true).await;
    assert_eq!(good.at("n"), Some(&Value::Int(4)));
    assert!(stage.failure("text").await.contains("cannot be used as JSON"));
    assert!(stage.failure("tiny").await.contains("closer to 0 than what can be told from it"));
    assert!(stage.failure("exit").await.contains("no such thing"));
    assert_eq!(stage.failure("hang").await, "no answer from the command within 400 ms");
}
