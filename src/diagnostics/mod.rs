//! Writes the diagnostic log (`--log FILE`): what gonogo itself does, for a report of a fault.
//!
//! It is off by default and is not the record of a run; the journal is. Lines are made where something happens, with
//! `tracing`, and written by a thread of their own from a bounded queue. A full or dead disk therefore loses lines,
//! which are counted, but never delays anything. Every field is masked and cleaned here, whatever code logs it.

mod fields;
mod lines;

use std::env::VarError;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use self::lines::Lines;
use crate::text::clean;

/// The environment variable that selects what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER: &str = "GONOGO_LOG";

/// Events of other packages are not logged: those about a connection may contain what is sent over it.
const OWN_TARGET: &str = "gonogo";

/// Lines that may wait for the disk; more are dropped and counted.
const WAITING: usize = 8_192;

/// Replaces secrets in a text.
type Mask = Box<dyn Fn(&str) -> String + Send + Sync>;

static MASK: RwLock<Option<Mask>> = RwLock::new(None);

/// Why there is no diagnostic log.
#[derive(Debug, thiserror::Error)]
pub enum DiagnosticsError {
    /// The filter cannot be read.
    #[error("{FILTER} is no filter: {0}; write it like `debug` or `gonogo::driver=debug,info`")]
    Filter(String),
    /// The file cannot be opened.
    #[error("the log `{}` cannot be opened: {source}", clean(&path.display().to_string()))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is a terminal.
    #[error("the log cannot go to `{}`: it is a terminal, where lines would destroy the picture", clean(&.0.display().to_string()))]
    Terminal(PathBuf),
    /// Something else in this process logs already.
    #[error("this process has a log already")]
    InUse,
}

/// The diagnostic log while it is written. Dropping it waits about a second at most for what is still to be written.
#[derive(Debug)]
pub struct DiagnosticLog {
    _worker: WorkerGuard,
}

impl DiagnosticLog {
    /// Begins to log to `path`, which is appended to; a new file is readable by its owner only. [`FILTER`] selects what
    /// is logged, `info` without it.
    ///
    /// # Errors
    ///
    /// When the filter or the file is not usable. What fails later costs lines of the log and nothing else.
    pub fn start(path: &Path) -> Result<Self, DiagnosticsError> {
        let filter = filter(std::env::var(FILTER))?;
        let lines = Lines::new(open(path)?);
        let counter = lines.counter();
        let (queue, worker) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING)
            .thread_name("diagnostics")
            .finish(lines);
        // The queue's counter exists only after its writer was handed over, so the writer gets it here.
        let _ = counter.set(queue.error_counter());
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(queue)
            .with_ansi(false)
            .log_internal_errors(false)
            .fmt_fields(fields::masked())
            .with_filter(filter)
            .with_filter(filter_fn(is_own));
        tracing_subscriber::registry().with(layer).try_init().map_err(|_| DiagnosticsError::InUse)?;
        Ok(Self { _worker: worker })
    }
}

/// From now on `mask` is applied to everything that is logged. It takes the place of the mask before.
pub fn mask_with(mask: impl Fn(&str) -> String + Send + Sync + 'static) {
    *MASK.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(mask));
}

fn masked(text: &str) -> String {
    let mask = MASK.read().unwrap_or_else(PoisonError::into_inner);
    mask.as_ref().map_or_else(|| text.to_owned(), |mask| mask(text))
}

fn is_own(metadata: &Metadata<'_>) -> bool {
    is_own_target(metadata.target())
}

fn is_own_target(target: &str) -> bool {
    target.strip_prefix(OWN_TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Reads the filter. A target that no event can have is an error, since the log would stay empty.
fn filter(text: Result<String, VarError>) -> Result<EnvFilter, DiagnosticsError> {
    let text = match text {
        Ok(text) => text,
        Err(VarError::NotPresent) => String::new(),
        Err(VarError::NotUnicode(_)) => return Err(DiagnosticsError::Filter("it is not UTF-8".to_owned())),
    };
    // Spans have no names here, so each part of a filter is a level or begins with a target.
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        let target = part.split(['=', '[']).next().unwrap_or_default();
        if LevelFilter::from_str(part).is_err() && !is_own_target(target) {
            let what = format!("`{}` is neither a level nor a part of gonogo", clean(part));
            return Err(DiagnosticsError::Filter(what));
        }
    }
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    builder.parse(parts.join(",")).map_err(|error| DiagnosticsError::Filter(clean(&error.to_string()).into_owned()))
}

fn open(path: &Path) -> Result<File, DiagnosticsError> {
    // Opened without waiting, since the other end of a pipe may never be opened.
    let flags = rustix::fs::OFlags::NONBLOCK.union(rustix::fs::OFlags::NOCTTY).bits();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)
        .map_err(|source| DiagnosticsError::Open { path: path.to_owned(), source })?;
    if file.is_terminal() { Err(DiagnosticsError::Terminal(path.to_owned())) } else { Ok(file) }
}

/// Lines that the queue had no room for, once there is a queue.
type QueueCounter = Arc<OnceLock<ErrorCounter>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        filter(Ok(text.to_owned())).err().map(|error| error.to_string())
    }

    #[test]
    fn a_filter_that_can_select_nothing_is_refused() {
        for good in ["", "debug", "off", "gonogo=trace", "gonogo::driver=debug,warn", " info , gonogo::world=debug"] {
            assert_eq!(refused(good), None, "{good}");
        }
        for (bad, why) in [
            ("inof", "`inof` is neither a level nor a part of gonogo"),
            ("hyper=trace", "`hyper=trace` is neither"),
            ("gonogon=debug", "`gonogon=debug` is neither"),
            ("gonogo=loud", "GONOGO_LOG is no filter: "),
            ("debug,\u{1b}[2J", "`␛[2J` is neither"),
        ] {
            let said = refused(bad).unwrap_or_default();
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(filter(Err(VarError::NotPresent)).is_ok());
    }

    #[test]
    fn only_our_own_events_are_logged() {
        assert!(is_own_target("gonogo") && is_own_target("gonogo::driver::engine"));
        assert!(!is_own_target("hyper::client") && !is_own_target("gonogo_other") && !is_own_target(""));
    }

    #[test]
    fn a_new_file_is_for_its_owner_only_and_an_old_one_is_appended_to() {
        use std::io::Write as _;
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for text in ["one\n", "two\n"] {
            open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let error = open(&dir.path().join("none").join("log")).unwrap_err().to_string();
        assert!(error.contains("none/log") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(open(&pipe), Err(DiagnosticsError::Open { .. })));
    }
}
