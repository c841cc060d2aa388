//! `gonogo lab`: a disposable real world on loopback to practise a cutover in.
//!
//! Two PostgreSQL clusters, two web services in front of them, an authoritative DNS server with caching resolvers
//! (three, unless others are asked for), a stand-in for Route 53 that publishes into the zone, one for CloudWatch that gathers what customers meet, and customers who buy all the time. Everything runs in (or as a child of) one supervisor process
//! that outlives the cockpit, so that a killed cockpit finds the same world again on `resume`.
//!
//! This module owns starting, finding, attaching to and removing a lab. It must not know the cockpit, the runbook
//! or the journal: the only things it hands over are [`Lab::vars`] and files of secrets.

pub mod aws;
pub mod cloudwatch;
mod control;
mod customers;
mod dns;
mod gathered;
mod hosted;
mod http;
mod listeners;
mod postgres;
mod resolver;
pub mod route53;
mod shop;
mod state;
pub mod supervisor;
mod web;
mod zone;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::resolver_kind::ResolverKind;

pub use control::MissingReport;
pub use customers::CustomersReport;

/// Address of the old web service in DNS; the record points here at first.
pub const OLD_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 1);
/// Address of the new web service in DNS, on the same port as the old one. Where only one loopback address exists, a web
/// service listens on another port of that instead, and the customers know which.
pub const NEW_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 2);
/// The zone the authoritative server answers for.
pub const ZONE: &str = "shop.test";
/// The name customers look up.
pub const APP_NAME: &str = "app.shop.test";
/// The last letters of the vars with the resolvers' addresses, from `resolver_a` on.
pub const RESOLVER_LETTERS: std::ops::RangeInclusive<char> = 'a'..='z';
/// Name of the TSIG key (HMAC-SHA-256) that may update the zone.
pub const TSIG_NAME: &str = "gonogo-lab";
/// Id of the hosted zone of [`ZONE`] in the lab's Route 53.
pub const HOSTED_ZONE: &str = "Z0LAB";
/// The id of the access key that the lab's Route 53 knows.
pub const AWS_KEY: &str = "AKIALAB";

/// One of the two environments of the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabSide {
    /// What is migrated away from.
    Old,
    /// What is migrated to.
    New,
}

impl LabSide {
    /// The word used in addresses, headers and messages: `old` or `new`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

impl std::fmt::Display for LabSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of lab to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabOptions {
    /// Directory for lasting state; the lab lives in `lab/` below it.
    pub state_dir: PathBuf,
    /// The executable that answers to `lab-serve <options>`; `None` is the running executable.
    pub program: Option<PathBuf>,
    /// Directory with `initdb`, `pg_ctl` and `postgres`; `None` searches the usual places, then `PATH`.
    pub pg_bin: Option<PathBuf>,
    /// Number of customers, each making one request at a time.
    pub customers: usize,
    /// Requests per second of all customers together, half reads and half writes.
    pub requests_per_second: f64,
    /// TTL of the record of [`APP_NAME`], seconds.
    pub ttl_seconds: u32,
    /// Set up logical replication from old to new, with the initial copy done. Without it the tables on new are
    /// empty and there is neither publication nor subscription.
    pub replication: bool,
    /// Let every server listen on 127.0.0.1, each on a port of its own, although this machine may have other loopback
    /// addresses.
    #[serde(default)]
    pub one_address: bool,
    /// The resolvers, in the order of their vars `resolver_a`, `resolver_b` and so on. One of them at least has to answer,
    /// since customers need one.
    pub resolvers: Vec<ResolverKind>,
    /// How much later the new web service answers than it could.
    #[serde(default)]
    pub slow: Duration,
    /// How long the lab stays when no cockpit is attached.
    pub linger: Duration,
}

impl LabOptions {
    /// The usual lab below `state_dir`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            program: None,
            pg_bin: None,
            customers: 8,
            requests_per_second: 40.0,
            ttl_seconds: 20,
            replication: true,
            one_address: false,
            resolvers: vec![ResolverKind::Honest; 3],
            slow: Duration::ZERO,
            linger: Duration::from_mins(15),
        }
    }

    /// Reads the options back from the argument of the hidden subcommand `lab-serve`.
    pub fn from_argument(argument: &str) -> Result<Self, LabError> {
        serde_json::from_str(argument).map_err(|source| LabError::Json { what: "the lab's options", source })
    }
}

