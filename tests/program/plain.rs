//! The mode without a screen, with the real program and nothing but pipes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gonogo::journal::{Holder, NewRun, RunId, Store};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Two simple steps and a wait; nothing to look at.
const STORY: &str = r#"
title: Move the shop
phases:
  - title: Do it
    steps:
      - id: look
        title: Look around
        action: { manual: ["nobody is deploying", "the pager is on"] }
      - id: greet
        title: Greet
        needs: [look]
        action: { command: { run: "echo hello from the command" } }
        reversibility: free
      - id: breathe
        title: Breathe
        needs: [greet]
        action: { wait: { for: 200ms } }
"#;

/// A runbook, a place for runs, and the file a probe reads.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(runbook: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag");
        fs::write(&flag, r#"{"ok": true}"#).unwrap();
        let runbook = runbook.replace("FLAG", flag.to_str().unwrap());
        fs::write(dir.path().join("runbook.yaml"), runbook).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes what the probe sees, in one go.
    fn flag(&self, ok: bool) {
        let new = self.path().join("flag.new");
        fs::write(&new, format!(r#"{{"ok": {ok}}}"#)).unwrap();
        fs::rename(new, self.path().join("flag")).unwrap();
    }

    fn start(&self, args: &[&str]) -> Talk {
        self.start_in(args, "C.UTF-8")
    }

    fn start_in(&self, args: &[&str], locale: &str) -> Talk {
        let mut program = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        program.args(args);
        self.start_as(program, locale)
    }

    fn start_as(&self, mut program: Command, locale: &str) -> Talk {
        let mut child = program
            .arg("--state-dir")
            .arg(self.path().join("state"))
            .current_dir(self.path())
            .env("LC_ALL", locale)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    // Drops the pipe: nobody reads any more.
                    return;
                }
            }
        });
        Talk { stdin: child.stdin.take(), child, lines: Some(lines), all: String::new() }
    }

    fn run(&self) -> Talk {
        self.start(&["run", "--plain"])
    }
}

