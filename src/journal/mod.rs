//! The durable record of a run.
//!
//! Owns: the state directory, one folder per run, the lock that keeps a run to one driver, the
//! append-only chain of decisions, the samples beside it, and the check that nobody changed them.
//!
//! Must not: know what a decision means. The core encodes each fact as (kind, version, JSON body);
//! here that is text to be kept byte for byte.
//!
//! What is promised:
//! * A record that was acknowledged survives `kill -9` and, as far as the disk obeys, power loss.
//! * After one failed write nothing more is written: the ledger is *faulted* for good, because a
//!   later `fsync` may succeed without the lost page ever having reached the disk
//!   (what `PostgreSQL` panics on).
//! * Decisions are never dropped and never wait for more than one small batch of samples.
//! * An edited, deleted, reordered, inserted or truncated record is found by [`verify()`].

mod chain;
mod drafts;
mod error;
mod files;
mod head;
mod ledger;
mod lock;
pub mod memory;
mod packs;
mod reader;
mod recorder;
mod run_id;
mod schema;
mod sqlite;
mod store;
mod unkept;
mod verify;
mod writer;

pub use chain::{Digest, DigestParseError, Head, NotedHead};
pub use error::{JournalError, JournalFault};
pub use ledger::{Ledger, NewRecord, Record, Sample};
pub use lock::{Holder, LockState};
pub use reader::{Reader, Records, RunMeta};
pub use recorder::{Inline, Recorder};
pub use run_id::{RunId, RunIdParseError};
pub use sqlite::Journal;
pub use store::{JournalSummary, NewRun, RunDir, RunSummary, Store, state_dir};
pub use unkept::Unkept;
pub use verify::{Damage, HeadFile, VerifyReport, verify};
pub use writer::{Ack, Notice, Writer};
