//! A new environment that answers more slowly than the old one did: judged FAIL while it is slow, PASS when it is not,
//! and never taken for fast when it does not answer at all. In gates, on screen and on plain lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gonogo::lab::{LabSide, find};

use super::{Place, environment};

/// How long anything may take on a busy machine, where many a judgement of a few hundred requests is INCONCLUSIVE.
const PATIENCE: Duration = Duration::from_mins(8);

/// How long both environments take at their best. What else the machine does is little beside it.
const BOTH: Duration = Duration::from_millis(400);

/// Two services and one step, which begins only while the new one is as good as the baseline.
const STORY: &str = r#"
title: Only when it is as fast
targets:
  web-old: { http: { url: "http://OLD" } }
  web-new: { http: { url: "http://NEW" } }
probes:
  latency: { kind: http, sides: { old: web-old, new: web-new }, path: /, JUDGED }
phases:
  - title: Go
    steps:
      - id: go-on
        title: Go on
        gates:
          - { that: latency.new.verdict == "PASS" }
          - { that: latency.new.errors == 0.0 }
        action: { manual: ["look at it"] }
"#;

/// As often as it may be: a verdict every half minute, over as few requests as there must be.
const JUDGED: [&str; 5] =
    ["every: 100ms", "limit: 3s", "window: 50", "baseline: latency.baseline.json", "judge_over: 300"];

