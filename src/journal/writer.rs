//! The journal's own thread: the driver hands decisions over and is told when they are durable,
//! and never waits for a disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::{JournalError, Ledger, NewRecord, Record, Sample};

/// Samples in one transaction, and so the most a decision can find itself behind.
const SAMPLE_BATCH: usize = 512;

/// Longest a sample waits for others to be written with.
const SAMPLE_WAIT: Duration = Duration::from_secs(1);

/// Samples waiting while the disk is slow; beyond it the oldest go.
const SAMPLE_ROOM: usize = 8 * SAMPLE_BATCH;

/// Decisions written in a row before housekeeping gets its turn.
const TIDY_EVERY: u32 = 64;

/// The answer to one [`Writer::submit`].
#[derive(Debug)]
pub struct Ack {
    /// The ticket it was submitted under.
    pub ticket: u64,
    /// The records, durable; or why they are not known to be.
    pub result: Result<Vec<Record>, JournalError>,
}

/// What the writer tells the driver.
#[derive(Debug)]
pub enum Notice {
    /// A batch was dealt with. In the order of submission.
    Ack(Ack),
    /// Something else than a decision could not be written (samples, housekeeping): the journal
    /// has ended, and every later ack will carry this error. Sent at most once.
    Ended(JournalError),
}

#[derive(Debug, Default)]
struct Queue {
    decisions: VecDeque<(u64, Vec<NewRecord>)>,
    samples: VecDeque<Sample>,
    /// When the oldest waiting sample came.
    since: Option<Instant>,
    dropped: u64,
    ended: bool,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    /// Held for queue work only, never while writing.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands work to the journal's thread. Dropping it writes what was handed over and waits for that, unless the thread
/// was [given up](Writer::abandon).
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. The receiver gives one [`Notice`] per submitted batch; when it gives
    /// `None` the writer is gone, which means that the journal is lost.
    pub fn spawn(ledger: Box<dyn Ledger>) -> std::io::Result<(Self, mpsc::UnboundedReceiver<Notice>)> {
        let shared = Arc::new(Shared::default());
        // Unbounded is bounded here: one notice per batch the driver itself submitted.
        let (notices, receiver) = mpsc::unbounded_channel();
        let worker = Worker { ledger, shared: Arc::clone(&shared), notices, since_tidy: 0 };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || worker.run())?;
        let writer = Self { shared, thread: Some(thread) };
        Ok((writer, receiver))
    }

    /// Hands over decisions to be written in one transaction. Never waits, never drops.
    pub fn submit(&self, ticket: u64, batch: Vec<NewRecord>) {
        self.shared.queue().decisions.push_back((ticket, batch));
        self.shared.changed.notify_one();
    }

    /// Hands over a sample, to be written within about a second. Never waits: when there is no
    /// room the oldest sample goes, and is counted.
    pub fn sample(&self, sample: Sample) {
        let mut queue = self.shared.queue();
        if queue.ended {
            queue.dropped += 1;
            return;
        }
        if queue.samples.len() >= SAMPLE_ROOM {
            queue.samples.pop_front();
            queue.dropped += 1;
        }
        queue.samples.push_back(sample);
        let first = queue.since.is_none();
        if first {
            queue.since = Some(Instant::now());
        }
        // In between no sample is due, so the thread need not wake for each.
        let wake = first || queue.samples.len() == SAMPLE_BATCH;
        drop(queue);
        if wake {
            self.shared.changed.notify_one();
        }
    }

    /// Samples that were given up: no room, or no journal.
    pub fn samples_dropped(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// Stops waiting for a thread whose disk hangs: dropping this no longer waits for it. What was handed over is
    /// written if the disk comes back before the process ends.
    pub fn abandon(&mut self) {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        drop(self.thread.take());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its thread, and the receiver has ended.
            let _ = thread.join();
        }
    }
}

enum Work {
    Decisions(u64, Vec<NewRecord>),
    Samples(Vec<Sample>),
    Tidy,
    Close,
}

struct Worker {
    ledger: Box<dyn Ledger>,
    shared: Arc<Shared>,
    notices: mpsc::UnboundedSender<Notice>,
    since_tidy: u32,
}

impl Worker {
    fn run(mut self) {
        loop {
            match self.next() {
                Work::Decisions(ticket, batch) => {
                    let begun = Instant::now();
                    let result = self.ledger.append(&batch);
                    match &result {
                        Ok(records) => debug!(ticket, records = records.len(), took = ?begun.elapsed(), "written"),
                        Err(error) => error!(ticket, why = %error, "facts are not written"),
                    }
                    self.shared.queue().ended |= result.is_err();
                    // The driver may have gone; what it decided is written all the same.
                    let _ = self.notices.send(Notice::Ack(Ack { ticket, result }));
                    self.since_tidy = self.since_tidy.saturating_add(1);
                }
                Work::Samples(samples) => {
                    let written = self.ledger.append_samples(&samples);
                    if written.is_err() {
                        self.shared.queue().dropped += samples.len() as u64;
                        warn!(samples = samples.len(), "samples are not written");
                    }
                    self.settle(written);
                    self.since_tidy = self.since_tidy.saturating_add(1);
                }
                Work::Tidy => {
                    self.since_tidy = 0;
                    let tidied = self.ledger.tidy();
                    self.settle(tidied);
                }
                Work::Close => return,
            }
        }
    }

    /// Tells the driver once that the journal has ended other than by a decision of its own.
    fn settle(&self, result: Result<(), JournalError>) {
        let Err(error) = result else { return };
        let mut queue = self.shared.queue();
        if std::mem::replace(&mut queue.ended, true) {
            return;
        }
        drop(queue);
        error!(why = %error, "the journal has ended");
        let _ = self.notices.send(Notice::Ended(error));
    }

    /// What to do next: decisions first, then samples that are due, then housekeeping.
    fn next(&self) -> Work {
        let mut queue = self.shared.queue();
        loop {
            if queue.ended && !queue.samples.is_empty() {
                queue.dropped += queue.samples.len() as u64;
                queue.samples.clear();
                queue.since = None;
            }
            if self.since_tidy >= TIDY_EVERY && !queue.ended {
                return Work::Tidy;
            }
            if let Some((ticket, batch)) = queue.decisions.pop_front() {
                return Work::Decisions(ticket, batch);
            }
            let wait = queue.since.map(|since| SAMPLE_WAIT.saturating_sub(since.elapsed()));
            let due = queue.samples.len() >= SAMPLE_BATCH || wait.is_some_and(|wait| wait.is_zero()) || queue.closing;
            if due && !queue.samples.is_empty() {
                let count = queue.samples.len().min(SAMPLE_BATCH);
                let batch = queue.samples.drain(..count).collect();
                queue.since = (!queue.samples.is_empty()).then(Instant::now);
                return Work::Samples(batch);
            }
            if queue.closing {
                return Work::Close;
            }
            if self.since_tidy > 0 && !queue.ended {
                return Work::Tidy;
            }
            queue = if let Some(wait) = wait {
                let woken = self.shared.changed.wait_timeout(queue, wait);
                woken.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let woken = self.shared.changed.wait(queue);
                woken.unwrap_or_else(PoisonError::into_inner)
            };
        }
    }
}
