//! The record of a run: what is stored reads back, privately, by one driver, for ever.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use gonogo::journal::{JournalError, Ledger, LockState, NewRecord, RunId, Sample, Store, state_dir, verify};
use proptest::prelude::*;
use rusqlite::Connection;

use super::support::{State, me, new_record, new_run, run};

fn any_record() -> impl Strategy<Value = NewRecord> {
    (any::<i64>(), any::<String>(), any::<u32>(), any::<String>()).prop_map(|(at_ms, kind, version, body)| NewRecord {
        at_ms,
        kind,
        version,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_appended_reads_back_after_any_reopening(
        sessions in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any_record(), 0..4), 0..5), 1..4)
    ) {
        let state = State::new();
        drop(state.create());
        let mut expected = Vec::new();
        for batches in sessions {
            let mut journal = state.store.open_run(&run(), &me()).unwrap();
            for batch in batches {
                expected.extend(journal.append(&batch).unwrap());
                prop_assert_eq!(journal.head().seq, expected.len() as u64);
            }
        }
        prop_assert_eq!(&state.records(), &expected);
        let seqs: Vec<u64> = expected.iter().map(|record| record.seq).collect();
        prop_assert!(seqs.into_iter().eq(1..=expected.len() as u64));
        let report = verify(&state.store.read_run(&run()).unwrap(), None).unwrap();
        prop_assert!(report.is_intact(), "{}", report);
    }
}

#[test]
fn a_follower_reads_while_the_run_is_driven() {
    let state = State::new();
    let mut journal = state.create();
    let reader = state.store.read_run(&run()).unwrap();
    let batch: Vec<NewRecord> = (0..1_300).map(new_record).collect();
    let records = journal.append(&batch).unwrap();
    let read: Vec<_> = reader.records(1).map(Result::unwrap).collect();
    assert_eq!(read, records);
    assert_eq!(reader.tail(2).unwrap(), records[1_298..]);
    assert_eq!(reader.records(1_301).count(), 0);
    assert_eq!(reader.head().unwrap(), journal.head());
}

#[test]
fn samples_are_read_by_probe_and_time() {
    let state = State::new();
    let mut journal = state.create();
    let sample = |at_ms, source: &str| Sample { at_ms, source: source.into(), body: format!("\u{1b}[2J{at_ms}") };
    journal.append_samples(&[sample(3, "lag"), sample(1, "lag"), sample(2, "dns"), sample(9, "lag")]).unwrap();
    let reader = state.store.read_run(&run()).unwrap();
    assert_eq!(reader.newest_sample().unwrap(), Some(9));
    assert_eq!(reader.samples("lag", 1..9).unwrap(), [sample(1, "lag"), sample(3, "lag")]);
}

#[test]
fn everything_is_private_and_what_was_noted_reads_back() {
    let state = State::new();
    let mut journal = state.create();
    journal.append(&[new_record(1)]).unwrap();
    let dir = journal.dir().clone();
    let mode = |path: &Path| fs::metadata(path).map(|entry| entry.permissions().mode() & 0o777);
    assert_eq!(mode(dir.path()).unwrap(), 0o700);
    assert_eq!(mode(dir.path().parent().unwrap()).unwrap(), 0o700);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let found = match mode(&path) {
            // The copy of the head is put in place by a thread of its own: its draft may be listed and gone.
            Err(cause) if cause.kind() == ErrorKind::NotFound && path.to_string_lossy().contains("/head.new.") => {
                continue;
            }
            found => found.unwrap(),
        };
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found, expected, "{}", path.display());
    }
    let reader = state.store.read_run(&run()).unwrap();
    assert_eq!(reader.runbook().unwrap(), new_run().runbook);
    assert_eq!(fs::read(dir.runbook()).unwrap(), new_run().runbook);
    let meta = reader.meta();
    assert_eq!(
        (meta.created_at, &meta.title, &meta.labels),
        (new_run().created_at, &new_run().title, &new_run().labels)
    );
}

#[test]
fn what_a_killed_start_left_goes_at_the_next_one_unless_somebody_holds_it() {
    let state = State::new();
    let runs = state.dir.path().join("state/runs");
    let draft = |name: &str| {
        let path = runs.join(name);
        fs::create_dir_all(path.join("output")).unwrap();
        fs::File::create(path.join("lock")).unwrap()
    };
    drop(draft(".new-20261124-0200-0001-77"));
    fs::create_dir(runs.join(".new-20261124-0200-0002-78")).unwrap();
    let held = draft(".new-20261124-0200-0003-79");
    held.lock().unwrap();
    let elsewhere = state.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, runs.join(".new-link")).unwrap();
    // Somebody else is making a run: what has no lock yet may be theirs.
    let making = fs::File::open(&runs).unwrap();
    making.lock_shared().unwrap();
    drop(state.create());
    assert_eq!(state.entries().len(), 5);
    drop(making);
    drop(state.store.open_run(&run(), &me()).unwrap());
    assert_eq!(state.entries(), [".new-20261124-0200-0003-79", ".new-link", run().as_str()]);
    assert!(elsewhere.is_dir());
}

