//! Every change to a run's record is found and named.

use gonogo::journal::{Damage, HeadFile, Ledger, NotedHead, VerifyReport, verify};
use proptest::prelude::*;
use rusqlite::params;

use super::support::{State, new_record, run};

const RECORDS: u64 = 9;

/// A closed journal of nine records.
fn filled() -> State {
    let state = State::new();
    let mut journal = state.create();
    for n in 1..=RECORDS {
        journal.append(&[new_record(n)]).unwrap();
    }
    state
}

fn check(state: &State) -> VerifyReport {
    verify(&state.store.read_run(&run()).unwrap(), None).unwrap()
}

/// Runs statements directly on the database, past the journal, and verifies.
fn after(statements: &str) -> Vec<Damage> {
    let state = filled();
    state.raw().execute_batch(statements).unwrap();
    let report = check(&state);
    let refused = state.store.open_run(&run(), &super::support::me());
    assert_eq!(refused.is_err(), !report.is_intact(), "{report}");
    report.findings
}

#[test]
fn an_untouched_journal_is_intact() {
    let state = filled();
    let report = check(&state);
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.records, report.head_file.clone()), (RECORDS, HeadFile::Current));
    let last = state.records().pop().unwrap();
    assert_eq!(report.to_string(), format!("run 20261124-0214-7f3a: chain intact, 9 records, head {}", last.hash));
}

#[test]
fn an_empty_journal_is_intact() {
    let state = State::new();
    drop(state.create());
    let report = check(&state);
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.records, 0);
}

#[test]
fn every_single_edit_is_found_and_named() {
    for change in [
        "body = body || ' '",
        "at_ms = at_ms + 1",
        "kind = 'other'",
        "version = 2",
        "hash = zeroblob(32)",
        "body = '\u{1b}[2J'",
    ] {
        for seq in 1..=RECORDS {
            let findings = after(&format!("UPDATE decisions SET {change} WHERE seq = {seq}"));
            assert_eq!(findings, [Damage::Edited { seq: seq.cast_signed() }], "{change} at {seq}");
        }
    }
}

#[test]
fn every_single_deletion_is_found_and_named() {
    for seq in 1..RECORDS.cast_signed() {
        let findings = after(&format!("DELETE FROM decisions WHERE seq = {seq}"));
        assert_eq!(findings, [Damage::Missing { from: seq, to: seq }]);
    }
    assert_eq!(after("DELETE FROM decisions WHERE seq BETWEEN 3 AND 5"), [Damage::Missing { from: 3, to: 5 }]);
    assert_eq!(
        after("DELETE FROM decisions WHERE seq IN (2, 6)"),
        [Damage::Missing { from: 2, to: 2 }, Damage::Missing { from: 6, to: 6 }]
    );
}

#[test]
fn a_deletion_hidden_by_renumbering_is_found() {
    for seq in 1..RECORDS.cast_signed() - 1 {
        let findings = after(&format!(
            "DELETE FROM decisions WHERE seq = {seq};
             UPDATE decisions SET seq = -seq WHERE seq > {seq};
             UPDATE decisions SET seq = -seq - 1 WHERE seq < 0;"
        ));
        assert_eq!(findings[0], Damage::Missing { from: seq, to: seq }, "{findings:?}");
    }
}

#[test]
fn records_cut_off_the_end_are_missed_by_the_head_file() {
    for seq in 1..=RECORDS {
        let findings = after(&format!("DELETE FROM decisions WHERE seq >= {seq}"));
        assert_eq!(findings, [Damage::Truncated { from: seq, to: RECORDS }]);
    }
}

