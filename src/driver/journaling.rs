//! Journaling: the driver's side of the journal. Facts and samples go out, acknowledgements come in.

use tokio::sync::mpsc;

use crate::core::board::Board;
use crate::core::fact::FACT_VERSION;
use crate::core::input::Decision;
use crate::core::reading::Reading;
use crate::core::time::At;
use crate::history::Line;
use crate::journal::{Digest, NewRecord, Notice, Record, Recorder, Sample};
use crate::sample_log::SampleLog;

/// Hands facts and samples to the journal and waits for its answers.
pub(super) struct Journaling {
    recorder: Box<dyn Recorder>,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// Whether the journal's thread has ended.
    ended: bool,
    samples: SampleLog,
    head: Option<Digest>,
}

impl Journaling {
    /// Begins behind fact number `after`, whose hash is `head`.
    pub(super) fn new(
        (recorder, notices): (impl Recorder + 'static, mpsc::UnboundedReceiver<Notice>),
        after: u64,
        head: Option<Digest>,
        now: At,
    ) -> Self {
        Self { recorder: Box::new(recorder), notices, ended: false, samples: SampleLog::new(after, now), head }
    }

    /// Hands the facts of a decision over, to be written in one transaction. The answer is a [`Notice`] with this ticket.
    ///
    /// # Errors
    ///
    /// When a fact cannot be written as JSON; then nothing is handed over.
    pub(super) fn submit(&mut self, ticket: u64, at: At, decision: &Decision) -> Result<(), String> {
        let mut batch = Vec::with_capacity(decision.facts.len());
        for fact in &decision.facts {
            let kind = fact.kind();
            let body = fact.encode().map_err(|error| format!("a {kind} cannot be written as JSON: {error}"))?;
            batch.push(NewRecord { at_ms: at.0, kind: kind.to_owned(), version: FACT_VERSION, body });
        }
        self.recorder.submit(ticket, batch);
        self.samples.decided();
        Ok(())
    }

    /// Waits for what the journal says next; `None` once, when its thread has ended. Cancel safe.
    pub(super) async fn notice(&mut self) -> Option<Notice> {
        let notice = self.notices.recv().await;
        self.ended |= notice.is_none();
        notice
    }

    /// What the journal has said already.
    pub(super) fn said(&mut self) -> Option<Notice> {
        self.notices.try_recv().ok()
    }

    /// Whether the journal's thread has ended: then there is nothing to wait for.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Notes that a fact is durable.
    pub(super) fn durable(&mut self, record: &Record) {
        self.head = Some(record.hash);
        self.samples.durable(record.seq);
    }

    /// Keeps the board with which the driver begins.
    pub(super) fn opened(&mut self, now: At, board: &Board) {
        let sample = self.samples.opened(now, board);
        self.keep(sample);
    }

    /// Keeps a reading.
    pub(super) fn reading(&mut self, now: At, reading: &Reading) {
        let sample = self.samples.reading(now, reading, None);
        self.keep(sample);
    }

    /// Keeps the readings of a quiet time.
    pub(super) fn quiet_time(&mut self, now: At, readings: &[Reading]) {
        for (left, reading) in (0..readings.len()).rev().zip(readings) {
            let sample = self.samples.reading(now, reading, u32::try_from(left).ok());
            self.keep(sample);
        }
    }

    /// Keeps the board if enough readings have come since it was kept last.
    pub(super) fn board(&mut self, now: At, board: &Board) {
        let sample = self.samples.board(now, board);
        self.keep(sample);
    }

    /// Keeps a board that did not come about by readings.
    pub(super) fn new_board(&mut self, now: At, board: &Board) {
        let sample = self.samples.board_anew(now, board);
        self.keep(sample);
    }

    /// Notes that a job printed a line.
    pub(super) fn line(&mut self, line: &Line) {
        self.samples.line(line);
    }

    /// Notes that so many lines came faster than they could be shown.
    pub(super) fn lines_dropped(&mut self, lines: u64) {
        self.samples.dropped(lines);
    }

    /// Keeps all lines printed so far.
    pub(super) fn output(&mut self, now: At) {
        let sample = self.samples.output(now);
        self.keep(sample);
    }

    /// Keeps the lines printed so far when it is time to; says how many samples in all could not be kept.
    pub(super) fn output_in_time(&mut self, now: At) -> u64 {
        let dropped = self.recorder.samples_dropped();
        self.samples.unkept(dropped);
        let sample = self.samples.output_in_time(now);
        self.keep(sample);
        dropped
    }

    /// Gives up on a journal that does not answer: dropping it no longer waits for the disk.
    pub(super) fn abandon(&mut self) {
        self.recorder.abandon();
    }

    /// Hash of the newest durable fact.
    pub(super) fn head(&self) -> Option<&Digest> {
        self.head.as_ref()
    }

    fn keep(&mut self, sample: Option<Sample>) {
        if let Some(sample) = sample {
            self.recorder.sample(sample);
        }
    }
}