/// The program at the other end of two pipes. It is ended with the test.
struct Talk {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    all: String,
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talk {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        command.arg("--state-dir").arg(place.state()).args(args).env_clear().envs(environment(place.path()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { stdin: child.stdin.take().unwrap(), child, lines, all: String::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    fn line(&mut self) -> String {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("nothing more; all there was:\n{}", self.all) };
        writeln!(self.all, "{line}").unwrap();
        line
    }

    fn wait(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The panes as they are now, with what is said before a mark.
    fn panes(&mut self) -> Vec<String> {
        self.say("panes");
        self.say("no-such-command");
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.contains("there is no command `no-such-command`") {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Looks at the panes until `found` gives something.
    fn eventually<T>(&mut self, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.panes()) {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain for {what}; all there was:\n{}", self.all);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// p95 and the share of errors of a side, as a pane or a line tells them: `new   402  405  410   0.0%  300`.
fn figures(rows: &[String], side: &str) -> Option<(String, String)> {
    rows.iter().find_map(|row| {
        // Panes have borders.
        let words = row.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty());
        let mut words = words.skip_while(|word| *word != side).skip(1);
        let (_, p95, _, errors) = (words.next()?, words.next()?, words.next()?, words.next()?);
        errors.ends_with('%').then(|| (p95.to_owned(), errors.to_owned()))
    })
}

/// The verdict on a side: `new  FAIL  p95 …`, below the figures of all sides.
fn verdict(rows: &[String], side: &str) -> Option<&'static str> {
    rows.iter().find_map(|row| {
        let words = row.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty());
        let told = words.skip_while(|word| *word != side).nth(1)?;
        ["PASS", "FAIL", "INCONCLUSIVE"].into_iter().find(|verdict| told == *verdict)
    })
}

/// A side that is slower than its customers wait for is down. Its p95 says so, or nothing.
fn never_looks_fast(rows: &[String]) {
    let Some((p95, _)) = figures(rows, "new") else { return };
    let fast = p95.replace([',', '\u{202f}', ' '], "").parse::<f64>().is_ok_and(|p95| p95 < 400.0);
    assert!(!fast, "an outage looks fast:\n{}", rows.join("\n"));
}

/// A lab that is up, with a baseline of its old side, and files beside each other in one folder.
struct Judged {
    place: Place,
    vars: BTreeMap<String, String>,
}

impl Judged {
    fn new() -> Self {
        let place = Place::new();
        let up = place.gonogo(&["lab", "--up"]);
        let said = String::from_utf8(up.stdout.clone()).unwrap();
        assert!(up.status.success(), "{up:?}");
        let vars = said.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let judged = Self { vars: vars.collect(), place };
        let lab = find(&judged.place.state()).unwrap();
        for side in [LabSide::Old, LabSide::New] {
            lab.slow_down(side, BOTH).unwrap();
        }
        judged
    }

    /// Writes a runbook and records the baseline that it names.
    fn runbook(&self, name: &str, text: &str) -> PathBuf {
        let file = self.place.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn record(&self, args: &[&str]) {
        let recording = ["baseline", "record", "--probe", "latency", "--side", "old", "--for", "40s"];
        let args: Vec<&str> = recording.into_iter().chain(args.iter().copied()).collect();
        let recorded = self.place.gonogo(&args);
        assert!(recorded.status.success(), "{recorded:?}");
    }

    /// As somebody at another terminal would.
    fn slow(&self, by: Duration) {
        let said = self.place.gonogo(&["lab", "--slow", &format!("{}ms", by.as_millis())]);
        assert!(said.status.success(), "{said:?}");
        assert!(String::from_utf8_lossy(&said.stdout).contains("the lab's new environment answers"), "{said:?}");
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_slower_new_environment_fails_until_it_is_as_fast_again() {
    let judged = Judged::new();
    let story = STORY
        .replace("OLD", &judged.vars["old_connect"])
        .replace("NEW", &judged.vars["new_connect"])
        .replace("JUDGED", &JUDGED.join(", "));
    let file = judged.runbook("story.yaml", &story);
    judged.record(&[text_of(&file)]);

    let mut talk = Talk::start(&judged.place, &["run", "--plain", text_of(&file)]);
    talk.eventually("PASS", |rows| (verdict(rows, "new")? == "PASS").then_some(()));
    if !talk.all.contains("step 1 · Go on: READY") {
        talk.wait("step 1 · Go on: READY");
    }

    judged.slow(BOTH * 2);
    talk.eventually("FAIL", |rows| (verdict(rows, "new")? == "FAIL").then_some(()));
    talk.say("start 1 go");
    let refused = talk.wait("refused: ");
    assert!(refused.contains("verdict"), "{refused}");
    // That of the old one is another. A few hundred requests do not always tell.
    talk.eventually("PASS of the old one", |rows| {
        let old = verdict(rows, "old")?;
        assert_ne!(old, "FAIL", "{}", rows.join("\n"));
        (old == "PASS").then_some(())
    });

    judged.slow(BOTH);
    talk.eventually("PASS", |rows| (verdict(rows, "new")? == "PASS").then_some(()));

    // Beyond what customers wait for.
    judged.slow(Duration::from_secs(20));
    talk.eventually("an outage", |rows| {
        never_looks_fast(rows);
        let (p95, errors) = figures(rows, "new")?;
        (p95 == "—" && errors == "100.0%").then_some(())
    });
    talk.say("start 1 go");
    talk.wait("refused: ");
    talk.eventually("FAIL", |rows| {
        never_looks_fast(rows);
        (verdict(rows, "new")? == "FAIL").then_some(())
    });
}

#[test]
fn the_bundled_runbook_judges_a_slower_new_environment_on_its_screen() {
    let judged = Judged::new();
    let bundled = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml")).unwrap();
    let as_it_is = "    path: /\n    every: 500ms\n";
    assert_eq!(bundled.matches(as_it_is).count(), 1, "the probe of latencies is another");
    let judging = format!("    path: /\n    {}\n", JUDGED.join("\n    "));
    let file = judged.runbook("runbook.yaml", &bundled.replace(as_it_is, &judging));
    let mut args: Vec<String> = [text_of(&file), "--profile", "lab"].map(str::to_owned).to_vec();
    // The lab has more than this runbook uses.
    let declared = judged.vars.iter().filter(|(name, _)| bundled.contains(&format!("\n  {name}: ")));
    args.extend(declared.flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // What is recorded in a profile would land in a file of its own.
    let named = file.with_file_name("latency.baseline.json");
    judged.record(&[&args[..], &["--out", text_of(&named)]].concat());

    let watch: Vec<&str> = ["watch"].into_iter().chain(args.iter().copied()).collect();
    let console = judged.place.console(&watch);
    let shows = |wanted: &str| {
        console.wait(wanted, PATIENCE, |view| (verdict(view.rows(), "new")? == wanted).then_some(()));
    };
    shows("PASS");
    judged.slow(BOTH * 2);
    shows("FAIL");
    judged.slow(BOTH);
    shows("PASS");
    judged.slow(Duration::from_secs(20));
    console.wait("an outage", PATIENCE, |view| {
        never_looks_fast(view.rows());
        let (p95, errors) = figures(view.rows(), "new")?;
        (p95 == "—" && errors.starts_with("100")).then_some(())
    });
}