#[test]
fn records_cut_off_together_with_the_head_file_are_missed_by_a_noted_head() {
    let state = filled();
    let records = state.records();
    state.raw().execute("DELETE FROM decisions WHERE seq > 6", []).unwrap();
    let reader = state.store.read_run(&run()).unwrap();
    std::fs::remove_file(reader.dir().path().join("head")).unwrap();
    let blind = verify(&reader, None).unwrap();
    assert!(blind.is_intact() && blind.head_file == HeadFile::Absent, "{blind}");
    assert!(blind.to_string().contains("no head file"), "{blind}");
    let noted = NotedHead::from(records[8].hash);
    let report = verify(&reader, Some(&noted)).unwrap();
    assert_eq!(report.findings, [Damage::HeadNotFound(noted)]);
    let earlier: NotedHead = records[3].hash.short().parse().unwrap();
    let report = verify(&reader, Some(&earlier)).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.expected_at, Some(4));
}

#[test]
fn every_swap_is_found_and_named() {
    for one in 1..RECORDS.cast_signed() {
        for other in one + 1..=RECORDS.cast_signed() {
            let findings = after(&format!(
                "UPDATE decisions SET seq = -1 WHERE seq = {one};
                 UPDATE decisions SET seq = {one} WHERE seq = {other};
                 UPDATE decisions SET seq = {other} WHERE seq = -1;"
            ));
            assert_eq!(
                findings,
                [Damage::Reordered { seq: one, found_at: other }, Damage::Reordered { seq: other, found_at: one }]
            );
        }
    }
}

#[test]
fn an_insertion_is_found_and_named() {
    for seq in 1..=RECORDS.cast_signed() {
        let findings = after(&format!(
            "UPDATE decisions SET seq = -seq WHERE seq >= {seq};
             UPDATE decisions SET seq = -seq + 1 WHERE seq < 0;
             INSERT INTO decisions SELECT {seq}, at_ms, 'forged', version, body, hash
                 FROM decisions WHERE seq > {seq} LIMIT 1;"
        ));
        assert_eq!(findings, [Damage::Inserted { seq }]);
    }
}

#[test]
fn numbers_no_run_has_are_found_without_overflow() {
    for seq in [0, -1, i64::MIN, i64::MAX, i64::MAX - 1] {
        let findings = after(&format!(
            "INSERT INTO decisions SELECT {seq}, at_ms, kind, version, body, hash FROM decisions WHERE seq = 4"
        ));
        assert!(findings.contains(&Damage::Inserted { seq }), "{seq}: {findings:?}");
    }
    for seq in [0, i64::MIN, i64::MAX] {
        let findings = after(&format!("UPDATE decisions SET seq = {seq} WHERE seq = 4"));
        assert_eq!(findings, [Damage::Reordered { seq: 4, found_at: seq }]);
    }
}

#[test]
fn a_chain_written_anew_with_right_hashes_shows_against_the_head_file() {
    let state = filled();
    let dir = state.store.read_run(&run()).unwrap().dir().clone();
    let head_file = std::fs::read(dir.path().join("head")).unwrap();
    let raw = state.raw();
    raw.execute("DELETE FROM decisions WHERE seq >= 5", []).unwrap();
    std::fs::remove_file(dir.path().join("head")).unwrap();
    let mut journal = state.store.open_run(&run(), &super::support::me()).unwrap();
    for n in 5..=RECORDS {
        journal.append(&[new_record(n + 100)]).unwrap();
    }
    drop(journal);
    std::fs::write(dir.path().join("head"), head_file).unwrap();
    let findings = check(&state).findings;
    assert!(matches!(findings[..], [Damage::Rewritten { seq: 9, .. }]), "{findings:?}");
}

#[test]
fn a_record_replaced_with_a_right_hash_breaks_the_next() {
    let state = filled();
    // A forger who knows the format: another run of the same name gives the right hash.
    let other = State::new();
    let mut journal = other.create();
    for n in 1..=4 {
        journal.append(&[new_record(n)]).unwrap();
    }
    let forged = journal.append(&[new_record(500)]).unwrap().remove(0);
    state
        .raw()
        .execute(
            "UPDATE decisions SET at_ms = ?1, kind = ?2, body = ?3, hash = ?4 WHERE seq = 5",
            params![forged.at_ms, forged.kind, forged.body, forged.hash.as_bytes()],
        )
        .unwrap();
    let findings = check(&state).findings;
    assert_eq!(findings, [Damage::Edited { seq: 6 }]);
    assert!(findings[0].to_string().contains("record 5 was replaced"), "{}", findings[0]);
}

