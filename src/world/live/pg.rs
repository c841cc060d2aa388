//! Connections to PostgreSQL: how they are made, kept and described when they fail.
//!
//! Watching and acting never share a connection, so that a hung action cannot blind the probes.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::secrets::Secrets;
use super::tls;
use crate::contain::contain;
use crate::core::ids::TargetId;
use crate::core::target::{Postgres, Tls};

/// Connections that may watch one database at the same time: small databases have few to give.
const WATCHERS: usize = 3;
/// Longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Unacknowledged data or an unanswered keepalive for this long ends a connection (Linux).
const SILENCE: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Probes: read only.
    Watch,
    /// Actions: may write, also where the database's default is read only.
    Act,
}

/// The plan's databases and the connections kept to them.
pub(super) struct Databases {
    targets: BTreeMap<TargetId, Place>,
    /// Longest time a probe's statement may take on the server.
    watch_limit: Duration,
}

struct Place {
    target: Postgres,
    idle: Arc<Mutex<BTreeMap<Purpose, Vec<Session>>>>,
    watchers: Arc<Semaphore>,
}

/// One open connection.
pub(super) struct Session {
    client: Client,
    /// `old (10.0.0.5:5432)`, for messages.
    place: String,
    user: String,
    task: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A hung server must not keep the socket and its task.
        self.task.abort();
    }
}

impl Session {
    /// The driver's handle.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// `old (10.0.0.5:5432)`, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What went wrong on this connection, as a sentence.
    pub(super) fn explain(&self, err: &tokio_postgres::Error, secrets: &Secrets) -> String {
        explain(err, &self.place, &self.user, secrets)
    }
}

/// A session on loan. It is kept for the next user only when it is given back: one that was dropped in the
/// middle of a query is closed.
pub(super) struct Lease {
    session: Option<Session>,
    purpose: Purpose,
    idle: Arc<Mutex<BTreeMap<Purpose, Vec<Session>>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The session. `None` never happens before [`Lease::give_back`], which consumes the lease.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Keeps the connection for the next user, unless it is broken.
    pub(super) fn give_back(mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.client.is_closed()) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.entry(self.purpose).or_default().push(session);
        }
    }
}

impl Databases {
    /// Nothing is connected yet.
    pub(super) fn new(targets: impl Iterator<Item = (TargetId, Postgres)>, watch_limit: Duration) -> Self {
        let place = |target| Place { target, idle: Arc::default(), watchers: Arc::new(Semaphore::new(WATCHERS)) };
        Self { targets: targets.map(|(id, target)| (id, place(target))).collect(), watch_limit }
    }

    /// A connection to `target`: a kept one or a new one. Bounded in time only by the caller.
    pub(super) async fn lease(&self, target: &TargetId, purpose: Purpose, secrets: &Secrets) -> Result<Lease, String> {
        let place = self.targets.get(target).ok_or_else(|| format!("`{target}` is no postgres target"))?;
        let permit = match purpose {
            Purpose::Watch => Some(place.watchers.clone().acquire_owned().await.map_err(|err| err.to_string())?),
            Purpose::Act => None,
        };
        let kept = {
            let mut idle = place.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = idle.entry(purpose).or_default();
            kept.retain(|session| !session.client.is_closed());
            kept.pop()
        };
        let session = match kept {
            Some(session) => session,
            None => self.connect(target, &place.target, purpose, secrets).await?,
        };
        Ok(Lease { session: Some(session), purpose, idle: Arc::clone(&place.idle), _permit: permit })
    }

