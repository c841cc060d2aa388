//! The real cockpit is told to end while a job is under way and somebody still sits in front of it.

use rustix::process::Signal;

use super::pty::Pty;
use super::{answer, signal};

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
