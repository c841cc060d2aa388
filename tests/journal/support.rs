//! What the journal's tests share: a state folder that goes away, records to write, and a plain
//! connection to do damage with.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;

use gonogo::journal::{Holder, Journal, NewRecord, NewRun, Record, RunId, Store};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

/// A state folder that goes away with the test.
pub struct State {
    pub dir: TempDir,
    pub store: Store,
}

impl State {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        Self { dir, store }
    }

    pub fn create(&self) -> Journal {
        self.store.create_run(&run(), &new_run(), &me()).unwrap()
    }

    /// What is in the folder of all runs, hidden or not.
    pub fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("state/runs")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A connection that obeys none of our rules.
    pub fn raw(&self) -> Connection {
        let dir = self.store.read_run(&run()).unwrap().dir().clone();
        Connection::open(dir.journal()).unwrap()
    }

    pub fn records(&self) -> Vec<Record> {
        let reader = self.store.read_run(&run()).unwrap();
        reader.records(1).map(Result::unwrap).collect()
    }
}

pub fn run() -> RunId {
    "20261124-0214-7f3a".parse().unwrap()
}

pub fn new_run() -> NewRun {
    NewRun {
        created_at: "2026-11-24T02:14:07Z".parse().unwrap(),
        title: "Move the shop".into(),
        runbook: b"title: Move the shop\n".to_vec(),
        labels: BTreeMap::from([("mode".into(), "lab".into())]),
    }
}

pub fn me() -> Holder {
    Holder { user: "ana".into(), ..Holder::this_process("gonogo run", Timestamp::now()) }
}

pub fn new_record(n: u64) -> NewRecord {
    NewRecord {
        at_ms: 1_795_486_447_000 + n.cast_signed(),
        kind: format!("kind{}", n % 3),
        version: 1,
        body: format!(r#"{{"n":{n}}}"#),
    }
}