    async fn connect(
        &self,
        id: &TargetId,
        target: &Postgres,
        purpose: Purpose,
        secrets: &Secrets,
    ) -> Result<Session, String> {
        let dsn = secrets.reveal(&target.dsn).await?;
        let mut config: Config = dsn
            .parse()
            .map_err(|err| format!("the connection string of `{id}` is wrong: {}", secrets.tell(&chain(&err))))?;
        if let Some(password) = &target.password {
            config.password(secrets.reveal(password).await?);
        }
        let own = config.get_options().map(|own| format!("{own} ")).unwrap_or_default();
        let options = match purpose {
            Purpose::Watch => {
                let ms = self.watch_limit.as_millis();
                format!("{own}-c default_transaction_read_only=on -c statement_timeout={ms} -c lock_timeout={ms}")
            }
            // The limits of an action are set when it starts.
            Purpose::Act => format!("{own}-c default_transaction_read_only=off"),
        };
        config
            .options(options)
            .application_name(match purpose {
                Purpose::Watch => "gonogo watch",
                Purpose::Act => "gonogo act",
            })
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENCE)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        let place = secrets.tell(&format!("{id} ({})", address(&config)));
        let user = secrets.tell(config.get_user().unwrap_or_default());
        let failed = |err: tokio_postgres::Error| explain(&err, &place, &user, secrets);
        let (client, task) = match target.tls {
            Tls::Disable => {
                let (client, connection) = config.ssl_mode(SslMode::Disable).connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(async move { drop(contain(connection).await) }))
            }
            Tls::VerifyFull => {
                let connector = connector(target).await?;
                let (client, connection) =
                    config.ssl_mode(SslMode::Require).connect(connector).await.map_err(failed)?;
                (client, tokio::spawn(async move { drop(contain(connection).await) }))
            }
        };
        Ok(Session { client, place, user, task: task.abort_handle() })
    }

    /// Asks the server to stop what `token` stands for. Best effort: the statement's own end tells.
    pub(super) async fn cancel(&self, target: &TargetId, token: tokio_postgres::CancelToken) {
        let Some(place) = self.targets.get(target) else { return };
        match place.target.tls {
            Tls::Disable => drop(token.cancel_query(NoTls).await),
            Tls::VerifyFull => {
                if let Ok(connector) = connector(&place.target).await {
                    drop(token.cancel_query(connector).await);
                }
            }
        }
    }
}

async fn connector(target: &Postgres) -> Result<MakeRustlsConnect, String> {
    let config = match &target.ca {
        Some(path) => tls::authority(path).await?,
        None => tls::system().await?,
    };
    Ok(MakeRustlsConnect::new(Arc::unwrap_or_clone(config)))
}

fn address(config: &Config) -> String {
    let ports = config.get_ports();
    let addresses: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect();
    addresses.join(", ")
}

/// A sentence that says who refused what.
fn explain(err: &tokio_postgres::Error, place: &str, user: &str, secrets: &Secrets) -> String {
    if let Some(db) = err.as_db_error() {
        let code = db.code();
        let text = secrets.tell_brief(db.message(), 300);
        let more = db.detail().map(|detail| format!("; {}", secrets.tell_brief(detail, 200))).unwrap_or_default();
        return match *code {
            SqlState::INVALID_PASSWORD => format!("{place} refuses the password for user {user} ({})", code.code()),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                format!("{place} does not let user {user} in: {text} ({})", code.code())
            }
            SqlState::CANNOT_CONNECT_NOW => format!("{place} is not ready: {text} ({})", code.code()),
            SqlState::TOO_MANY_CONNECTIONS => format!("{place} has no connection left: {text} ({})", code.code()),
            _ => format!("{place}: {text}{more} ({})", code.code()),
        };
    }
    let mut source = err.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
                std::io::ErrorKind::TimedOut => format!("no answer from {place}"),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                    format!("TLS with {place} failed: {}", secrets.tell_brief(&chain(io), 300))
                }
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                    format!("{place} closed the connection")
                }
                _ => format!("{place} cannot be reached: {}", secrets.tell(&chain(io))),
            };
        }
        source = inner.source();
    }
    if err.is_closed() {
        return format!("the connection to {place} broke");
    }
    format!("{place}: {}", secrets.tell_brief(&chain(err), 300))
}

/// An error with all its causes in one line, without repeating itself.
pub(super) fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}
