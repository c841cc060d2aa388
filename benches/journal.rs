//! What a durable decision costs, beside a bare `SQLite` WAL/FULL insert on the same disk.
//!
//! `cargo bench --bench journal [-- ROUNDS]`. Set `GONOGO_BENCH_DIR` to measure another disk than
//! that of the temporary folder. The three ways take turns, so that a slow moment of the disk
//! falls on all of them. The promise: p50 of `append` within 1.5 times `bare`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at what it did not expect")]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use gonogo::journal::{Holder, Journal, Ledger, NewRecord, NewRun, Notice, RunId, Store, Writer, verify};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use rusqlite::{Connection, params};

/// As long as the records measured elsewhere for this design.
const BODY_BYTES: usize = 254;

fn main() {
    // `cargo bench` passes flags of its own.
    let rounds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2_000);
    let dir = std::env::var_os("GONOGO_BENCH_DIR").map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut bare = Bare::open(&dir.path().join("bare.db"));
    let mut journal = create(&store, 1);
    let (writer, mut notices) = Writer::spawn(Box::new(create(&store, 2))).unwrap();

    let mut times: [Histogram<u64>; 3] = std::array::from_fn(|_| Histogram::new(3).unwrap());
    for round in 0..rounds {
        for turn in 0..3 {
            // Six orders in turn: each way follows each other way equally often.
            let turn = if round % 2 == 0 { turn } else { 2 - turn };
            let way = usize::try_from((round / 2 + turn) % 3).unwrap();
            let record = record(round);
            let began = Instant::now();
            match way {
                0 => bare.insert(&record),
                1 => drop(journal.append(&[record]).unwrap()),
                _ => {
                    writer.submit(round, vec![record]);
                    let Some(Notice::Ack(ack)) = notices.blocking_recv() else {
                        return eprintln!("the journal ended");
                    };
                    ack.result.unwrap();
                }
            }
            let took = began.elapsed();
            times[way].record(took.as_nanos().try_into().unwrap()).unwrap();
        }
        journal.tidy().unwrap();
        bare.tidy(round);
    }
    let ms = |way: usize, quantile| Duration::from_nanos(times[way].value_at_quantile(quantile)).as_secs_f64() * 1e3;
    println!("{rounds} rounds of one {BODY_BYTES}-byte record each, in ms");
    for (way, name) in ["bare", "append", "writer"].into_iter().enumerate() {
        println!(
            "{name:8} p50 {:.3}  p99 {:.3}   x{:.2} / x{:.2} of bare",
            ms(way, 0.5),
            ms(way, 0.99),
            ms(way, 0.5) / ms(0, 0.5),
            ms(way, 0.99) / ms(0, 0.99),
        );
    }
    drop(journal);
    check_and_open(&store);
}

/// What a resume pays for checking the chain.
fn check_and_open(store: &Store) {
    let id = run(3);
    let mut journal = create(store, 3);
    let batch: Vec<NewRecord> = (0..10_000).map(record).collect();
    journal.append(&batch).unwrap();
    drop(journal);
    let reader = store.read_run(&id).unwrap();
    let began = Instant::now();
    assert!(verify(&reader, None).unwrap().is_intact());
    println!("verify of 10,000 records: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    drop(reader);
    let began = Instant::now();
    drop(store.open_run(&id, &holder()).unwrap());
    println!("open, check and close:    {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
}

/// The least that could be done: one table, one insert, a sync.
struct Bare(Connection);

impl Bare {
    fn open(path: &Path) -> Self {
        let conn = Connection::open(path).unwrap();
        conn.pragma_update(None, "journal_mode", "wal").unwrap();
        conn.pragma_update(None, "synchronous", "full").unwrap();
        conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        conn.execute_batch(
            "CREATE TABLE t (seq INTEGER PRIMARY KEY, at_ms INTEGER, kind TEXT, version INTEGER, body TEXT) STRICT",
        )
        .unwrap();
        Self(conn)
    }

    fn insert(&mut self, record: &NewRecord) {
        self.0
            .prepare_cached("INSERT INTO t (at_ms, kind, version, body) VALUES (?1, ?2, ?3, ?4)")
            .unwrap()
            .execute(params![record.at_ms, record.kind, record.version, record.body])
            .unwrap();
    }

    /// Outside the measured time, as ours is.
    fn tidy(&self, round: u64) {
        if round % 128 == 127 {
            self.0.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
    }
}

fn run(n: u16) -> RunId {
    RunId::new(Timestamp::UNIX_EPOCH, n)
}

fn holder() -> Holder {
    Holder::this_process("bench", Timestamp::now())
}

fn create(store: &Store, n: u16) -> Journal {
    let new = NewRun {
        created_at: Timestamp::now(),
        title: "bench".to_owned(),
        runbook: Vec::new(),
        labels: BTreeMap::new(),
    };
    store.create_run(&run(n), &new, &holder()).unwrap()
}

fn record(n: u64) -> NewRecord {
    NewRecord {
        at_ms: n.cast_signed(),
        kind: "step_started".to_owned(),
        version: 1,
        body: format!("\"{}\"", "x".repeat(BODY_BYTES - 2)),
    }
}