#[test]
fn a_loose_folder_is_made_private() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    fs::create_dir(&runs).unwrap();
    fs::set_permissions(&runs, fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(dir.path()).unwrap();
    assert_eq!(fs::metadata(&runs).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_flag_names_the_state_folder() {
    assert_eq!(state_dir(Some(Path::new("x"))).unwrap(), Path::new("x"));
}

#[test]
fn a_run_is_found_by_any_part_that_is_its_own() {
    let state = State::new();
    drop(state.create());
    let other: RunId = "20261125-0900-7f3b".parse().unwrap();
    drop(state.store.create_run(&other, &new_run(), &me()).unwrap());
    for asked in ["7f3a", "20261124-0214-7f3a", "20261124"] {
        assert_eq!(state.store.resolve(asked).unwrap(), run());
    }
    let error = state.store.resolve("2026112").unwrap_err().to_string();
    assert_eq!(error, r#""2026112" could be any of 20261124-0214-7f3a, 20261125-0900-7f3b"#);
    let error = state.store.resolve("7f3c").unwrap_err().to_string();
    assert!(error.contains("did you mean 2026112"), "{error}");
    let error = state.store.resolve("").unwrap_err();
    assert!(matches!(error, JournalError::NoSuchRun { nearest: None, .. }), "{error}");
    let twice = state.store.create_run(&run(), &new_run(), &me()).unwrap_err();
    assert!(matches!(twice, JournalError::RunExists(_)), "{twice}");
}

#[test]
fn the_list_shows_who_drives_and_what_cannot_be_read() {
    let state = State::new();
    let mut journal = state.create();
    journal.append(&[new_record(4)]).unwrap();
    let broken: RunId = "20261125-0900-7f3b".parse().unwrap();
    let dir = state.store.create_run(&broken, &new_run(), &me()).unwrap().dir().clone();
    fs::write(dir.journal(), "not a database, but longer than its header: ".repeat(9)).unwrap();
    fs::create_dir(dir.path().parent().unwrap().join("lost+found")).unwrap();
    let list = state.store.list().unwrap();
    assert_eq!(list.len(), 2);
    let LockState::Held(Some(holder)) = &list[0].driver else {
        panic!("{list:?}");
    };
    assert_eq!(holder.user, "ana");
    let summary = list[0].journal.as_ref().unwrap();
    assert_eq!(summary.head.seq, 1);
    assert_eq!(summary.last, Some((new_record(4).at_ms, "kind1".into())));
    assert_eq!(list[1].driver, LockState::Free);
    let error = list[1].journal.as_ref().unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
}

#[test]
fn looking_who_drives_never_keeps_a_driver_out() {
    let state = State::new();
    drop(state.create());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                state.store.driver(&run()).unwrap();
            }
        });
        let refused = (0..100).find_map(|_| state.store.open_run(&run(), &me()).err());
        done.store(true, Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
}

#[test]
fn a_driver_that_lost_its_lease_cannot_write() {
    let state = State::new();
    let mut ousted = state.create();
    ousted.append(&[new_record(1)]).unwrap();
    // The lock is circumvented, as on a file system that has none.
    fs::remove_file(ousted.dir().lock()).unwrap();
    let mut fresh = state.store.open_run(&run(), &me()).unwrap();
    for _ in 0..2 {
        let fenced = ousted.append(&[new_record(2)]).unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { own: 1, by: 2, .. }), "{fenced}");
        assert!(ousted.append_samples(&[]).is_err());
    }
    assert_eq!(fresh.append(&[new_record(2)]).unwrap()[0].seq, 2);
    drop(ousted);
    fresh.append(&[new_record(3)]).unwrap();
    assert_eq!(state.records().len(), 3);
}

#[test]
fn a_driver_that_lost_its_lease_does_not_put_its_head_in_place_of_the_newer_one() {
    let state = State::new();
    let mut ousted = state.create();
    // In a burst: writing the copy of the head is delayed, and it is still unwritten when the journal is closed.
    for n in 1..=3 {
        ousted.append(&[new_record(n)]).unwrap();
    }
    fs::remove_file(ousted.dir().lock()).unwrap();
    let mut fresh = state.store.open_run(&run(), &me()).unwrap();
    fresh.append(&[new_record(4)]).unwrap();
    let head = fresh.head();
    drop(fresh);
    // It has not noticed: nothing was written since.
    drop(ousted);
    let noted: serde_json::Value = {
        let dir = state.store.read_run(&run()).unwrap().dir().path().to_owned();
        serde_json::from_slice(&fs::read(dir.join("head")).unwrap()).unwrap()
    };
    assert_eq!(noted["seq"], head.seq, "the copy tells of every record");
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let state = State::new();
    let dir = state.create().dir().clone();
    let refusal = |change: &str| {
        let raw = Connection::open(dir.journal()).unwrap();
        raw.execute_batch(change).unwrap();
        drop(raw);
        let read = state.store.read_run(&run()).unwrap_err().to_string();
        let before = fs::read(dir.journal()).unwrap();
        assert_eq!(state.store.open_run(&run(), &me()).unwrap_err().to_string(), read);
        assert_eq!(fs::read(dir.journal()).unwrap(), before);
        read
    };
    let newer = refusal("PRAGMA user_version = 99");
    assert!(newer.contains("was written by a newer gonogo (journal format 99"), "{newer}");
    let foreign = refusal("PRAGMA application_id = 7");
    assert!(foreign.contains("is not a gonogo journal: its application id is 0x7"), "{foreign}");
    fs::write(dir.journal(), "").unwrap();
    assert!(refusal("").contains("is not a gonogo journal"));
}

