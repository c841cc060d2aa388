//! A run that takes long to open says so and can be left.

use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::pty::Pty;

const RUNBOOK: &str = r#"
title: A run to go on with
phases:
  - title: Only
    steps:
      - id: first
        title: The first step
        action: { command: { run: "touch FOLDER/done" } }
        reversibility: free
"#;

/// A run that somebody left before its first step.
fn left_run(folder: &Path) -> String {
    let runbook = folder.join("run.yaml");
    std::fs::write(&runbook, RUNBOOK.replace("FOLDER", folder.to_str().expect("UTF-8"))).expect("written");
    let state = folder.join("state").to_str().expect("UTF-8").to_owned();
    let ended = Command::new(env!("CARGO_BIN_EXE_gonogo"))
        .args(["--state-dir", &state, "run", "--plain", runbook.to_str().expect("UTF-8")])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
    state
}

/// Its record, written by somebody else: opening waits for them.
fn held_record(state: &str) -> Connection {
    let runs = Path::new(state).join("runs");
    let run = std::fs::read_dir(runs).expect("runs").next().expect("one").expect("readable").path();
    let record = Connection::open(run.join("journal.db")).expect("opened");
    record.execute_batch("BEGIN IMMEDIATE").expect("held");
    record
}

#[test]
fn a_run_that_takes_long_to_open_says_so_and_can_be_left() {
    for leave in [&b"q"[..], b"\x03"] {
        let folder = tempfile::tempdir().expect("a folder");
        let state = left_run(folder.path());
        let _record = held_record(&state);
        let mut pty = Pty::spawn(&[env!("CARGO_BIN_EXE_gonogo"), "--state-dir", &state, "resume"], &[]);
        pty.wait_for("Opening the run");
        // Nothing has been shown that this could answer.
        pty.send(b"\rgo\r");
        pty.send(leave);
        assert_eq!(pty.exit_code(), 1);
        pty.wait_for("left before it was open; go on with:");
        pty.wait("the main screen", |seen| !seen.screen.screen().alternate_screen());
        assert!(!folder.path().join("done").exists());
        assert!(pty.settings_are_original());
    }
}

#[test]
fn the_cockpit_follows_as_soon_as_the_run_is_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = left_run(folder.path());
    let record = held_record(&state);
    let mut pty = Pty::spawn(&[env!("CARGO_BIN_EXE_gonogo"), "--state-dir", &state, "resume"], &[]);
    pty.wait_for("Opening the run");
    drop(record);
    pty.wait_for("The first step");
    pty.send(b"q");
    pty.wait_for("leave?");
    pty.send(b"y");
    assert_eq!(pty.exit_code(), 1);
    pty.wait("the main screen", |seen| !seen.screen.screen().alternate_screen());
}

#[test]
fn a_terminal_that_can_show_nothing_is_refused_before_there_is_a_run() {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/runbook.yaml");
    for command in ["run", "rehearse", "lab"] {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("run.yaml");
        std::fs::write(&own, RUNBOOK).expect("written");
        let state = folder.path().join("state");
        let (program, state_dir) = (env!("CARGO_BIN_EXE_gonogo"), state.to_str().expect("UTF-8"));
        let runbook = if command == "run" { own.to_str().expect("UTF-8") } else { bundled };
        let mut pty = Pty::spawn(&[program, "--state-dir", state_dir, command, runbook], &[("TERM", "dumb")]);
        assert_eq!(pty.exit_code(), 2, "{command}: {}", pty.output());
        pty.wait_for("TERM=dumb");
        let runs = std::fs::read_dir(state.join("runs")).map_or(0, Iterator::count);
        assert_eq!(runs, 0, "{command}");
    }
}
