//! The real cockpit is told to end while a job is under way and somebody still sits in front of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::pty::Pty;
use super::signal;

const RUNBOOK: &str = r#"
title: A job that takes its time
phases:
  - title: Only
    steps:
      - id: long
        title: Take long
        action: { command: { run: "exec sleep 600", limit: 20m } }
        reversibility: free
"#;

/// Answers a question. It takes no answer before it could be read, so enter is pressed until something is so.
fn answer(pty: &mut Pty, word: &str, so: impl Fn(&mut Pty) -> bool) {
    let asked = format!("type {word}");
    pty.wait_for(&asked);
    pty.send(word.as_bytes());
    let end = Instant::now() + Duration::from_secs(20);
    while !so(pty) {
        assert!(Instant::now() < end, "{word} came to nothing:\n{}", pty.seen(|seen| seen.screen.screen().contents()));
        if pty.seen(|seen| seen.screen.screen().contents().contains(&asked)) {
            pty.send(b"\r");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_cockpit_that_is_told_to_end_shows_what_it_waits_for_and_still_stops_it() {
    for told in [Signal::TERM, Signal::INT, Signal::HUP] {
        let folder = tempfile::tempdir().expect("a folder");
        let runbook = folder.path().join("long.yaml");
        std::fs::write(&runbook, RUNBOOK).expect("written");
        let state = folder.path().join("state");
        let paths = (state.to_str().expect("UTF-8"), runbook.to_str().expect("UTF-8"));
        let mut pty = Pty::spawn(&[env!("CARGO_BIN_EXE_gonogo"), "--state-dir", paths.0, "run", paths.1], &[]);
        pty.wait_for("Take long");
        pty.send(b"\r");
        answer(&mut pty, "go", |pty| pty.output().contains("long began"));
        signal(pty.pid(), told);
        pty.wait_for("LEAVING");
        pty.send(b"x");
        answer(&mut pty, "stop", |pty| !pty.is_running());
        assert_eq!(pty.exit_code(), 5, "{told:?}");
        assert!(pty.settings_are_original());
    }
}
