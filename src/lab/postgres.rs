//! PostgreSQL clusters: finding the programs, making a cluster, starting and ending its server.
//!
//! Knows nothing of what is in the databases (see `shop`). Servers run in the foreground as direct children, as the
//! user `postgres` (or `nobody`) when this process is root, since PostgreSQL refuses root.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio_postgres::NoTls;

use super::LabError;
use super::state::{POLL, make_dir, pid_of, write_private};
use crate::system::process::command_line;

/// Name of the superuser that the cockpit uses as administrator.
pub(super) const ADMINISTRATOR: &str = "gonogo";
/// The programs a directory must hold to count.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
/// Longest wait for a server to take connections.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Longest wait for a server to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// Where the programs of PostgreSQL are, and as whom to run them.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) bin: PathBuf,
    run_as: Option<User>,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Installation {
    /// Looks in `wanted` only if given; else in the usual version directories, newest first, then on `PATH`. `PATH`
    /// comes last because some systems have wrappers there that change user or refuse options.
    pub(super) fn find(wanted: Option<&Path>) -> Result<Self, LabError> {
        let candidates = wanted.map_or_else(usual_directories, |dir| vec![dir.to_path_buf()]);
        let bin = candidates
            .into_iter()
            .find(|dir| PROGRAMS.iter().all(|program| dir.join(program).is_file()))
            .ok_or(LabError::NoPostgres { install: install_command() })?;
        let run_as = if rustix::process::geteuid().is_root() { Some(unprivileged_user()?) } else { None };
        Ok(Self { bin, run_as })
    }

    /// A command of PostgreSQL, as the right user, away from directories that user may not enter.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        if let Some(user) = self.run_as {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn give(&self, path: &Path) -> Result<(), LabError> {
        let Some(user) = self.run_as else {
            return Ok(());
        };
        chown(path, Some(user.uid), Some(user.gid))
            .map_err(LabError::io(format!("cannot give {} to the PostgreSQL user", path.display())))
    }
}

fn usual_directories() -> Vec<PathBuf> {
    // (parent, prefix of the version directory's name)
    let parents = [
        ("/usr/lib/postgresql", ""),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        ("/usr", "pgsql-"),
    ];
    let mut found: Vec<(u32, PathBuf)> = parents
        .iter()
        .filter_map(|(parent, prefix)| Some((fs::read_dir(parent).ok()?, prefix)))
        .flat_map(|(entries, prefix)| {
            entries.flatten().filter_map(move |entry| {
                let name = entry.file_name().into_string().ok()?;
                let version = name.strip_prefix(prefix)?.trim_start_matches('@');
                // An unversioned `postgresql` is a link to the newest.
                let version = if version.is_empty() { u32::MAX } else { version.parse().ok()? };
                Some((version, entry.path().join("bin")))
            })
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.into_iter().map(|(_, dir)| dir).chain(std::env::split_paths(&path)).collect()
}

/// The command that installs PostgreSQL on this kind of system.
fn install_command() -> &'static str {
    if ["/opt/homebrew/bin/brew", "/usr/local/bin/brew"].iter().any(|brew| Path::new(brew).exists()) {
        "brew install postgresql@17"
    } else if Path::new("/usr/bin/dnf").exists() {
        "sudo dnf install postgresql-server"
    } else if Path::new("/usr/bin/apt-get").exists() {
        "sudo apt-get install postgresql"
    } else {
        "your system's package manager (the package is usually called postgresql or postgresql-server)"
    }
}

/// Whom to be instead of root: `postgres` if there is such a user, else `nobody`.
fn unprivileged_user() -> Result<User, LabError> {
    let id = |flag: &str, name: &str| -> Option<u32> {
        let output = Command::new("id").arg(flag).arg(name).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| Some(User { uid: id("-u", name)?, gid: id("-g", name)? }))
        .ok_or_else(|| LabError::Io {
            what: "PostgreSQL does not run as root, and there is neither a user postgres nor nobody".into(),
            source: io::ErrorKind::NotFound.into(),
        })
}

/// One PostgreSQL server with its files.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) data_dir: PathBuf,
    pub(super) port: u16,
    log: PathBuf,
    server: Option<Child>,
}