/// The program at the other end of two pipes. It is ended with the test.
struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Option<Receiver<Vec<u8>>>,
    all: String,
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talk {
    fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Reads on until a line contains `text`. No line may do anything to a terminal.
    fn wait(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.as_ref().unwrap().recv_timeout(left);
            let Ok(line) = line else { panic!("no line with {text:?}; all there was:\n{}", self.all) };
            let line = self.take(line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn take(&mut self, line: Vec<u8>) -> String {
        let line = String::from_utf8(line).unwrap();
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        self.all.push_str(&line);
        self.all.push('\n');
        line
    }

    /// Confirms until the confirmation is old enough to count, as a person who reads would be.
    fn confirm(&mut self, line: &str, done: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            self.say(line);
            loop {
                let answer = self.wait("");
                if answer.contains(done) {
                    return;
                }
                if answer.contains("may have been a stray key") {
                    // Time itself is what is waited for.
                    std::thread::sleep(Duration::from_millis(100));
                    break;
                }
                assert!(Instant::now() < until, "{}", self.all);
            }
        }
    }

    /// Reads to the end; gives the exit status.
    fn end(&mut self) -> i32 {
        while let Ok(line) = self.lines.as_ref().unwrap().recv_timeout(PATIENCE) {
            self.take(line);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.all);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_run_is_driven_to_its_end_through_pipes() {
    let place = Place::new(STORY);
    let mut talk = place.run();
    assert!(talk.wait("Move the shop").starts_with("LIVE · "), "{}", talk.all);
    talk.wait("step 1 · Look around: READY");
    talk.wait("next: start 1 go");
    talk.confirm("start look go", "confirmed 1 Look around");
    talk.wait("[ ] 1. nobody is deploying");
    talk.wait("next: tick 1 (tick the next item: nobody is deploying); or stop 1 stop");
    talk.say("start 1 go");
    talk.wait("refused: 1 \"Look around\" is running: wait for it, or stop it (stop 1 stop)");
    talk.say("tick 1");
    talk.wait("ticked item 1 of step 1 Look around");
    // What is next has changed, and nothing else has.
    talk.wait("next: tick 1 (tick the next item: the pager is on); or stop 1 stop");
    assert!(!talk.all.contains("space"), "no key is told: {}", talk.all);
    talk.say("space 1 2");
    talk.wait("1 Look around done");
    talk.wait("next: start 2 go");
    talk.confirm("start 2 go", "confirmed 2 Greet");
    talk.wait("2 Greet done");
    talk.say("show 2");
    talk.wait("hello from the command");
    talk.wait("next: go on");
    talk.say("note half of it is done");
    talk.wait("note: half of it is done");
    talk.say("show 3");
    talk.wait("next: start 3 go");
    talk.confirm("enter breathe go", "confirmed 3 Breathe");
    talk.wait("next: every step is done; end complete");
    talk.say("end complete");
    assert_eq!(talk.end(), 0, "{}", talk.all);
    assert!(talk.all.contains("ended the run: COMPLETE"), "{}", talk.all);
    for command in
        ["look at it again: gonogo --state-dir ", "whole log:        gonogo --state-dir ", " replay ", "--head "]
    {
        assert!(talk.all.contains(command), "{command}: {}", talk.all);
    }
}

#[test]
fn wrong_lines_and_wrong_words_are_answered() {
    let place = Place::new(STORY);
    let mut talk = place.run();
    talk.wait("next: start 1 go");
    talk.say("strat 1 go");
    talk.wait("not done: there is no command `strat`; did you mean `start`?");
    talk.say("start 1");
    talk.wait("not done: `start` is written: start <STEP> <WORD>");
    talk.say("start lok go");
    talk.wait("refused: there is no step `lok`; did you mean `look`?");
    talk.say("start 2 go");
    talk.wait("refused: look at it first: show 2");
    talk.confirm("start 1 yes", "refused: not done: type \"go\" to confirm, not \"yes\"");
    talk.say("skip 1 no");
    talk.wait("refused: a reason of at least");
    talk.say("tick 1 0");
    talk.wait("refused: items are counted from 1");
    talk.say("help");
    talk.wait("start <STEP> <WORD> [SECOND]...: start a step");
    talk.wait("short: q");
    talk.say("back");
    talk.wait("nothing to take back");
    talk.say("panes");
    talk.wait("this runbook has no probes");
    talk.say("end complete");
    talk.wait("refused: the run cannot end as");
    talk.say("leave");
    assert_eq!(talk.end(), 1, "{}", talk.all);
    assert!(talk.all.contains("go on with: gonogo --state-dir "), "{}", talk.all);
}

#[test]
fn the_end_of_the_input_leaves_and_the_run_is_resumed() {
    let place = Place::new(STORY);
    let mut talk = place.run();
    talk.wait("next: start 1 go");
    talk.confirm("start 1 go", "confirmed 1 Look around");
    talk.say("tick 1");
    talk.wait("ticked item 1");
    talk.stdin.as_mut().unwrap().write_all(b"tick 1").unwrap();
    talk.stdin = None;
    assert_eq!(talk.end(), 1, "{}", talk.all);
    assert!(talk.all.contains("not done: the input ended in the middle of a line"), "{}", talk.all);

    let mut talk = place.start(&["resume", "--plain"]);
    talk.wait("took over the run");
    talk.wait("step 1 · Look around: RUNNING");
    talk.wait("[x] 1. nobody is deploying");
    talk.wait("[ ] 2. the pager is on");
    talk.say("tick 1");
    talk.wait("1 Look around done");
    for (step, done) in [("2", "2 Greet SKIPPED"), ("3", "3 Breathe")] {
        talk.say(&format!("skip {step} not needed in this test"));
        talk.wait(&format!("SKIPPED {}", done.trim_end_matches(" SKIPPED")));
    }
    talk.say("end complete");
    assert_eq!(talk.end(), 0, "{}", talk.all);
}

#[test]
fn a_run_that_was_cut_off_before_it_began_is_not_gone_on_with() {
    let place = Place::new(STORY);
    let store = Store::open(&place.path().join("state")).unwrap();
    let now = jiff::Timestamp::now();
    let id = RunId::new(now, 0x1234);
    let runbook = STORY.as_bytes().to_vec();
    let labels = [("mode".to_owned(), "LIVE".to_owned())].into();
    let new = NewRun { created_at: now, title: "Move the shop".to_owned(), runbook, labels };
    drop(store.create_run(&id, &new, &Holder::this_process("gonogo run", now)).unwrap());
    for (args, expected) in [
        (vec!["resume", "--plain", id.short()], "was cut off before it began: nothing was done in it"),
        (vec!["resume", "--plain"], "no unfinished run"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_gonogo"))
            .args(&args)
            .arg("--state-dir")
            .arg(place.path().join("state"))
            .current_dir(place.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn nothing_foreign_does_anything_to_the_output() {
    let place = Place::new(
        r#"
title: "Move \e[2J the\u009b shop\nrefused: forged \u202e"
phases:
  - title: "Do\rit"
    steps:
      - id: shout
        title: "Shout \e]0;x\a"
        instructions: "Line\n\n\e[31mred\u0085"
        action: { command: { run: "printf '\\033[2J\\000x\\377\\302\\233y\\342\\200\\256z\\n\\rforged\\n'; exit 3" } }
        reversibility: free
"#,
    );
    for (locale, bullet) in [("C.UTF-8", "\u{b7}"), ("C", "-")] {
        let mut talk = place.start_in(&["run", "--plain"], locale);
        talk.wait("next: start 1 go");
        talk.say("note and \u{1b}[31mmine\u{202e} \u{85} too");
        talk.wait("note: and");
        talk.confirm("start 1 go", "confirmed 1 Shout");
        talk.wait("FAILED");
        talk.say("show");
        talk.wait("forged");
        talk.wait("next: start 1 go");
        talk.say("show 1");
        talk.wait("next: start 1 go");
        talk.say("wh\u{1b}]0;at\u{7}");
        talk.wait("there is no command");
        talk.say("end abandoned it was only a test");
        assert_eq!(talk.end(), 1, "{}", talk.all);
        assert!(talk.all.contains(&format!("LIVE {bullet} Move")), "{}", talk.all);
        assert!(talk.all.lines().all(|line| !line.starts_with("refused: forged")), "{}", talk.all);
        assert!(locale != "C" || talk.all.is_ascii(), "{}", talk.all);
    }
}

/// Two steps behind the same gate.
const GATED: &str = r#"
title: Gates
probes:
  side: { kind: command, run: [cat, FLAG], fields: { ok: bool }, every: 200ms }
phases:
  - title: Do it
    steps:
      - id: first
        title: First
        gates: [{ name: the side is up, that: side.ok }]
        action: { command: { run: "true" } }
        reversibility: free
      - id: second
        title: Second
        needs: []
        gates: [{ name: the side is up, that: side.ok }]
        action: { command: { run: "true" } }
        reversibility: free
"#;

#[test]
fn a_gate_that_shut_since_it_was_printed_refuses() {
    let place = Place::new(GATED);
    let mut talk = place.run();
    talk.wait("step 1 · First: READY");
    let gate = talk.wait("GO the side is up: ");
    assert!(gate.contains("(age "), "{gate}");
    talk.wait("next: start 1 go");
    place.flag(false);
    // It says so by itself.
    talk.wait("step 1 · First: GATED");
    talk.wait("NO-GO the side is up: ok = false (age ");
    talk.wait("next: wait for its gates; or override 1 go REASON");
    talk.say("start 1 go");
    talk.wait("refused: 1 \"First\" is gated: \"the side is up\" NO-GO");
    talk.confirm("override 1 go because this is a test", "OVERRODE a shut gate: because this is a test");
    talk.wait("1 First done");
    talk.say("leave");
    assert_eq!(talk.end(), 1, "{}", talk.all);
}

#[test]
fn what_was_not_printed_cannot_be_confirmed() {
    let place = Place::new(GATED);
    let mut talk = place.run();
    place.flag(false);
    talk.wait("step 1 · First: GATED");
    // The second step is not where the run is, so it is not told again by itself.
    talk.say("show second");
    talk.wait("step 2 · Second: GATED");
    talk.wait("next: wait for its gates");
    place.flag(true);
    talk.wait("step 1 · First: READY");
    talk.say("start 2 go");
    talk.wait("refused: not done: the step went from gated to ready while you were typing");
    // Now it was told, and once that can have been read it counts.
    talk.wait("step 2 · Second: READY");
    talk.confirm("start 2 go", "confirmed 2 Second on GO");
    talk.wait("2 Second done");
}

#[test]
fn probes_that_fail_are_told_and_watching_does_nothing() {
    let place = Place::new(GATED);
    let mut talk = place.start(&["watch", "--plain"]);
    assert!(talk.wait("Gates").starts_with("WATCH · "), "{}", talk.all);
    fs::rename(place.path().join("flag"), place.path().join("away")).unwrap();
    talk.wait("probe side FAILS: ");
    talk.say("start 1 go");
    talk.wait("refused: this cockpit only watches");
    place.flag(true);
    talk.wait("probe side answers again");
    talk.say("panes");
    talk.wait("side (");
    talk.wait("true");
    talk.stdin = None;
    assert_eq!(talk.end(), 0, "{}", talk.all);
}

#[test]
fn a_gate_that_is_unknown_for_another_reason_is_told_again() {
    let place = Place::new(GATED);
    let mut talk = place.run();
    talk.wait("step 1 · First: READY");
    fs::rename(place.path().join("flag"), place.path().join("away")).unwrap();
    let gate = |talk: &mut Talk| talk.wait("UNKNOWN the side is up: side gives no reading for ");
    assert!(gate(&mut talk).contains("No such file"), "{}", talk.all);
    fs::write(place.path().join("flag"), "neither").unwrap();
    assert!(gate(&mut talk).contains("JSON"), "{}", talk.all);
}

#[test]
fn a_signal_and_a_closed_output_detach() {
    let place = Place::new(STORY);
    let mut talk = place.run();
    talk.wait("next: start 1 go");
    let pid = rustix::process::Pid::from_raw(i32::try_from(talk.child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(talk.end(), 5, "{}", talk.all);
    assert!(talk.all.contains("left: SIGTERM"), "{}", talk.all);

    let mut talk = place.start(&["resume", "--plain"]);
    talk.wait("next: start 1 go");
    // The reader lets go of the pipe when it has a line nobody takes.
    talk.lines = None;
    talk.say("help");
    talk.say("help");
    let until = Instant::now() + PATIENCE;
    while talk.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it goes on without a reader");
        let _ = writeln!(talk.stdin.as_mut().unwrap(), "note is anybody there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(talk.child.wait().unwrap().code(), Some(5));
}

/// A step that two people start and one takes back, and a command that outlasts its cockpit without a trace.
const PAIR: &str = r#"
title: Two people
phases:
  - title: Do it
    steps:
      - id: flip
        title: Flip
        confirm: two-person
        action: { command: { run: "echo flipped >> DIR/world" } }
        undo: { command: { run: "echo back >> DIR/world" } }
        reversibility: lossless
      - id: query
        title: Query
        action: { http: { target: slow, path: / } }
        undo: { command: { run: "echo unqueried >> DIR/world" } }
        reversibility: lossless
targets:
  slow: { http: { url: "http://ADDRESS" } }
"#;

impl Place {
    /// What commands have done here.
    fn world(&self) -> String {
        fs::read_to_string(self.path().join("world")).unwrap_or_default()
    }

    /// Where runs are kept and commands leave their marks is known only now.
    fn pair(address: &str) -> Self {
        let place = Self::new("");
        let runbook = PAIR.replace("DIR", place.path().to_str().unwrap()).replace("ADDRESS", address);
        fs::write(place.path().join("runbook.yaml"), runbook).unwrap();
        place
    }
}

#[test]
fn two_people_start_a_step_and_it_is_taken_back() {
    let place = Place::pair("127.0.0.1:9");
    let mut talk = place.run();
    talk.wait("next: start 1 flip NAME-OF-THE-SECOND-PERSON");
    talk.confirm("start 1 flip", "refused: 1 \"Flip\" needs a second person");
    let me = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    talk.confirm(&format!("start 1 flip {me}"), "refused: the second person must not be");
    talk.confirm("start 1 go Grace Hopper", "refused: not done: type \"flip\" to confirm");
    assert_eq!(place.world(), "", "nothing was done on a refused word");
    talk.confirm("start 1 flip Grace Hopper", "confirmed 1 Flip");
    talk.wait("1 Flip done");
    assert_eq!(place.world(), "flipped\n");
    talk.say("back");
    talk.wait("costs: lossless");
    talk.wait("Next: 1 \"Flip\": take it back (undo 1 undo)");
    talk.say("show 1");
    talk.wait("or undo 1 undo");
    talk.confirm("undo 1 flip", "refused: not done: type \"undo\" to confirm, not \"flip\"");
    talk.confirm("undo 1 undo", "takes back 1 Flip");
    talk.wait("1 Flip taken back");
    assert_eq!(place.world(), "flipped\nback\n");
    talk.say("end complete");
    talk.wait("refused: the run cannot end as COMPLETE");
    talk.say("end rolled-back");
    assert_eq!(talk.end(), 1, "{}", talk.all);
    assert!(talk.all.contains("ended the run: ROLLED BACK"), "{}", talk.all);
}

#[test]
fn a_step_in_doubt_is_resolved_on_lines() {
    // Takes the request and never answers: when the cockpit dies nobody can know what became of it.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::pair(&server.local_addr().unwrap().to_string());
    let mut talk = place.run();
    talk.wait("next: start 1 flip");
    talk.say("skip 1 not needed in this test");
    talk.wait("next: start 2 go");
    talk.confirm("start 2 go", "confirmed 2 Query");
    let (request, _) = server.accept().unwrap();
    talk.child.kill().unwrap();
    talk.child.wait().unwrap();
    drop(request);

    let mut talk = place.start(&["resume", "--plain"]);
    talk.wait("2 Query IN DOUBT");
    talk.wait("next: doubt 2 happened, not or half, and REASON");
    talk.say("start 2 go");
    talk.wait("refused: 2 \"Query\" is in doubt");
    talk.say("doubt 2 happened no");
    talk.wait("refused: a reason of at least");
    talk.say("doubt 2 happened the server's log has the request");
    talk.wait("found of 2 Query: it happened: the server's log has the request");
    talk.wait("2 Query done");
    talk.say("end complete");
    assert_eq!(talk.end(), 0, "{}", talk.all);
    assert!(talk.all.contains(": COMPLETE, 1 skipped"), "{}", talk.all);

    let list = Command::new(env!("CARGO_BIN_EXE_gonogo"))
        .args(["runs", "--state-dir"])
        .arg(place.path().join("state"))
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("Two people  COMPLETE, 1 skipped  ("), "{list}");
}

#[test]
fn what_is_said_to_a_rehearsal_whose_cockpit_was_killed_is_heard_by_the_next_one() {
    let runbook = r#"
title: Killed
phases:
  - title: Only
    steps:
      - { id: long, title: Long, action: { command: { run: "sleep 60" } }, reversibility: free, expect: 1m }
"#;
    let place = Place::new(runbook);
    let scenario = "title: T\nlesson: L\ngood_reaction: G\nends: { good: complete, careless: harm }\nevents:\n  \
                    - when: { step: long, is: running, after: 300ms }\n    fault: { cockpit_killed: { back_after: 2s } }\n";
    let file = place.path().join("killed.yaml");
    fs::write(&file, scenario).unwrap();
    let mut talk = place.start(&["rehearse", "--plain", "--scenario", file.to_str().unwrap()]);
    talk.wait("next: start 1 go");
    talk.confirm("start 1 go", "confirmed 1 Long");
    talk.wait("your cockpit is gone");
    for said in ["alpha", "beta"] {
        talk.say(&format!("note {said}"));
    }
    talk.wait("note: alpha");
    talk.wait("note: beta");
    // The end of the input is heard as well.
    talk.stdin = None;
    talk.end();
}

#[test]
fn growth_since_a_step_began_is_known_after_a_resume() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let runbook = r#"
title: Counted
targets: { shop: { http: { url: "http://ADDRESS" } } }
probes:
  side: { kind: command, run: [cat, FLAG], fields: { ok: bool }, every: 100ms, limit: 5s }
  web: { kind: http, sides: { shop: shop }, every: 100ms, limit: 5s }
phases:
  - title: Only
    steps:
      - id: watch
        title: Watch
        gates: [web.shop.errors == 0.0]
        action:
          wait:
            until:
              conditions: [increase(web.shop.total.requests) >= 10, increase(web.shop.total.failed) == 0, side.ok]
              within: 10m
        reversibility: free
        expect: 1m
"#;
    let place = Place::new(&runbook.replace("ADDRESS", &server.local_addr().unwrap().to_string()));
    place.flag(false);
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            if asked.send(()).is_err() {
                return;
            }
        }
    });
    let mut talk = place.run();
    talk.wait("step 1 · Watch: READY");
    talk.wait("next: start 1 go");
    talk.confirm("start 1 go", "confirmed 1 Watch");
    for _ in 0..requests.try_iter().count() + 5 {
        requests.recv_timeout(PATIENCE).unwrap();
    }
    talk.child.kill().unwrap();
    talk.child.wait().unwrap();

    let mut talk = place.start(&["resume", "--plain"]);
    talk.wait("took over the run");
    place.flag(true);
    talk.wait("1 Watch done");
}

#[test]
fn programs_of_probes_and_secrets_end_with_a_cockpit_that_is_killed() {
    let hangs = "echo $$ >> DIR/NAME; sleep 600 & echo $! >> DIR/NAME; wait";
    let runbook = format!(
        r#"
title: Killed
secrets: {{ token: {{ command: [sh, -c, "{}"] }} }}
targets: {{ api: {{ http: {{ url: "http://127.0.0.1:9", headers: {{ X-Token: "{{{{ secrets.token }}}}" }} }} }} }}
probes:
  asks: {{ kind: command, run: [sh, -c, "{}"], fields: {{ ok: bool }}, every: 1m, limit: 1m }}
  api: {{ kind: http.json, target: api, fields: {{ ok: bool }}, every: 1m, limit: 1m }}
phases:
  - title: Only
    steps:
      - {{ id: look, title: Look, gates: [asks.ok, api.ok], action: {{ manual: [there] }} }}
"#,
        hangs.replace("NAME", "secret"),
        hangs.replace("NAME", "probe")
    );
    let place = Place::new("");
    let runbook = runbook.replace("DIR", place.path().to_str().unwrap());
    fs::write(place.path().join("runbook.yaml"), runbook).unwrap();
    let mut talk = place.run();
    talk.wait("step 1 · Look");
    let pids = |name: &str| {
        let said = fs::read_to_string(place.path().join(name)).unwrap_or_default();
        said.lines().filter_map(|pid| pid.parse::<i32>().ok()).collect::<Vec<_>>()
    };
    let all = || [pids("secret"), pids("probe")].concat();
    wait_until("both programs and their children", || pids("secret").len() == 2 && pids("probe").len() == 2);
    talk.child.kill().unwrap();
    talk.child.wait().unwrap();
    wait_until("their end", || all().iter().all(|pid| gonogo::system::process::born(*pid).is_none()));
}

#[test]
fn a_command_makes_files_with_the_umask_of_the_operator() {
    let own = Command::new("sh").args(["-c", "umask 0027; umask"]).output().unwrap();
    let place = Place::new("");
    let runbook = r#"
title: Umask
phases:
  - title: Only
    steps:
      - { id: make, title: Make, action: { command: { run: [sh, -c, "umask > DIR/said"] } }, reversibility: free }
"#;
    let runbook = runbook.replace("DIR", place.path().to_str().unwrap());
    fs::write(place.path().join("runbook.yaml"), runbook).unwrap();
    let mut program = Command::new("sh");
    program.args(["-c", "umask 0027; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_gonogo"), "run", "--plain"]);
    let mut talk = place.start_as(program, "C.UTF-8");
    talk.wait("next: start 1 go");
    talk.confirm("start make go", "confirmed 1 Make");
    talk.wait("1 Make done");
    assert_eq!(fs::read(place.path().join("said")).unwrap(), own.stdout);
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
