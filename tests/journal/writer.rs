//! The journal's thread: order, durability of what is acknowledged, and samples that are dropped under load.

use std::sync::mpsc::{Receiver, Sender, channel};

use gonogo::journal::{
    Ack, Head, JournalError, Ledger, NewRecord, Notice, Record, Sample, Writer,
    memory::{FailAt, FaultyLedger, MemoryLedger, MemoryView},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::support::{State, me, new_record, run};

fn ack(notices: &mut UnboundedReceiver<Notice>) -> Ack {
    match notices.blocking_recv() {
        Some(Notice::Ack(ack)) => ack,
        other => panic!("expected an ack, got {other:?}"),
    }
}

fn sample(n: i64) -> Sample {
    Sample { at_ms: n, source: "lag".into(), body: "1".into() }
}

/// A ledger that says when a write begins and waits to be let through.
struct Gated {
    inner: MemoryLedger,
    begun: Sender<&'static str>,
    go: Receiver<()>,
}

impl Gated {
    fn new() -> (Self, MemoryView, Receiver<&'static str>, Sender<()>) {
        let inner = MemoryLedger::new(&run());
        let view = inner.view();
        let ((begun, starts), (gate, go)) = (channel(), channel());
        (Self { inner, begun, go }, view, starts, gate)
    }

    fn pass(&self, what: &'static str) {
        // Once the test has let go of its ends everything passes.
        let _ = self.begun.send(what);
        let _ = self.go.recv();
    }
}

impl Ledger for Gated {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.pass("decisions");
        self.inner.append(batch)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        self.pass("samples");
        self.inner.append_samples(samples)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }
}

#[test]
fn decisions_are_acknowledged_in_order_and_are_on_disk() {
    let state = State::new();
    let (writer, mut notices) = Writer::spawn(Box::new(state.create())).unwrap();
    for ticket in 1..=50 {
        writer.submit(ticket, vec![new_record(ticket)]);
        writer.sample(sample(ticket.cast_signed()));
    }
    for ticket in 1..=50 {
        let ack = ack(&mut notices);
        assert_eq!(ack.ticket, ticket);
        let record = ack.result.unwrap().remove(0);
        assert_eq!(record.seq, ticket);
        // A reader sees it now, not later.
        let reader = state.store.read_run(&run()).unwrap();
        assert_eq!(reader.records(ticket).next().unwrap().unwrap(), record);
    }
    assert!(state.store.open_run(&run(), &me()).is_err(), "still driven");
    drop(writer);
    assert!(notices.blocking_recv().is_none());
    let reader = state.store.read_run(&run()).unwrap();
    assert_eq!(reader.samples("lag", 0..100).unwrap().len(), 50);
    drop(state.store.open_run(&run(), &me()).unwrap());
}

#[test]
fn under_pressure_the_oldest_samples_go_and_no_decision_does() {
    let (ledger, view, starts, gate) = Gated::new();
    let (writer, mut notices) = Writer::spawn(Box::new(ledger)).unwrap();
    writer.submit(0, vec![new_record(0)]);
    assert_eq!(starts.recv(), Ok("decisions"));
    // The disk hangs from here on, and submitting does not.
    for n in 0..10_000 {
        writer.sample(sample(n));
    }
    for ticket in 1..=100 {
        writer.submit(ticket, vec![new_record(ticket)]);
    }
    assert_eq!(writer.samples_dropped(), 10_000 - 4096);
    drop((gate, starts));
    for ticket in 0..=100 {
        assert_eq!(ack(&mut notices).ticket, ticket);
    }
    drop(writer);
    let contents = view.contents();
    assert_eq!(contents.records.len(), 101);
    let kept: Vec<i64> = contents.samples.iter().map(|sample| sample.at_ms).collect();
    assert!(kept.iter().copied().eq(10_000 - 4096..10_000));
}

#[test]
fn a_decision_waits_for_one_batch_of_samples_at_most() {
    let (ledger, view, starts, gate) = Gated::new();
    let (writer, mut notices) = Writer::spawn(Box::new(ledger)).unwrap();
    for n in 0..2_000 {
        writer.sample(sample(n));
    }
    assert_eq!(starts.recv(), Ok("samples"));
    writer.submit(1, vec![new_record(1)]);
    gate.send(()).unwrap();
    assert_eq!(starts.recv(), Ok("decisions"));
    assert!(view.contents().samples.len() <= 512);
    drop((gate, starts));
    assert_eq!(ack(&mut notices).ticket, 1);
    drop(writer);
    assert_eq!(view.contents().samples.len(), 2_000);
}

#[test]
fn a_lone_sample_is_written_without_anything_else_happening() {
    let (ledger, view, starts, gate) = Gated::new();
    let (writer, _notices) = Writer::spawn(Box::new(ledger)).unwrap();
    writer.sample(sample(7));
    assert_eq!(starts.recv(), Ok("samples"));
    drop((gate, starts));
    drop(writer);
    assert_eq!(view.contents().samples, [sample(7)]);
}

#[test]
fn after_a_failed_append_every_ack_carries_the_first_error() {
    for (fail_at, stored) in [(FailAt::Append(3), 2), (FailAt::AfterAppend(3), 3)] {
        let inner = MemoryLedger::new(&run());
        let view = inner.view();
        let faulty = FaultyLedger::new(inner, fail_at);
        let (writer, mut notices) = Writer::spawn(Box::new(faulty)).unwrap();
        for ticket in 1..=6 {
            writer.submit(ticket, vec![new_record(ticket)]);
        }
        let results: Vec<_> = (1..=6).map(|_| ack(&mut notices).result).collect();
        assert!(results[..2].iter().all(Result::is_ok));
        let first = results[2].as_ref().unwrap_err();
        assert!(matches!(first, JournalError::Faulted(_)) && first.to_string().contains("decision 3"), "{first}");
        for later in &results[3..] {
            assert_eq!(later.as_ref().unwrap_err().to_string(), first.to_string());
        }
        writer.sample(sample(1));
        assert_eq!(writer.samples_dropped(), 1);
        drop(writer);
        let contents = view.contents();
        assert_eq!((contents.records.len(), contents.samples.len()), (stored, 0));
    }
}

#[test]
fn a_failure_with_samples_is_told_at_once_and_once() {
    let faulty = FaultyLedger::new(MemoryLedger::new(&run()), FailAt::Samples(1));
    let (writer, mut notices) = Writer::spawn(Box::new(faulty)).unwrap();
    for n in 0..512 {
        writer.sample(sample(n));
    }
    let Some(Notice::Ended(error)) = notices.blocking_recv() else {
        panic!("not told");
    };
    assert!(error.to_string().contains("writing samples"), "{error}");
    writer.submit(1, vec![new_record(1)]);
    assert!(ack(&mut notices).result.is_err());
    drop(writer);
    assert!(notices.blocking_recv().is_none());
}