/// The folder of a released format, with what it must read as.
fn fixture(format: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/journal/v{format}"))
}

/// The head of the five records every fixture holds.
const FIXTURE_HEAD: &str = "0ed91ca0499b0582c9ae9479fa1e17a0e643856e0bc31b6fba4a48006aeb525c";

#[test]
fn journals_of_every_released_format_open() {
    for format in 1..=2 {
        let state = State::new();
        let target = state.dir.path().join("state/runs").join(run().as_str());
        fs::create_dir(&target).unwrap();
        for file in ["journal.db", "head", "runbook.yaml"] {
            fs::copy(fixture(format).join(file), target.join(file)).unwrap();
        }
        let reader = state.store.read_run(&run()).unwrap();
        let head = FIXTURE_HEAD.parse().unwrap();
        let report = verify(&reader, Some(&head)).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!(report.expected_at, Some(5));
        let read: Vec<_> = state.records().iter().map(gonogo::journal::Record::unstored).collect();
        assert_eq!(read, (1..=5).map(new_record).collect::<Vec<_>>());
        assert_eq!(reader.samples("lag", 0..10).unwrap().len(), 1);
        let samples = reader.arrived(1, u32::MAX).unwrap();
        assert_eq!(samples.len(), if format == 1 { 1 } else { 2_100 });
        assert!((1..).zip(&samples).all(|(number, (found, sample))| {
            (*found, sample.at_ms, sample.body.as_str()) == (number, if number == 1 { 1 } else { 100 }, "1")
        }));
        drop(reader);
        let mut journal = state.store.open_run(&run(), &me()).unwrap();
        assert_eq!(journal.append(&[new_record(6)]).unwrap()[0].seq, 6);
    }
}

/// Writes the fixture of the current format: once, before it is first released.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixture() {
    let state = State::new();
    let mut journal = state.create();
    for n in 1..=5 {
        journal.append(&[new_record(n)]).unwrap();
    }
    let sample = |number| Sample { at_ms: if number == 1 { 1 } else { 100 }, source: "lag".into(), body: "1".into() };
    // So many that the older ones are packed.
    journal.append_samples(&(1..=2_100).map(sample).collect::<Vec<_>>()).unwrap();
    journal.tidy().unwrap();
    println!("head {}", journal.head().hash);
    let source = journal.dir().path().to_owned();
    drop(journal);
    fs::create_dir_all(fixture(2)).unwrap();
    for file in ["journal.db", "head", "runbook.yaml"] {
        fs::copy(source.join(file), fixture(2).join(file)).unwrap();
    }
}

/// Copies a run as a crash would leave it, with one file cut short.
fn cut_copy(from: &State, file: &str, length: u64) -> State {
    let copy = State::new();
    drop(copy.create());
    let target = copy.store.read_run(&run()).unwrap().dir().path().to_owned();
    let source = from.store.read_run(&run()).unwrap().dir().path().to_owned();
    for name in ["journal.db", "journal.db-wal", "head"] {
        fs::copy(source.join(name), target.join(name)).unwrap();
    }
    let _ = fs::remove_file(target.join("journal.db-shm"));
    let cut = fs::OpenOptions::new().write(true).open(target.join(file)).unwrap();
    cut.set_len(length).unwrap();
    copy
}

#[test]
fn a_journal_cut_anywhere_is_a_beginning_or_is_refused() {
    let state = State::new();
    let mut journal = state.create();
    let mut acked = Vec::new();
    for n in 1..=4 {
        acked.extend(journal.append(&[new_record(n)]).unwrap());
    }
    let dir = journal.dir().clone();
    for file in ["journal.db", "journal.db-wal"] {
        let whole = fs::metadata(dir.path().join(file)).unwrap().len();
        let mut counts = Vec::new();
        for length in (0..whole).step_by(157).chain([whole]) {
            let copy = cut_copy(&state, file, length);
            // Unreadable is an answer; a wrong record is not.
            let Ok(reader) = copy.store.read_run(&run()) else {
                continue;
            };
            let read: Vec<_> = reader.records(1).map_while(Result::ok).collect();
            assert!(acked.starts_with(&read), "{file} cut at {length}: {read:?}");
            if let Ok(report) = verify(&reader, Some(&acked[3].hash.into())) {
                assert_eq!(report.is_intact(), read.len() == 4, "{file} cut at {length}: {report}");
            }
            counts.push(read.len());
        }
        assert_eq!(counts.last(), Some(&4), "whole, everything acknowledged is there");
        assert!(counts.is_sorted(), "{counts:?}");
    }
}
