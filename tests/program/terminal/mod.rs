//! The terminal comes back on every exit (promise P11): real processes in real pseudo-terminals.
#![cfg(unix)]

mod opening;
mod pty;
mod taken_away;

use pty::Pty;
use rustix::process::{Pid, Signal, kill_process};

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("the process lives");
}

fn started() -> Pty {
    let pty = Pty::start();
    pty.wait_for("READY 80x24");
    pty
}

fn assert_restored(pty: &Pty) {
    pty.wait("the main screen", |seen| !seen.screen.screen().alternate_screen());
    pty.assert_modes_balance();
    pty.assert_settings_restored();
}

#[test]
fn quitting_by_key_gives_the_terminal_back() {
    let mut pty = started();
    assert!(!pty.settings_are_original(), "raw mode is on");
    pty.seen(|seen| {
        let screen = seen.screen.screen();
        assert!(screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste());
    });
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    pty.wait_for("BYE 0");
    assert_restored(&pty);
}

#[test]
fn a_panic_on_the_main_thread_is_read_on_a_sound_terminal() {
    for (key, message) in [(b"p", "asked to panic on the main thread"), (b"d", "asked to panic while drawing")] {
        let mut pty = started();
        pty.send(key);
        assert_eq!(pty.exit_code(), 101);
        pty.wait_for(message);
        assert_restored(&pty);
        let output = pty.output();
        assert!(output.find("\x1b[?1049l") < output.find(message));
        assert!(!output.contains("BYE"));
    }
}

#[test]
fn after_the_terminal_is_given_back_signals_end_the_process_as_they_always_did() {
    let mut pty = Pty::start_with(&[], &[("EXERCISE_LINGER", "1")]);
    pty.wait_for("READY 80x24");
    pty.send(b"q");
    pty.wait_for("BYE 0");
    assert_restored(&pty);
    signal(pty.pid(), Signal::TERM);
    assert_ne!(pty.exit_code(), 0);
}

#[test]
fn a_panic_on_a_worker_thread_gives_the_terminal_back_and_is_told() {
    let mut pty = started();
    pty.send(b"w");
    assert_eq!(pty.exit_code(), 13, "told as a lost terminal");
    pty.wait_for("asked to panic on a worker");
    assert_restored(&pty);
    let output = pty.output();
    assert!(output.find("\x1b[?1049l") < output.find("asked to panic"));
}

#[test]
fn a_contained_panic_leaves_the_terminal_alone() {
    let mut pty = started();
    pty.send(b"c");
    pty.wait_for("last=asked to panic, contained at ");
    pty.seen(|seen| assert!(seen.screen.screen().alternate_screen()));
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
    assert!(!pty.output().contains("panicked at"), "it is told on the screen, not over it");
}

#[test]
fn signals_to_end_are_events_and_the_terminal_comes_back() {
    for (number, code) in [(Signal::TERM, 10), (Signal::QUIT, 10), (Signal::INT, 11), (Signal::HUP, 12)] {
        let mut pty = started();
        signal(pty.pid(), number);
        assert_eq!(pty.exit_code(), code, "{number:?}");
        pty.wait_for(&format!("BYE {code}"));
        assert_restored(&pty);
    }
}

/// Seconds of processor time a process has used, however long that took; Linux only.
#[cfg(target_os = "linux")]
fn cpu_seconds(pid: u32) -> f64 {
    // proc_pid_stat(5): fields 14 and 15 are utime and stime, in ticks of 1/100 s.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u32 = fields[11..13].iter().map(|f| f.parse::<u32>().expect("ticks")).sum();
    f64::from(ticks) / 100.0
}

#[test]
fn a_lost_terminal_ends_the_program_when_the_hangup_is_delivered() {
    let mut pty = started();
    pty.hang_up();
    let code = pty.exit_code();
    assert!(code == 12 || code == 13, "by signal or by loss, not killed: {code}");
}