#[test]
fn records_of_another_run_do_not_fit() {
    let state = filled();
    let id = "20261124-0300-0001".parse().unwrap();
    let store = &state.store;
    drop(store.create_run(&id, &super::support::new_run(), &super::support::me()).unwrap());
    let from = store.read_run(&run()).unwrap().dir().journal();
    let reader = store.read_run(&id).unwrap();
    let raw = rusqlite::Connection::open(reader.dir().journal()).unwrap();
    raw.execute("ATTACH ?1 AS other", [from.to_str().unwrap()]).unwrap();
    raw.execute("INSERT INTO decisions SELECT * FROM other.decisions", []).unwrap();
    let report = verify(&reader, None).unwrap();
    assert_eq!(report.findings, [Damage::Edited { seq: 1 }]);
}

#[test]
fn a_changed_runbook_is_found() {
    let findings = after("UPDATE blobs SET body = CAST('title: other' AS BLOB) WHERE name = 'runbook'");
    assert_eq!(findings, [Damage::Runbook]);
}

/// Saving the copy in an editor must not make a run impossible to drive.
#[test]
fn a_changed_copy_of_the_runbook_is_a_finding_and_no_reason_not_to_drive() {
    let state = filled();
    let dir = state.store.read_run(&run()).unwrap().dir().clone();
    std::fs::write(dir.runbook(), "title: other").unwrap();
    let report = check(&state);
    assert_eq!(report.findings, [Damage::RunbookCopy]);
    let told = report.to_string();
    assert!(told.contains("chain intact") && told.contains("delete the file or put it back"), "{told}");
    let mut journal = state.store.open_run(&run(), &super::support::me()).unwrap();
    assert!(journal.warning().is_some_and(|warning| warning.contains("runbook.yaml")), "{:?}", journal.warning());
    journal.append(&[new_record(RECORDS + 1)]).unwrap();
    drop(journal);
    std::fs::remove_file(dir.runbook()).unwrap();
    assert!(check(&state).is_intact());
    assert_eq!(state.store.open_run(&run(), &super::support::me()).unwrap().warning(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever a few statements do to the rows, either nothing changed or it is found.
    #[test]
    fn no_combination_of_changes_goes_unseen(
        changes in prop::collection::vec((0..5_u8, 1..=RECORDS, 1..=RECORDS), 1..5)
    ) {
        let state = filled();
        let before = state.records();
        let raw = state.raw();
        for (what, one, other) in changes {
            let statement = match what {
                0 => format!("DELETE FROM decisions WHERE seq = {one}"),
                1 => format!("UPDATE OR IGNORE decisions SET seq = {one} WHERE seq = {other}"),
                2 => format!("UPDATE decisions SET body = 'x{other}' WHERE seq = {one}"),
                3 => format!("INSERT OR IGNORE INTO decisions SELECT {one}, at_ms, kind, version, body, hash FROM decisions WHERE seq = {other}"),
                _ => format!("UPDATE OR REPLACE decisions SET seq = -seq - 1 WHERE seq = {one}; UPDATE OR REPLACE decisions SET seq = {other} WHERE seq < 0"),
            };
            raw.execute_batch(&statement).unwrap();
        }
        let same = raw
            .prepare("SELECT seq, body, hash FROM decisions ORDER BY seq").unwrap()
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, [u8; 32]>(2)?))).unwrap()
            .map(Result::unwrap)
            .eq(before.iter().map(|record| (record.seq.cast_signed(), record.body.clone(), *record.hash.as_bytes())));
        let report = check(&state);
        prop_assert_eq!(report.is_intact(), same, "{}", report);
    }
}
