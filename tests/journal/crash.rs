//! What was acknowledged survives a kill and a failing disk at every single write.
//!
//! The program under test is this one: other tests here start [`child`] under `strace`, told to kill it or fail it at
//! the Nth call. N grows until the child gets through untouched. Needs `strace`; `tests/run` installs it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use gonogo::journal::{JournalError, Ledger, LockState, Sample, Store, verify};

use super::support::{State, me, new_record, new_run, run};

const STATE: &str = "GONOGO_TEST_JOURNAL_STATE";
const ROLE: &str = "GONOGO_TEST_JOURNAL_ROLE";

/// How this test binary is told to run [`child`] and nothing else.
const CHILD: [&str; 4] = ["--ignored", "--exact", "crash::child", "--nocapture"];

/// How `SQLite` and the standard library sync, whichever of the two they were built to use.
const SYNC: &str = "fsync,fdatasync";

/// More calls than any child makes.
const MOST: usize = 3_000;

/// Appends of the child, each of one record but every third of two.
const APPENDS: u64 = 6;

/// The records of one append.
fn batch(append: u64) -> Vec<gonogo::journal::NewRecord> {
    let first = append * 10;
    let last = first + u64::from(append.is_multiple_of(3));
    (first..=last).map(new_record).collect()
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: the other process.
#[test]
#[ignore = "started by the tests here"]
fn child() {
    let given = |name| std::env::var(name).expect("started by the tests here");
    let (state, role) = (given(STATE), given(ROLE));
    let store = Store::open(Path::new(&state)).unwrap();
    match role.as_str() {
        "create" => {
            drop(store.create_run(&run(), &new_run(), &me()).unwrap());
            say("created");
        }
        "append" => append(&store, 1, 1),
        "append-and-tidy" => append(&store, 1, 400_000),
        "append-and-pack" => append(&store, 700, 40),
        "hold" => match store.open_run(&run(), &me()) {
            Ok(_journal) => {
                say(&format!("holds {}", std::process::id()));
                // Until the parent closes the pipe or kills us.
                std::io::stdin().read_line(&mut String::new()).unwrap();
            }
            Err(error) => say(&format!("refused {error}")),
        },
        other => panic!("no role {other:?}"),
    }
}

fn append(store: &Store, samples: usize, sample_bytes: usize) {
    let mut journal = match store.open_run(&run(), &me()) {
        Ok(journal) => journal,
        Err(error) => return say(&format!("unopened {error}")),
    };
    for n in 1..=APPENDS {
        match journal.append(&batch(n)) {
            Ok(records) => say(&format!("acked {}", records.last().unwrap().seq)),
            Err(error) => {
                assert!(matches!(error, JournalError::Faulted(_)), "{error}");
                say(&format!("refused {error}"));
            }
        }
        let sample = Sample { at_ms: 0, source: "lag".into(), body: "x".repeat(sample_bytes) };
        // A failure here shows in the next append.
        let _ = journal.append_samples(&vec![sample; samples]);
        let _ = journal.tidy();
    }
}

/// What became of a child.
struct Outcome {
    acked: u64,
    refused: Vec<String>,
    text: String,
    injected: bool,
}

/// Runs the child with `how` done to its Nth `call`, for example `signal=SIGKILL`.
fn inject(state: &State, role: &str, call: &str, how: &str, nth: usize) -> Outcome {
    let log = state.dir.path().join("strace");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{how}:when={nth}")])
        .arg(std::env::current_exe().unwrap())
        .args(CHILD)
        .env(STATE, state.dir.path().join("state"))
        .env(ROLE, role)
        .stdin(Stdio::null())
        .output()
        .expect("strace is needed: install it (tests/run does)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let trace = std::fs::read_to_string(&log).unwrap();
    let injected = trace.contains("INJECTED") || trace.contains("killed by SIGKILL");
    assert!(injected || output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut outcome = Outcome { acked: 0, refused: Vec::new(), injected, text: text.clone() };
    for line in text.lines() {
        if let Some(seq) = line.strip_prefix("acked ") {
            assert!(outcome.refused.is_empty(), "an append went through after one failed: {text}");
            outcome.acked = seq.parse().unwrap();
        } else if let Some(error) = line.strip_prefix("refused ") {
            outcome.refused.push(error.to_owned());
        }
    }
    outcome
}

/// Whatever happened, the run is whole, has what was acknowledged, and goes on.
fn check(state: &State, acked: u64) {
    let reader = state.store.read_run(&run()).unwrap();
    let report = verify(&reader, None).unwrap();
    assert!(report.is_intact(), "{report}");
    let written: Vec<_> = (1..=APPENDS).flat_map(batch).collect();
    let found: Vec<_> = state.records().iter().map(gonogo::journal::Record::unstored).collect();
    assert!(written.starts_with(&found), "not a beginning of what was written: {found:?}");
    assert!(found.len() as u64 >= acked, "{acked} were acknowledged, {} are there", found.len());
    // No batch is there in part.
    let ends: Vec<usize> = (1..=APPENDS)
        .scan(0, |sum, n| {
            *sum += batch(n).len();
            Some(*sum)
        })
        .collect();
    assert!(found.is_empty() || ends.contains(&found.len()), "half a batch: {}", found.len());
    // Of the samples some may be lost; none is there twice or in part, packed or not.
    let samples = reader.arrived(1, u32::MAX).unwrap();
    assert!((1..).zip(&samples).all(|(number, (found, _))| number == *found));
    assert!(samples.windows(2).all(|pair| pair[0].1 == pair[1].1));
    drop(reader);
    let mut journal = state.store.open_run(&run(), &me()).unwrap();
    let next = journal.append(&[new_record(999)]).unwrap();
    assert_eq!(next[0].seq, found.len() as u64 + 1);
}

/// Does it at every `step`th call until the child is through before the call comes.
fn at_every(role: &str, call: &str, how: &str, step: usize) {
    let mut refused = 0;
    for nth in (1..MOST).step_by(step) {
        let state = State::new();
        drop(state.create());
        let outcome = inject(&state, role, call, how, nth);
        check(&state, outcome.acked);
        refused += usize::from(!outcome.refused.is_empty());
        if !outcome.injected {
            assert_eq!(outcome.acked, 8, "untouched, yet not all is acknowledged: {}", outcome.text);
            assert!(nth > 1, "the child never called {call}");
            println!("{call} {how}: {nth} times, {refused} refused");
            // Truncation only saves space: the journal may do without.
            let needed = how.starts_with("error") && call != "ftruncate";
            assert!(refused > 0 || !needed, "no failure of {call} was noticed");
            return;
        }
    }
    panic!("{call} was still being called after {MOST} times");
}

#[test]
fn killed_at_every_pwrite() {
    at_every("append", "pwrite64", "signal=SIGKILL", 1);
}

#[test]
fn killed_at_every_write() {
    at_every("append", "write", "signal=SIGKILL", 1);
}

#[test]
fn killed_at_every_sync() {
    at_every("append", SYNC, "signal=SIGKILL", 1);
}

#[test]
fn killed_at_every_truncation_and_rename() {
    at_every("append", "ftruncate", "signal=SIGKILL", 1);
    at_every("append", "rename", "signal=SIGKILL", 1);
}

#[test]
fn killed_while_the_log_is_folded_in() {
    at_every("append-and-tidy", "pwrite64", "signal=SIGKILL", 61);
    at_every("append-and-tidy", SYNC, "signal=SIGKILL", 1);
}

#[test]
fn killed_while_samples_are_packed() {
    at_every("append-and-pack", "pwrite64", "signal=SIGKILL", 23);
    at_every("append-and-pack", SYNC, "signal=SIGKILL", 1);
}

#[test]
fn io_error_while_samples_are_packed() {
    at_every("append-and-pack", "pwrite64", "error=EIO", 23);
    at_every("append-and-pack", SYNC, "error=EIO", 1);
}

#[test]
fn io_error_at_every_pwrite() {
    at_every("append", "pwrite64", "error=EIO", 1);
}

#[test]
fn io_error_at_every_sync() {
    at_every("append", SYNC, "error=EIO", 1);
}

#[test]
fn io_error_while_the_log_is_folded_in() {
    at_every("append-and-tidy", "pwrite64", "error=EIO", 61);
    at_every("append-and-tidy", SYNC, "error=EIO", 1);
}

#[test]
fn full_disk_at_every_write() {
    at_every("append", "pwrite64", "error=ENOSPC", 1);
    at_every("append", "ftruncate", "error=ENOSPC", 1);
}

/// A kill leaves the page cache to the kernel; this test is about power failures.
#[test]
fn every_decision_is_synced_before_it_is_acknowledged() {
    let state = State::new();
    drop(state.create());
    let log = state.dir.path().join("strace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-qq", "-o"])
        .arg(&log)
        .args(["-e", "trace=pwrite64,write,fsync,fdatasync"])
        .arg(std::env::current_exe().unwrap())
        .args(CHILD)
        .env(STATE, state.dir.path().join("state"))
        .env(ROLE, "append")
        .stdout(Stdio::null())
        .status()
        .expect("strace is needed: install it (tests/run does)");
    assert!(status.success());
    let (mut written, mut synced, mut acks) = (false, true, 0);
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let log_file = line.contains("journal.db-wal>");
        if log_file && line.contains("pwrite64(") {
            (written, synced) = (true, false);
        } else if log_file && line.contains("sync(") {
            assert!(line.ends_with("= 0") || line.contains("unfinished"), "{line}");
            synced = true;
        } else if line.contains(r"\nacked ") {
            assert!(written && synced, "acknowledged before it was synced: {line}");
            acks += 1;
            written = false;
        }
    }
    assert_eq!(acks, APPENDS);
}

#[test]
fn the_refusal_says_what_failed_and_what_it_means() {
    let state = State::new();
    drop(state.create());
    let failed = (1..MOST)
        .map(|nth| inject(&state, "append", SYNC, "error=EIO", nth))
        .find(|outcome| {
            let first = outcome.refused.first();
            first.is_some_and(|first| first.contains("committing decision"))
        })
        .unwrap();
    let first = failed.refused.first().unwrap();
    assert!(first.starts_with("the journal failed while committing decision"), "{first}");
    assert!(first.contains("journal.db"), "{first}");
    assert!(first.contains("acting stops, panes stay live"), "{first}");
    assert!(failed.refused.iter().all(|again| again == first), "{:?}", failed.refused);
}

#[test]
fn killed_while_a_run_is_created_leaves_a_whole_run_or_none() {
    for call in ["pwrite64", "write", SYNC, "rename", "mkdir", "fchmod"] {
        for nth in 1..MOST {
            let state = State::new();
            let outcome = inject(&state, "create", call, "signal=SIGKILL", nth);
            let runs = state.store.list().unwrap();
            assert!(runs.iter().all(|run| run.journal.is_ok()), "{runs:?}");
            if outcome.text.contains("created") {
                assert_eq!(runs.len(), 1);
            }
            if runs.is_empty() {
                drop(state.create());
            } else {
                drop(state.store.open_run(&run(), &me()).unwrap());
            }
            assert_eq!(state.entries(), [run().as_str()], "{call} {nth}: what was left is litter");
            if !outcome.injected {
                break;
            }
        }
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "022", "777"] {
        let state = State::new();
        let fresh = state.dir.path().join("fresh/state");
        std::fs::create_dir(state.dir.path().join("fresh")).unwrap();
        let status = Command::new("sh")
            .args(["-c", r#"umask "$0" && exec "$@""#, umask])
            .arg(std::env::current_exe().unwrap())
            .args(CHILD)
            .env(STATE, &fresh)
            .env(ROLE, "create")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let run_dir = fresh.join("runs").join(run().as_str());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for dir in [&fresh, &fresh.join("runs"), &run_dir, &run_dir.join("output")] {
            assert_eq!(mode(dir), 0o700, "{}", dir.display());
        }
        for file in ["journal.db", "head", "lock", "runbook.yaml"] {
            assert_eq!(mode(&run_dir.join(file)), 0o600, "{file} under umask {umask}");
        }
    }
}

/// A child that tries to drive the run, and what it said about that.
fn contender(state: &State) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(CHILD)
        .env(STATE, state.dir.path().join("state"))
        .env(ROLE, "hold")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("holds ") || line.starts_with("refused "))
        .unwrap();
    (child, said)
}

#[test]
fn of_two_drivers_one_wins_and_the_other_hears_who() {
    for _ in 0..20 {
        let state = State::new();
        drop(state.create());
        let both = std::thread::scope(|scope| {
            let one = scope.spawn(|| contender(&state));
            let other = scope.spawn(|| contender(&state));
            [one.join().unwrap(), other.join().unwrap()]
        });
        let pids: Vec<&str> = both.iter().filter_map(|(_, said)| said.strip_prefix("holds ")).collect();
        let refusals: Vec<&str> = both.iter().filter_map(|(_, said)| said.strip_prefix("refused ")).collect();
        let ([pid], [refusal]) = (&pids[..], &refusals[..]) else {
            panic!("{both:?}");
        };
        assert!(refusal.starts_with("run 7f3a is driven by ana on "), "{refusal}");
        assert!(refusal.contains(&format!("(pid {pid})")), "{refusal}, but {pid} holds it");
        for (mut child, _) in both {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

#[test]
fn the_lock_ends_with_its_process() {
    let state = State::new();
    drop(state.create());
    let (mut child, said) = contender(&state);
    assert!(said.starts_with("holds "), "{said}");
    assert!(matches!(state.store.driver(&run()).unwrap(), LockState::Held(Some(_))));
    let refused = state.store.open_run(&run(), &me()).unwrap_err();
    assert!(matches!(refused, JournalError::Locked { holder: Some(_), .. }), "{refused}");
    // Reading is not refused.
    assert!(state.records().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(state.store.driver(&run()).unwrap(), LockState::Free);
    let journal = state.store.open_run(&run(), &me()).unwrap();
    assert_eq!(journal.epoch(), 3);
}