#[test]
fn a_lost_terminal_ends_the_program_when_the_hangup_is_ignored() {
    let mut pty = Pty::start_with(&[r#"trap "" HUP; exec "$0""#], &[]);
    pty.wait_for("READY 80x24");
    pty.hang_up();
    assert_eq!(pty.exit_code(), 13);
}

#[test]
fn a_lost_terminal_ends_a_program_that_is_told_nothing() {
    // The shell leads the session and ignores the hang-up; the kernel tells only the leader.
    let mut pty = Pty::start_with(&[r#"trap "" HUP; (trap - HUP; exec "$0"); exit $?"#], &[]);
    pty.wait_for("READY 80x24");
    pty.hang_up();
    assert_eq!(pty.exit_code(), 13);
}

#[test]
#[cfg(target_os = "linux")]
fn work_goes_on_after_the_terminal_is_lost_without_spinning() {
    // A hang-up signal would end the exercise at once; it is ignored, so that only the loss of the terminal is noticed.
    let env = [("EXERCISE_WORK_MS", "3000")];
    let mut pty = Pty::start_with(&[r#"trap "" HUP; exec "$0""#], &env);
    pty.wait_for("READY 80x24");
    let pid = pty.pid();
    pty.hang_up();
    pty.wait_counter("lost", 1);
    let (before, engine) = (cpu_seconds(pid), pty.counter("engine"));
    // Some two seconds, counted by the program itself.
    pty.wait_counter("engine", engine + 80);
    let used = cpu_seconds(pid) - before;
    assert!(pty.is_running(), "still at work");
    assert!(used < 0.3, "{used} s of processor time while orphaned");
    assert_eq!(pty.exit_code(), 13);
}

#[test]
fn ctrl_z_lends_the_terminal_to_the_shell_and_back() {
    lend_and_take_back(&["sh", "-i"]);
}

#[test]
fn ctrl_z_works_with_a_shell_that_saves_and_restores_terminal_settings() {
    lend_and_take_back(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
}

fn lend_and_take_back(shell: &[&str]) {
    let mut pty = Pty::spawn(shell, &[("PS1", "PROMPT> "), ("ENV", "")]);
    pty.wait_for("PROMPT>");
    let command = format!("{}; echo code=$?\n", pty::exercise().display());
    pty.send(command.as_bytes());
    pty.wait_for("READY 80x24");
    pty.send(b"\x1a");
    pty.wait("the shell's screen", |seen| {
        let screen = seen.screen.screen();
        !screen.alternate_screen() && screen.contents().contains("code=")
    });
    pty.send(b"echo shell=$((40+2))\n");
    pty.wait_for("shell=42");
    pty.assert_modes_balance();
    pty.seen(|seen| assert!(!seen.screen.screen().contents().contains("READY")));
    // The window changed while the program was stopped and could not be told.
    pty.resize(100, 30);
    pty.send(b"fg\n");
    pty.wait_for("READY 100x30 last=resumed");
    pty.wait_for("grün");
    pty.seen(|seen| assert!(seen.screen.screen().alternate_screen()));
    let stopped = pty.seen(|seen| seen.bytes.len());
    pty.send(b"x");
    pty.wait("an answer", |seen| seen.bytes.len() > stopped);
    pty.send(b"q");
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.send(b"echo again=$((40+3))\n");
    pty.wait_for("again=43");
    pty.assert_modes_balance();
}

#[test]
#[cfg(target_os = "linux")]
fn a_stop_from_outside_gives_the_terminal_back_too() {
    let mut pty = Pty::spawn(&["sh", "-i"], &[("PS1", "PROMPT> "), ("ENV", "")]);
    pty.wait_for("PROMPT>");
    pty.send(format!("{}\n", pty::exercise().display()).as_bytes());
    pty.wait_for("READY 80x24");
    let shell = pty.pid();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let child: u32 = children.expect("children").trim().parse().expect("one child");
    signal(child, Signal::TSTP);
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.send(b"echo shell=$((40+2))\n");
    pty.wait_for("shell=42");
    pty.assert_modes_balance();
    // Continued in the background it leaves the terminal alone...
    let engine = pty.counter("engine");
    pty.send(b"bg\n");
    pty.wait_counter("engine", engine + 30);
    pty.send(b"echo shell=$((40+3))\n");
    pty.wait_for("shell=43");
    pty.seen(|seen| assert!(!seen.screen.screen().alternate_screen()));
    // ... and takes it when it is brought back.
    pty.send(b"fg\n");
    pty.wait_for("last=resumed");
    pty.send(b"q");
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.assert_modes_balance();
}

/// The state of a process as the system tells it: `T` is stopped.
#[cfg(target_os = "linux")]
fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    rest.trim().chars().next().expect("a state")
}

/// Waits until a process stands still. The terminal is given back a moment before.
fn stopped(pid: u32) {
    pty::until("it stops", || state_of(pid) == 'T');
}

#[cfg(target_os = "linux")]
fn child_of(shell: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    children.expect("children").trim().parse().expect("one child")
}

#[test]
#[cfg(target_os = "linux")]
fn a_stop_from_outside_is_refused_when_the_key_is() {
    let mut pty = Pty::spawn(&["sh", "-i"], &[("PS1", "PROMPT> "), ("ENV", "")]);
    pty.wait_for("PROMPT>");
    pty.send(format!("{}\n", pty::exercise().display()).as_bytes());
    pty.wait_for("READY 80x24");
    let child = child_of(pty.pid());
    pty.send(b"b");
    pty.wait_for("last=busy:true");
    signal(child, Signal::TSTP);
    pty.wait_for("last=too busy to stop");
    assert_ne!(state_of(child), 'T');
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    pty.send(b"\x1a");
    pty.wait_for("last=too busy to stop");
    pty.send(b"b");
    pty.wait_for("last=busy:false");
    signal(child, Signal::TSTP);
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.send(b"fg\n");
    pty.wait_for("last=resumed");
    pty.send(b"q");
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.assert_modes_balance();
}

/// A step that goes on until a file is there.
const WAITS_FOR_A_FILE: &str = r#"
title: A job
phases:
  - title: Only
    steps:
      - id: job
        title: Waits for a file
        action: { command: { run: "until [ -e FILE ]; do sleep 0.05; done", limit: 1m } }
        reversibility: free
"#;

/// Answers a question, and waits until something is so. An answer that comes before the question could be read is refused
/// in words: then enter is pressed again, once for each refusal.
fn answer(pty: &mut Pty, word: &str, so: impl Fn(&mut Pty) -> bool) {
    let asked = format!("type {word}");
    let question = |pty: &Pty| {
        let screen = pty.seen(|seen| seen.screen.screen().contents());
        let begin = screen.find(&asked)?;
        screen.get(begin..).map(str::to_owned)
    };
    pty.wait_for(&asked);
    pty.send(word.as_bytes());
    pty.wait_for(&format!("› {word}"));
    let mut pressed_at = None;
    pty::until(&format!("the answer {word} is taken"), || {
        let taken = so(pty);
        let now = question(pty);
        if !taken && now.is_some() && now != pressed_at {
            pty.send(b"\r");
            pressed_at = now;
        }
        taken
    });
}

fn start_the_job(pty: &mut Pty) {
    pty.wait_for("1 is ready");
    pty.send(b"\r");
    answer(pty, "go", |pty| pty.seen(|seen| seen.screen.screen().contents().contains("1 is running")));
}

#[test]
#[cfg(target_os = "linux")]
fn a_cockpit_with_a_job_under_way_is_not_stopped_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runbook, file) = (folder.path().join("r.yaml"), folder.path().join("go-on"));
    let text = WAITS_FOR_A_FILE.replace("FILE", file.to_str().expect("UTF-8"));
    std::fs::write(&runbook, text).expect("written");
    let mut pty = Pty::spawn(&["sh", "-i"], &[("PS1", "PROMPT> "), ("ENV", "")]);
    pty.wait_for("PROMPT>");
    let program = env!("CARGO_BIN_EXE_gonogo");
    let state = folder.path().join("state");
    pty.send(format!("{program} --state-dir {} run {}\n", state.display(), runbook.display()).as_bytes());
    start_the_job(&mut pty);
    let child = child_of(pty.pid());
    signal(child, Signal::TSTP);
    pty.wait_for("must be watched");
    assert_ne!(state_of(child), 'T');
    std::fs::write(&file, "").expect("written");
    pty.wait_for("1 Waits for a file done");
    // With nothing to watch it stops, and comes back.
    signal(child, Signal::TSTP);
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    stopped(child);
    pty.send(b"fg\n");
    pty.wait_for("1 Waits for a file");
    pty.send(b"q");
    pty.wait_for("leave?");
    pty.send(b"y");
    pty.wait("the shell's screen", |seen| !seen.screen.screen().alternate_screen());
    pty.assert_modes_balance();
}

#[test]
fn a_key_that_is_held_down_does_not_keep_a_job_from_ending() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runbook, file, state) =
        (folder.path().join("r.yaml"), folder.path().join("go-on"), folder.path().join("state"));
    let text = WAITS_FOR_A_FILE.replace("FILE", file.to_str().expect("UTF-8"));
    std::fs::write(&runbook, text).expect("written");
    let (runbook, state) = (runbook.to_str().expect("UTF-8"), state.to_str().expect("UTF-8"));
    let mut pty = Pty::spawn(&[env!("CARGO_BIN_EXE_gonogo"), "--state-dir", state, "run", runbook], &[]);
    start_the_job(&mut pty);
    std::fs::write(&file, "").expect("written");
    // More keys than it can answer, until the end of the job is on the screen.
    pty::until("the job ends in spite of the keys", || {
        pty.send("\t".repeat(100).as_bytes());
        pty.seen(|seen| seen.screen.screen().contents().contains("file done"))
    });
}

#[test]
fn suspending_is_refused_where_no_shell_could_continue() {
    let mut pty = started();
    pty.send(b"\x1a");
    pty.wait_for("no shell here could bring the cockpit back");
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    // A signal comes beside the keys: what it leads to is waited for before the next key.
    signal(pty.pid(), Signal::TSTP);
    pty.wait_for("no shell here could bring the cockpit back");
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
}

#[test]
fn a_storm_of_sizes_is_survived_and_ends_in_a_whole_picture() {
    let mut pty = started();
    let sizes = [(10, 3), (1, 1), (400, 120), (2, 50), (200, 1)];
    for _ in 0..20 {
        for (cols, rows) in sizes {
            pty.resize(cols, rows);
        }
    }
    for (cols, rows) in sizes {
        pty.resize(cols, rows);
        let drawn = pty.counter("drawn");
        pty.wait_counter("drawn", drawn + 1);
    }
    pty.resize(80, 24);
    pty.wait_for("READY 80x24");
    pty.wait_for("row 19 of a table");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
}

#[test]
fn a_terminal_that_stops_reading_stalls_nobody_and_gets_one_fresh_frame() {
    let mut pty = started();
    pty.send(b"f");
    pty.wait_counter("drawn", 20);
    pty.pause(true);
    pty.wait_counter("busy", 100);
    let (drawn, engine) = (pty.counter("drawn"), pty.counter("engine"));
    let taken = pty.seen(|seen| seen.bytes.len());
    // Some three seconds by the engine's own count.
    pty.wait_counter("engine", engine + 120);
    let stalled = pty.counter("drawn");
    assert!(stalled <= drawn + 1, "{drawn} frames, then {stalled}: they queue up");
    assert!(pty.seen(|seen| seen.bytes.len()) <= taken + 65536);
    // Keys are still heard: no more flood, and a quit that follows later.
    pty.send(b"g");
    pty.send(b"x");
    pty.pause(false);
    pty.wait_for("last=Char('x') engine=0");
    pty.wait_for("row 19 of a table");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
}

#[test]
fn leaving_a_terminal_that_does_not_read_is_bounded_and_restores_its_settings() {
    let mut pty = started();
    pty.send(b"f");
    pty.wait_counter("drawn", 20);
    pty.pause(true);
    pty.wait_counter("busy", 100);
    signal(pty.pid(), Signal::TERM);
    // Nobody reads yet.
    pty::until("the settings are restored", || pty.settings_are_original());
    pty.pause(false);
    assert_eq!(pty.exit_code(), 10);
    pty.wait("the main screen", |seen| {
        let screen = seen.screen.screen();
        !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
    });
}

#[test]
fn an_unchanged_picture_writes_nothing() {
    let mut pty = started();
    pty.wait("the end of the first frame", |seen| {
        seen.screen.screen().contents().contains('┘') && seen.bytes.ends_with(b"\x1b[?2026l")
    });
    let written = pty.seen(|seen| seen.bytes.len());
    let unchanged = pty.counter("unchanged");
    for round in 1..=10 {
        pty.send(b"u");
        pty.wait_counter("unchanged", unchanged + round);
    }
    assert_eq!(pty.seen(|seen| seen.bytes.len()), written);
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
}

#[test]
fn a_paste_is_one_event() {
    let mut pty = started();
    pty.send(b"\x1b[200~quit\x1b[31m\x1b[201~");
    pty.wait_for("last=paste:quit␛[31m");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
}

#[test]
fn without_colour_selection_is_still_seen() {
    let mut pty = Pty::start_with(&[], &[("NO_COLOR", "1")]);
    pty.wait_for("row 19 of a table");
    pty.seen(|seen| {
        let screen = seen.screen.screen();
        assert!(screen.cell(0, 0).expect("a cell").bold());
        assert!(screen.cell(3, 1).expect("a cell").inverse());
        assert_eq!(screen.cell(1, 0).expect("a cell").fgcolor(), vt100::Color::Default);
    });
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
}

#[test]
fn keys_come_from_the_terminal_when_stdin_is_a_pipe() {
    let mut pty = Pty::start_with(&[r#"echo qqq | "$0"; exit $?"#], &[]);
    pty.wait_for("READY 80x24");
    pty.send(b"x");
    pty.wait_for("last=Char('x')");
    pty.send(b"q");
    assert_eq!(pty.exit_code(), 0);
    assert_restored(&pty);
}

#[test]
#[cfg(target_os = "linux")]
fn without_any_terminal_the_error_names_the_way_out() {
    let output = std::process::Command::new("setsid")
        .arg("--wait")
        .arg(pty::exercise())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("setsid runs");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("needs a terminal") && message.contains("--plain"), "{message}");
}

#[test]
fn a_dumb_terminal_is_refused() {
    let mut pty = Pty::start_with(&[], &[("TERM", "dumb")]);
    assert_eq!(pty.exit_code(), 2);
    pty.wait("the refusal", |seen| String::from_utf8_lossy(&seen.bytes).contains("TERM=dumb"));
    pty.assert_settings_restored();
}

#[test]
fn going_on_in_a_rehearsal_is_answered_and_the_farewell_fits_the_terminal() {
    let state = tempfile::tempdir().expect("a folder");
    let state = state.path().display().to_string();
    let runbook = concat!(env!("CARGO_MANIFEST_DIR"), "/runbook.yaml");
    let gonogo = env!("CARGO_BIN_EXE_gonogo");
    let mut pty = Pty::spawn(&[gonogo, "--state-dir", &state, "rehearse", runbook, "--seed", "5"], &[]);
    pty.wait_for("start");
    pty.send(b"f");
    pty.wait_for("nothing happens by itself now: step 1 waits for you to start it");
    pty.send(b"q");
    pty.wait_for("leave");
    pty.send(b"y");
    assert_eq!(pty.exit_code(), 1);
    pty.wait_for("the same once more: gonogo --state-dir");
    assert_restored(&pty);
    pty.seen(|seen| {
        let screen = seen.screen.screen().contents();
        let mut rows = screen.lines().skip_while(|row| !row.starts_with("  - the run stopped at 0 of 22 steps"));
        let (first, second) = (rows.next().unwrap_or_default(), rows.next().unwrap_or_default());
        assert!(first.len() <= 80 && second.starts_with("    "), "{screen}");
    });
}

#[test]
fn a_rehearsal_that_was_cut_off_is_named_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (state, gonogo) = (dir.path().display().to_string(), env!("CARGO_BIN_EXE_gonogo"));
    let runbook = concat!(env!("CARGO_MANIFEST_DIR"), "/runbook.yaml");
    let argv = [gonogo, "--state-dir", &state, "rehearse", runbook];
    let pty = Pty::spawn(&argv, &[]);
    pty.wait_for("1 is ready");
    signal(pty.pid(), Signal::KILL);
    drop(pty);
    let mut pty = Pty::spawn(&argv, &[]);
    pty.wait_for("a new rehearsal: rehearsal ");
    pty.wait_for("was cut off");
    // Whoever leaves it has not been cut off.
    pty.send(b"q");
    pty.wait_for("leave?");
    pty.send(b"y");
    pty.exit_code();
    let pty = Pty::spawn(&argv, &[]);
    pty.wait_for("1 is ready");
    pty.seen(|seen| assert!(!seen.screen.screen().contents().contains("was cut off")));
}
