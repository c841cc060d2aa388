//! How the driver hands over decisions and samples: to a thread of its own, or written at once on the driver's own
//! thread.

use tokio::sync::mpsc;

use super::{Ack, Ledger, NewRecord, Notice, Sample, Writer};

/// Samples kept back to be written together.
const SAMPLE_BATCH: usize = 512;

/// Takes what is to be recorded. Answers come as [`Notice`]s, one for each submitted batch.
pub trait Recorder: Send {
    /// Hands over decisions to be written in one transaction. Never drops any.
    fn submit(&mut self, ticket: u64, batch: Vec<NewRecord>);

    /// Hands over a sample. Samples may be lost, decisions may not.
    fn sample(&mut self, sample: Sample);

    /// How many samples were not kept: no room, or no journal. They may be lost, but the loss is counted.
    fn samples_dropped(&self) -> u64;

    /// Gives up on a disk that does not answer: dropping the recorder no longer waits for it.
    fn abandon(&mut self) {}
}

impl Recorder for Writer {
    fn submit(&mut self, ticket: u64, batch: Vec<NewRecord>) {
        Writer::submit(self, ticket, batch);
    }

    fn sample(&mut self, sample: Sample) {
        Writer::sample(self, sample);
    }

    fn samples_dropped(&self) -> u64 {
        Writer::samples_dropped(self)
    }

    fn abandon(&mut self) {
        Writer::abandon(self);
    }
}

/// Writes at once, on the driver's own thread, and answers before it returns. For simulated time, which stands still
/// while the disk works: the same seed gives the same records in the same order.
pub struct Inline {
    ledger: Box<dyn Ledger>,
    notices: mpsc::UnboundedSender<Notice>,
    samples: Vec<Sample>,
    dropped: u64,
}

impl Inline {
    /// A recorder that writes to this ledger, and where its answers come.
    pub fn over(ledger: Box<dyn Ledger>) -> (Self, mpsc::UnboundedReceiver<Notice>) {
        let (notices, receiver) = mpsc::unbounded_channel();
        (Self { ledger, notices, samples: Vec::new(), dropped: 0 }, receiver)
    }

    fn flush(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let samples = std::mem::take(&mut self.samples);
        if let Err(error) = self.ledger.append_samples(&samples) {
            self.dropped += samples.len() as u64;
            // A driver that has gone needs no answer.
            let _ = self.notices.send(Notice::Ended(error));
        }
    }
}

impl Recorder for Inline {
    fn submit(&mut self, ticket: u64, batch: Vec<NewRecord>) {
        let result = self.ledger.append(&batch);
        let _ = self.notices.send(Notice::Ack(Ack { ticket, result }));
    }

    fn sample(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() >= SAMPLE_BATCH {
            self.flush();
        }
    }

    fn samples_dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.flush();
    }
}