impl Cluster {
    /// Makes the files of a cluster in `data_dir`, whose superuser is [`ADMINISTRATOR`] with `password`.
    pub(super) async fn create(
        installation: &Installation,
        data_dir: PathBuf,
        port: u16,
        password: &str,
        log: PathBuf,
    ) -> Result<Self, LabError> {
        make_dir(&data_dir, 0o700)?;
        installation.give(&data_dir)?;
        let password_file = data_dir.with_extension("password");
        write_private(&password_file, password)?;
        installation.give(&password_file)?;
        let mut command = installation.command(installation.bin.join("initdb"), &data_dir);
        command
            .arg("--pgdata")
            .arg(&data_dir)
            .args(["--username", ADMINISTRATOR, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            // The files are thrown away after a crash of the machine; the server itself does sync.
            .arg("--no-sync")
            .arg("--pwfile")
            .arg(&password_file);
        let output = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(LabError::io("cannot run initdb"))?;
        fs::remove_file(&password_file).map_err(LabError::io(format!("cannot remove {}", password_file.display())))?;
        if !output.status.success() {
            return Err(LabError::Program {
                program: "initdb".into(),
                status: output.status.to_string(),
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let configuration = data_dir.join("postgresql.conf");
        let settings = settings(port);
        OpenOptions::new()
            .append(true)
            .open(&configuration)
            .and_then(|mut file| io::Write::write_all(&mut file, settings.as_bytes()))
            .map_err(LabError::io(format!("cannot write {}", configuration.display())))?;
        Ok(Self { data_dir, port, log, server: None })
    }

    /// Starts the server and returns its process id.
    pub(super) fn start(&mut self, installation: &Installation) -> Result<Option<u32>, LabError> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(LabError::io(format!("cannot open {}", self.log.display())))?;
        let errors = log.try_clone().map_err(LabError::io("cannot share the server's log"))?;
        let mut command = installation.command(installation.bin.join("postgres"), &self.data_dir);
        command.arg("-D").arg(&self.data_dir).stdout(log).stderr(errors);
        let server = tokio::process::Command::from(command).spawn().map_err(LabError::io("cannot start postgres"))?;
        let pid = server.id();
        self.server = Some(server);
        Ok(pid)
    }

    /// Waits until the server takes connections, or says why it will not.
    pub(super) async fn ready(&mut self, config: &tokio_postgres::Config) -> Result<(), LabError> {
        let begun = Instant::now();
        loop {
            if let Ok((client, connection)) = config.connect(NoTls).await {
                let connection = tokio::spawn(connection);
                let answered = client.simple_query("select 1").await.is_ok();
                drop(client);
                // Ends with its client.
                let _ = connection.await;
                if answered {
                    return Ok(());
                }
            }
            let ended = match &mut self.server {
                Some(server) => server.try_wait().map_err(LabError::io("cannot watch postgres"))?,
                None => None,
            };
            if let Some(status) = ended {
                return Err(LabError::Program {
                    program: "postgres".into(),
                    status: status.to_string(),
                    output: last_lines(&self.log),
                });
            }
            if begun.elapsed() > START_LIMIT {
                return Err(LabError::Timeout {
                    what: format!("PostgreSQL on port {} did not take connections", self.port),
                    limit: START_LIMIT,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the server: sessions are cut, nothing is waited for; by force if it does not go.
    pub(super) async fn stop(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        for signal in [Signal::INT, Signal::QUIT] {
            if let Some(pid) = server.id().and_then(pid_of) {
                // Not reaped yet, so the id is still this child's.
                let _ = kill_process(pid, signal);
            }
            if tokio::time::timeout(STOP_LIMIT, server.wait()).await.is_ok() {
                return;
            }
        }
        // Nothing is left to try when this fails.
        let _ = server.kill().await;
    }
}

/// A process that ends the servers when this one is gone, even by `kill -9`: its standard input is a pipe from here,
/// so it reads the end of file then. [`end_orphan`] is for the case that it was killed as well.
pub(super) fn spawn_watchdog(
    installation: &Installation,
    directory: &Path,
    data_dirs: &[PathBuf],
) -> Result<Child, LabError> {
    const SCRIPT: &str = r#"read -r _; for data; do "$0" stop -s -m immediate -D "$data"; done"#;
    let mut command = installation.command("/bin/sh", directory);
    command
        .args(["-c", SCRIPT])
        .arg(installation.bin.join("pg_ctl"))
        .args(data_dirs)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A signal to the supervisor's group must not take the watchdog with it.
        .process_group(0);
    tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(LabError::io("cannot start the watchdog of the servers"))
}

/// Ends the server of a data directory whose supervisor is dead. None there is fine.
pub(super) fn end_orphan(data_dir: &Path) -> Result<(), LabError> {
    let begun = Instant::now();
    let mut asked = None;
    while let Some(pid) = postmaster(data_dir) {
        let signal = if begun.elapsed() > STOP_LIMIT { Signal::KILL } else { Signal::QUIT };
        if asked != Some(signal) {
            asked = Some(signal);
            // It may end by itself at any moment; the loop looks again.
            let _ = kill_process(pid, signal);
        }
        if begun.elapsed() > STOP_LIMIT * 2 {
            return Err(LabError::Timeout {
                what: format!("the PostgreSQL server of {} did not end", data_dir.display()),
                limit: STOP_LIMIT * 2,
            });
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The live server of a data directory: the process its `postmaster.pid` names, if that really is one. The id may
/// have gone to another process since, so its command line must name the directory.
fn postmaster(data_dir: &Path) -> Option<Pid> {
    let content = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let number: u32 = content.lines().next()?.trim().parse().ok()?;
    let is_ours = command_line(number)?.contains(data_dir.to_str()?);
    if is_ours { pid_of(number) } else { None }
}

fn last_lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
}

/// Small, honest (`fsync` stays on), reachable over TCP only, and ready to replicate both ways.
fn settings(port: u16) -> String {
    format!(
        "
# gonogo lab
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_worker_processes = 20
max_logical_replication_workers = 12
max_sync_workers_per_subscription = 6
wal_retrieve_retry_interval = '200ms'
max_connections = 100
shared_buffers = '16MB'
min_wal_size = '32MB'
max_wal_size = '128MB'
fsync = on
jit = off
log_line_prefix = '%m [%p] %q%u@%d %a '
"
    )
}
