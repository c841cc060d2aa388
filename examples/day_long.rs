//! Makes a recorded run of 24 hours with a million samples, replays it and says what that costs.
//!
//! `cargo run --release --example day_long -- DIR [SAMPLES]` makes the run (once) and measures: the time to open it,
//! the times to go to places all over it, and the memory that is resident afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use gonogo::core::board::Board;
use gonogo::core::fact::{FACT_VERSION, Fact, Mode};
use gonogo::core::ids::Who;
use gonogo::core::moves::Moves;
use gonogo::core::reading::Reading;
use gonogo::core::server::Servers;
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::journal::{Holder, Ledger, NewRecord, NewRun, RunId, Store};
use gonogo::replay::{Recording, Replay};
use gonogo::runbook::{Options, load_str};
use gonogo::sample_log::SampleLog;
use gonogo::screen::{UiState, project};
use gonogo::session::RunSession;
use jiff::Timestamp;

const RUNBOOK: &str = include_str!("../runbook.yaml");
const DAY_MS: u64 = 86_400_000;

type Failure = Box<dyn std::error::Error>;

fn options() -> Options {
    Options { profile: Some("lab".to_owned()), set: Vec::new() }
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("say where: day_long DIR [SAMPLES]")?;
    let samples: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let id: RunId = "20261124-0200-0da1".parse()?;
    let store = Store::open(Path::new(&dir))?;
    if !store.list()?.iter().any(|run| run.id == id) {
        let began = Instant::now();
        make(&store, &id, samples)?;
        println!("made in {:.1?}", began.elapsed());
    }
    measure(&store, &id)
}

/// What probes of a kind see; some like the numbers that are drawn.
fn seen(probe: &str, wave: f64) -> Value {
    let side = || {
        Value::map([
            ("last", Value::Float(wave)),
            ("p50", Value::Float(wave)),
            ("p95", Value::Float(wave * 1.5)),
            ("errors", Value::Float(0.0)),
            ("samples", Value::Int(60)),
        ])
    };
    match probe {
        "latency" => Value::map([("old", side()), ("new", side())]),
        "lag" => Value::map([
            ("state", Value::from("streaming")),
            ("streaming", Value::Bool(true)),
            ("seconds", Value::Float(wave / 1_000.0)),
            ("bytes", Value::Int(224)),
            ("tables", Value::Int(5)),
            ("tables_ready", Value::Int(5)),
            ("oldest_transaction_s", Value::Float(0.2)),
        ]),
        _ => Value::map([("failed", Value::Int(0)), ("longest_pause_ms", Value::Float(wave))]),
    }
}

fn make(store: &Store, id: &RunId, samples: u64) -> Result<(), Failure> {
    let plan = load_str("runbook.yaml", RUNBOOK, &options())?.plan;
    let now: Timestamp = "2026-11-24T02:00:00Z".parse()?;
    let start = At(now.as_millisecond());
    let labels = BTreeMap::from([("profile".to_owned(), "lab".to_owned())]);
    let new = NewRun { created_at: now, title: plan.title.clone(), runbook: RUNBOOK.as_bytes().to_vec(), labels };
    let mut journal = store.create_run(id, &new, &Holder::this_process("day_long", now))?;
    let by = Who("ana@bastion".to_owned());
    let mut samples_made = SampleLog::new(0, start);
    let (run, mut board) = (Run::default(), Board::new(&plan, start));
    journal.append_samples(&samples_made.opened(start, &board).into_iter().collect::<Vec<_>>())?;
    let opened = Fact::RunOpened {
        mode: Mode::Lab,
        title: plan.title.clone(),
        profile: plan.profile.clone(),
        plan: plan.digest.clone(),
        by: by.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let arrived = Fact::DriverArrived { by: by.clone(), epoch: 1, away: Span::ZERO };
    let note = Fact::NoteAdded { by, text: "all is well".to_owned() };
    let record = |at: At, fact: &Fact| -> Result<NewRecord, Failure> {
        Ok(NewRecord { at_ms: at.0, kind: fact.kind().to_owned(), version: FACT_VERSION, body: fact.encode()? })
    };
    let last = journal.append(&[record(start, &opened)?, record(start, &arrived)?])?;
    samples_made.durable(last.last().map_or(0, |record| record.seq));
    let probes: Vec<_> = plan.probes.keys().cloned().collect();
    let mut batch = Vec::new();
    for (count, probe) in (0..samples).zip(probes.iter().cycle()) {
        let at = start.plus(Span(count * DAY_MS / samples));
        let wave = f64::from(u32::try_from(count % 97)?);
        let reading = Reading {
            probe: probe.clone(),
            at,
            took: Span(3),
            as_of: None,
            result: Ok(seen(probe.as_str(), wave)),
            servers: Servers::new(),
            moves: Moves::default(),
        };
        let arrived = at.plus(Span(4));
        batch.extend(samples_made.reading(arrived, &reading, None));
        board.observe(&plan, &run, arrived, &reading);
        batch.extend(samples_made.board(arrived, &board));
        if batch.len() >= 500 {
            journal.append_samples(&std::mem::take(&mut batch))?;
            journal.tidy()?;
        }
        // A fact every half a minute.
        if count % (samples / 2_880).max(1) == 0 {
            let last = journal.append(&[record(arrived, &note)?])?;
            samples_made.durable(last.last().map_or(0, |record| record.seq));
        }
    }
    journal.append_samples(&batch)?;
    Ok(())
}

fn measure(store: &Store, id: &RunId) -> Result<(), Failure> {
    let began = Instant::now();
    let reader = store.read_run(id)?;
    let plan = load_str("runbook.yaml", RUNBOOK, &options())?.plan;
    let recording = Recording::open(reader, plan)?;
    let (opened, last) = (recording.opened(), recording.last());
    let mut replay = Replay::new(recording, Who("ana@bastion".to_owned()))?;
    let ui = UiState::default();
    let _ = project(&replay.context(&ui, "0da1", false));
    println!("opened in {:.0?}, {last} facts, notes {:?}", began.elapsed(), replay.recording().notes());
    let mut times = Vec::new();
    let mut went = |replay: &mut Replay, place: &str| -> Result<(), Failure> {
        let began = Instant::now();
        replay.go(place)?;
        let _ = project(&replay.context(&ui, "0da1", false));
        times.push(began.elapsed());
        Ok(())
    };
    // All over the day, in no order: 7919 is prime to the number of seconds.
    for step in 1..=300_u64 {
        let secs = step * 7_919 % 86_390;
        went(&mut replay, &format!("T+{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60))?;
        went(&mut replay, &(step * 7_919 % last + 1).to_string())?;
    }
    times.sort_unstable();
    let of = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or(Duration::ZERO);
    println!("seek: median {:.1?}, 99 % {:.1?}, worst {:.1?} of {}", of(50), of(99), of(100), times.len());
    let began = Instant::now();
    replay.go_to(opened)?;
    replay.play_to(opened.plus(Span::secs(300)))?;
    println!("five minutes played in {:.1?}", began.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("{line}");
    }
    Ok(())
}
