//! The real program on a recorded run: what it calls, and what it says of a journal that is not as it should be.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use gonogo::journal::Holder;
use rusqlite::Connection;

use super::story::Story;

fn story() -> Story {
    Story::drive(3, 2, 300, false)
}

/// The program, or another one that starts it, with nobody at its input.
fn run(story: &Story, before: &[&str], args: &[&str]) -> (Output, String) {
    let exe = env!("CARGO_BIN_EXE_gonogo");
    let (program, first) = before.split_first().map_or((exe, &[][..]), |(program, first)| (*program, first));
    let mut command = Command::new(program);
    command.args(first);
    if !before.is_empty() {
        command.arg(exe);
    }
    command.arg("--state-dir").arg(story.dir.path()).args(args).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn database(story: &Story) -> Connection {
    Connection::open(story.store().read_run(&story.id).unwrap().dir().journal()).unwrap()
}

#[test]
fn a_replay_calls_no_network_and_starts_nothing() {
    let story = story();
    for args in
        [&["replay", "7f3a", "--plain"][..], &["replay", "7f3a", "--plain", "--at", "T+0:01"], &["replay", "--verify"]]
    {
        let log = story.dir.path().join("strace");
        let strace = ["strace", "-f", "-qq", "-e", "trace=network,process", "-o", log.to_str().unwrap()];
        let (output, text) = run(&story, &strace, args);
        assert!(output.status.success(), "{args:?}: {text}");
        let trace = std::fs::read_to_string(&log).unwrap();
        let starts = trace.lines().filter(|line| line.contains("execve(")).count();
        assert_eq!(starts, 1, "{args:?} starts something else: {trace}");
        for line in trace.lines() {
            let forks = ["fork(", "clone(", "clone3("].iter().any(|call| line.contains(call));
            assert!(!forks || line.contains("CLONE_THREAD") || line.contains("resumed"), "a process: {line}");
            // A socket pair within the process wakes a thread; it leads nowhere outside.
            for call in [" socket(", " connect(", " bind(", " listen(", " accept", "AF_INET"] {
                assert!(!line.contains(call), "{args:?} calls the network: {line}");
            }
        }
    }
}

#[test]
fn a_replay_works_where_there_is_no_network_at_all() {
    let alone = Command::new("unshare").args(["-r", "-n", "true"]).output();
    if !alone.is_ok_and(|output| output.status.success()) {
        eprintln!("not shown: this machine makes no network namespaces");
        return;
    }
    let story = story();
    let (output, text) = run(&story, &["unshare", "-r", "-n"], &["replay", "7f3a", "--plain"]);
    assert!(output.status.success() && text.contains("REPLAY of LAB"), "{text}");
    let (output, text) = run(&story, &["unshare", "-r", "-n"], &["replay", "7f3a", "--verify"]);
    assert!(output.status.success() && text.contains(" 0 differ"), "{text}");
}

#[test]
fn the_whole_run_is_told_to_whoever_only_reads() {
    let story = story();
    let (output, text) = run(&story, &[], &["replay", "--plain"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ada@bastion: ended the run: ABANDONED"), "{text}");
    assert!(text.contains("confirmed 2 Copy") || text.contains("OVERRODE"), "{text}");
}

#[test]
fn damage_is_placed_and_what_is_before_it_is_shown() {
    let story = story();
    database(&story).execute("UPDATE decisions SET body = replace(body, '\"', '\" ') WHERE seq = 12", []).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("DAMAGED, shown up to fact 11: record 12 was edited"), "{text}");
    assert!(text.contains("of 11"), "{text}");
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--verify"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("record 12 was edited"), "{text}");
    database(&story).execute("UPDATE decisions SET body = 'x' WHERE seq = 1", []).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("cannot be replayed"), "{text}");
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let story = story();
    for (args, status, said) in [
        (&["replay", "beef", "--plain"][..], 2, "no run \"beef\""),
        (&["replay", "7f3a", "--plain", "--at", "T+99:00:00"], 2, "outside the recording"),
        (&["replay", "7f3a", "--plain", "--at", "cpoy"], 2, "did you mean `copy`"),
        (&["replay", "7f3a", "--plain", "--at", "1:2:3:4"], 2, "is not a place in a run"),
        (&["replay", "7f3a", "--plain", "--at", "99999"], 2, "there is no fact 99999"),
    ] {
        let (output, text) = run(&story, &[], args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
    database(&story).pragma_update(None, "user_version", 99).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("was written by a newer gonogo"), "{text}");
}

#[test]
fn an_older_record_and_one_without_samples_say_so() {
    let story = story();
    let connection = database(&story);
    let older = "DELETE FROM samples WHERE source LIKE '>%';
                 UPDATE samples SET body = json_remove(body, '$.arrived', '$.after', '$.lapse')";
    connection.execute_batch(older).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert!(output.status.success() && text.contains("an older record: panes are near, not exact"), "{text}");
    connection.execute("DELETE FROM samples", []).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert!(output.status.success() && text.contains("no samples: panes stay empty"), "{text}");
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--verify"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("taken as recorded: evidence without recorded readings"), "{text}");
}

#[test]
fn a_run_that_is_driven_now_is_replayed_up_to_what_is_durable() {
    let story = story();
    let holder = Holder::this_process("test", "2026-11-24T02:14:00Z".parse().unwrap());
    let _driven = story.store().open_run(&story.id, &holder).unwrap();
    let (output, text) = run(&story, &[], &["replay", "7f3a", "--plain"]);
    assert!(output.status.success() && text.contains("REPLAY of LAB"), "{text}");
}

#[test]
fn lines_steer_a_replay_and_do_nothing_else() {
    let story = story();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gonogo"))
        .arg("--state-dir")
        .arg(story.dir.path())
        .args(["replay", "7f3a", "--plain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "pause\nnext\nfaster\nnote something\nstart 1 go\nat T+0:01\nat nowhere\nprevious\nprevious\nleave\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("refused: this is a replay: what has happened cannot be changed").count(), 2, "{text}");
    for said in ["paused (×1) · fact 2 of", "paused (×2)", "T+0:00:01", "there is no step \"nowhere\"", "before this"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
}