/// What can go wrong with a lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// There is no usable PostgreSQL on this machine.
    #[error("no PostgreSQL server programs (initdb, pg_ctl, postgres) found; install them with: {install}")]
    NoPostgres {
        /// The command for this system.
        install: &'static str,
    },
    /// The state directory already has a running lab.
    #[error("a lab is already running in {} ({})", dir.display(), pid.map_or_else(|| "starting up".into(), |pid| format!("process {pid}")))]
    AlreadyRunning {
        /// The lab's directory.
        dir: PathBuf,
        /// Its supervisor, if it has said so yet.
        pid: Option<u32>,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The refusal.
        source: io::Error,
    },
    /// A database refused something.
    #[error("{what}: {}", database_message(source))]
    Database {
        /// What was tried.
        what: String,
        /// The refusal.
        source: tokio_postgres::Error,
    },
    /// A JSON file or message of the lab is not what it should be.
    #[error("cannot read {what}: {source}")]
    Json {
        /// Which one.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed ({status}): {output}")]
    Program {
        /// Its name.
        program: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// The directory belongs to a lab of another version of this program.
    #[error("{} is of lab version {found}, this program knows version {known}; remove the directory by hand", file.display())]
    Version {
        /// The state file.
        file: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version this program writes.
        known: u32,
    },
    /// The supervisor could not bring the lab up; the text is its own error.
    #[error("{0}")]
    Start(String),
    /// The lab that is running does not know what was asked of it.
    #[error("the lab does not follow: it is of another version of this program; end it with `gonogo lab --down`")]
    NotHeard,
    /// Something did not happen in time.
    #[error("{what} within {limit:?}")]
    Timeout {
        /// What was waited for, as the end of "… did not …".
        what: String,
        /// For how long.
        limit: Duration,
    },
}

impl LabError {
    /// For `map_err` on IO: says what was tried.
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err` on database calls: says what was tried.
    fn database(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let what = what.into();
        move |source| Self::Database { what, source }
    }
}

/// The server's own words where there are any; tokio-postgres only prints "db error" by itself.
fn database_message(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{}: {}", db.severity(), db.message()))
}

/// A running lab.
#[derive(Debug, Clone)]
pub struct Lab {
    /// What a runbook needs to know, by the names of its `vars`.
    pub vars: BTreeMap<String, String>,
    /// The supervisor.
    pub pid: u32,
    /// The lab's directory: state, secrets, logs.
    pub dir: PathBuf,
    /// When it was started.
    pub started_at: jiff::Timestamp,
    attach_socket: PathBuf,
}

/// Holds the lab up: while one of these exists, the lab does not end for want of a cockpit.
#[derive(Debug)]
pub struct Attachment {
    _connection: UnixStream,
}

impl Lab {
    /// Tells the lab that somebody is there. Dropping the guard, or dying, detaches.
    pub fn attach(&self) -> Result<Attachment, LabError> {
        UnixStream::connect(&self.attach_socket)
            .map(|connection| Attachment { _connection: connection })
            .map_err(LabError::io(format!("cannot attach to the lab at {}", self.attach_socket.display())))
    }

    /// Lets a web service answer this much later than it could, from its next request on; with zero, as soon as it can.
    pub fn slow_down(&self, side: LabSide, by: Duration) -> Result<(), LabError> {
        let failed = || LabError::io("cannot tell the lab how slow to be");
        let order = serde_json::to_string(&LabOrder::Slow { side, by })
            .map_err(|source| LabError::Json { what: "what is asked of the lab", source })?;
        let mut connection = UnixStream::connect(&self.attach_socket).map_err(failed())?;
        connection.set_read_timeout(Some(ORDER_LIMIT)).map_err(failed())?;
        connection.write_all(format!("{order}\n").as_bytes()).map_err(failed())?;
        let mut answer = String::new();
        BufReader::new(connection.take(ANSWER_LONGEST)).read_line(&mut answer).map_err(failed())?;
        if answer.trim_end() == DONE { Ok(()) } else { Err(LabError::NotHeard) }
    }

    fn from_state(dir: PathBuf, state: state::LabState) -> Self {
        let state::LabState { vars, pid, started_at, attach_socket, .. } = state;
        Self { vars, pid, dir, started_at, attach_socket }
    }
}

/// What can be asked of a running lab: one JSON object on a line of its own, through the socket to which cockpits attach.
/// The lab answers with [`DONE`] on a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LabOrder {
    /// A web service answers this much later than it could.
    Slow { side: LabSide, by: Duration },
}

/// The lab's answer to an order that it has followed.
const DONE: &str = "done";
/// How long an answer may take.
const ORDER_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, bytes.
const ANSWER_LONGEST: u64 = 1_024;

/// What the supervisor tells the process that started it, one JSON object per line on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Progress(String),
    Ready,
    Failed(String),
}

/// Starts a lab and waits until all of it works; `progress` gets a line for each thing it does on the way.
///
/// What a dead lab left behind in the same state directory is removed first.
///
/// # Errors
/// [`LabError::AlreadyRunning`] when there is one: use [`find`]. [`LabError::Start`] carries the supervisor's reason.
pub fn start(options: &LabOptions, progress: &mut dyn FnMut(&str)) -> Result<Lab, LabError> {
    clean(&options.state_dir)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(LabError::io("cannot find the running executable"))?,
    };
    let argument =
        serde_json::to_string(options).map_err(|source| LabError::Json { what: "the lab's options", source })?;
    let mut child = Command::new(&program)
        .arg("lab-serve")
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(LabError::io(format!("cannot start {}", program.display())))?;
    let output = child.stdout.take();
    // Reaped whenever it ends, or it would stay a zombie for as long as this process lives.
    std::thread::spawn(move || child.wait());
    for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.map_err(LabError::io("cannot read from the lab's supervisor"))?;
        match serde_json::from_str(&line) {
            Ok(Message::Progress(text)) => progress(&text),
            Ok(Message::Failed(reason)) => return Err(LabError::Start(reason)),
            Ok(Message::Ready) => {
                return find(&options.state_dir)
                    .ok_or_else(|| LabError::Start("the lab ended as soon as it was ready".into()));
            }
            Err(source) => {
                return Err(LabError::Json { what: "the lab supervisor's message", source });
            }
        }
    }
    Err(LabError::Start(format!(
        "the lab's supervisor ended without a word; see {}",
        state::Paths::new(&options.state_dir).log("supervisor").display()
    )))
}

/// The running, ready lab of this state directory, if there is one.
pub fn find(state_dir: &Path) -> Option<Lab> {
    let paths = state::Paths::new(state_dir);
    if !state::is_running(&paths) {
        return None;
    }
    let state = state::LabState::read(&paths).ok().flatten()?;
    state.ready.then(|| Lab::from_state(paths.dir(), state))
}

/// When the lab that was up at `moment` ended; `None` when nobody saw it, as after a power cut.
pub fn ended(state_dir: &Path, moment: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let ended = state::Ended::read(&state::Paths::new(state_dir))?;
    (ended.started_at <= moment && moment <= ended.ended_at).then_some(ended.ended_at)
}

/// Ends the lab of this state directory and removes all of it. Nothing there is fine too.
pub fn stop(state_dir: &Path) -> Result<(), LabError> {
    state::stop(&state::Paths::new(state_dir))
}

/// Removes what a lab that died left behind: PostgreSQL servers and directories.
///
/// # Errors
/// [`LabError::AlreadyRunning`] when the lab is alive.
pub fn clean(state_dir: &Path) -> Result<(), LabError> {
    let paths = state::Paths::new(state_dir);
    if !state_dir.exists() {
        return Ok(());
    }
    let _lock = state::Lock::take(&paths)?;
    state::remove_leftovers(&paths)
}
