//! Makes a run to measure the cockpit with: a runbook of many steps and a journal of many records.
//!
//! `cargo run --release --example long_run -- DIR [STEPS [RECORDS [PROBES]]]`, then
//! `gonogo --state-dir DIR resume` is what is measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use gonogo::core::fact::{FACT_VERSION, Fact, Mode};
use gonogo::core::ids::Who;
use gonogo::core::time::Span;
use gonogo::journal::{Holder, Ledger, NewRecord, NewRun, RunId, Store};
use gonogo::runbook::{Options, load_str};
use jiff::Timestamp;

/// A runbook of `steps` checklists and one that prints without end, watched by `probes` probes at 1/s.
fn runbook(steps: usize, probes: usize) -> String {
    let mut text = "title: A long run\nprobes:\n".to_owned();
    for at in 0..probes {
        writeln!(text, "  port{at}: {{ kind: tcp, address: \"127.0.0.1:9\", every: 1s }}").unwrap_or_default();
    }
    if probes == 0 {
        text = text.replace("probes:\n", "");
    }
    text.push_str("phases:\n  - title: All of it\n    steps:\n");
    text.push_str("      - id: flood\n        title: Print without end\n        needs: []\n        action:\n");
    text.push_str("          command: { run: \"yes 'a line of output that is as long as lines are' | head -c 100G\", limit: 1h }\n        reversibility: free\n");
    for at in 1..steps {
        writeln!(
            text,
            "      - id: step-{at}\n        title: Step number {at} of a long run\n        expect: 1m\n        action:\n          manual: [\"do it\"]"
        )
        .unwrap_or_default();
    }
    text
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("say where: long_run DIR [STEPS [RECORDS [PROBES]]]")?;
    let mut number = |or: usize| args.next().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (steps, records, probes) = (number(500), number(10_000), number(0));
    let source = runbook(steps, probes);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(Path::new(&dir).join("long.yaml"), &source)?;
    let plan = load_str("long.yaml", source.clone(), &Options::default())?.plan;
    let now = Timestamp::now();
    let id = RunId::new(now, 0x1096);
    let holder = Holder::this_process("long_run", now);
    let new =
        NewRun { created_at: now, title: plan.title.clone(), runbook: source.into_bytes(), labels: BTreeMap::new() };
    let mut journal = Store::open(Path::new(&dir))?.create_run(&id, &new, &holder)?;
    let by = Who("ana@bastion".to_owned());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut facts = vec![
        Fact::RunOpened {
            mode: Mode::Lab,
            title: plan.title,
            profile: None,
            plan: plan.digest,
            by: by.clone(),
            version,
        },
        Fact::DriverArrived { by: by.clone(), epoch: 1, away: Span::ZERO },
    ];
    facts
        .extend((facts.len()..records).map(|at| Fact::NoteAdded { by: by.clone(), text: format!("note number {at}") }));
    for batch in facts.chunks(500) {
        let batch: Vec<NewRecord> = batch
            .iter()
            .map(|fact| {
                let (at_ms, kind) = (now.as_millisecond(), fact.kind().to_owned());
                Ok(NewRecord { at_ms, kind, version: FACT_VERSION, body: fact.encode()? })
            })
            .collect::<Result<_, serde_json::Error>>()?;
        journal.append(&batch)?;
    }
    println!("{id}: {steps} steps, {records} records, {probes} probes");
    Ok(())
}
