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
use tracing::debug;

use super::{chain, tls};
use crate::contain::contain;
use crate::core::ids::TargetId;
use crate::core::target::{Postgres, Tls};
use crate::world::live::secrets::Secrets;

/// Connections that may watch one database at the same time: small databases have few to give.
const WATCHERS: usize = 3;
/// Longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Unacknowledged data or an unanswered keepalive for this long ends a connection (Linux).
const SILENCE: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world::live) struct Purpose {
    /// What the server shows as the application's name. Connections are kept apart by it.
    pub(in crate::world::live) name: &'static str,
    /// Settings given when the connection starts; `{limit}` stands for a probe's longest time in milliseconds. Without
    /// any, nothing is sent that a pooler's admin console would not understand.
    pub(in crate::world::live) settings: &'static [&'static str],
    /// Whether only a few of these may be open at the same time.
    pub(in crate::world::live) few: bool,
}

impl Purpose {
    /// Probes: read only.
    pub(in crate::world::live) const WATCH: Purpose = Purpose {
        name: "gonogo watch",
        settings: &["default_transaction_read_only=on", "statement_timeout={limit}", "lock_timeout={limit}"],
        few: true,
    };
    /// Actions: may write, also where the database's default is read only. Their limits are set when they start.
    pub(in crate::world::live) const ACT: Purpose =
        Purpose { name: "gonogo act", settings: &["default_transaction_read_only=off"], few: false };
}

/// The plan's databases and the connections kept to them.
pub(in crate::world::live) struct Databases {
    targets: BTreeMap<TargetId, Place>,
    /// Longest time a probe's statement may take on the server.
    watch_limit: Duration,
}

struct Place {
    target: Postgres,
    idle: Arc<Mutex<BTreeMap<Purpose, Vec<PgSession>>>>,
    watchers: Arc<Semaphore>,
}

/// One open connection.
pub(in crate::world::live) struct PgSession {
    client: Client,
    /// `old (10.0.0.5:5432)`, for messages.
    place: String,
    user: String,
    task: AbortHandle,
}

impl Drop for PgSession {
    fn drop(&mut self) {
        // A hung server must not keep the socket and its task.
        self.task.abort();
    }
}

impl PgSession {
    /// The driver's handle.
    pub(in crate::world::live) fn client(&self) -> &Client {
        &self.client
    }

    /// `old (10.0.0.5:5432)`, for messages.
    pub(in crate::world::live) fn place(&self) -> &str {
        &self.place
    }

    /// What went wrong on this connection, as a sentence.
    pub(in crate::world::live) fn explain(&self, err: &tokio_postgres::Error, secrets: &Secrets) -> String {
        explain(err, &self.place, &self.user, secrets)
    }
}

/// A session on loan. It is kept for the next user only when it is given back: one that was dropped in the
/// middle of a query is closed.
pub(in crate::world::live) struct Lease {
    session: Option<PgSession>,
    purpose: Purpose,
    idle: Arc<Mutex<BTreeMap<Purpose, Vec<PgSession>>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The session. `None` never happens before [`Lease::give_back`], which consumes the lease.
    pub(in crate::world::live) fn session(&self) -> Option<&PgSession> {
        self.session.as_ref()
    }

    /// Keeps the connection for the next user, unless it is broken.
    pub(in crate::world::live) fn give_back(mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.client.is_closed()) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.entry(self.purpose).or_default().push(session);
        }
    }
}

impl Databases {
    /// Nothing is connected yet.
    pub(in crate::world::live) fn new(
        targets: impl Iterator<Item = (TargetId, Postgres)>,
        watch_limit: Duration,
    ) -> Self {
        let place = |target| Place { target, idle: Arc::default(), watchers: Arc::new(Semaphore::new(WATCHERS)) };
        Self { targets: targets.map(|(id, target)| (id, place(target))).collect(), watch_limit }
    }

    /// A connection to `target`: a kept one or a new one. Bounded in time only by the caller.
    pub(in crate::world::live) async fn lease(
        &self,
        target: &TargetId,
        purpose: Purpose,
        secrets: &Secrets,
    ) -> Result<Lease, String> {
        let place = self.targets.get(target).ok_or_else(|| format!("`{target}` is no postgres target"))?;
        let permit = if purpose.few {
            Some(place.watchers.clone().acquire_owned().await.map_err(|err| err.to_string())?)
        } else {
            None
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
    ) -> Result<PgSession, String> {
        let dsn = secrets.reveal(&target.dsn).await?;
        let mut config: Config = dsn
            .parse()
            .map_err(|err| format!("the connection string of `{id}` is wrong: {}", secrets.tell(&chain(&err))))?;
        if let Some(password) = &target.password {
            config.password(secrets.reveal(password).await?);
        }
        let limit = self.watch_limit.as_millis().to_string();
        let settings = purpose.settings.iter().map(|setting| format!("-c {}", setting.replace("{limit}", &limit)));
        let options: Vec<String> = config.get_options().map(str::to_owned).into_iter().chain(settings).collect();
        if !options.is_empty() {
            config.options(options.join(" "));
        }
        config
            .application_name(purpose.name)
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
        debug!(place = %place, purpose = purpose.name, "connected");
        Ok(PgSession { client, place, user, task: task.abort_handle() })
    }

    /// Asks the server to stop what `token` stands for. Best effort: the statement's own end tells.
    pub(in crate::world::live) async fn cancel(&self, target: &TargetId, token: tokio_postgres::CancelToken) {
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
