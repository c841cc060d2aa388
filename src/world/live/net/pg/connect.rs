//! How a connection to PostgreSQL is made: one address after the other, so that the address that answered is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use tokio::task::AbortHandle;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use super::Purpose;
use super::explain::explain;
use super::session::{Notices, PgSession, serve};
use crate::core::ids::TargetId;
use crate::core::server::ServerIdentity;
use crate::core::target::{Postgres, Tls};
use crate::world::live::net::{chain, host as system_hosts, tls};
use crate::world::live::secrets::Secrets;
use crate::world::live::shortage;

/// Longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Unacknowledged data or an unanswered keepalive for this long ends a connection (Linux).
const SILENCE: Duration = Duration::from_secs(10);
/// A setting that only gonogo makes. A server that is reached directly returns it; a pooler refuses it or loses it.
const MARK: &str = "gonogo.session";
// Everything is named in full: whoever may create objects could otherwise answer in the server's place.
/// When this server was started, to the microsecond: a restart, a failover or another server changes it.
const STARTED: &str =
    "pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US \"UTC\"')";
/// The identifier that `initdb` gave the cluster; a physical standby has that of its primary.
const SYSTEM: &str = "select system_identifier::pg_catalog.text from pg_catalog.pg_control_system()";

/// The number of the database, which another database of its name does not have.
const DATABASE: &str = "(select d.oid::pg_catalog.int8::pg_catalog.text from pg_catalog.pg_database d \
    where d.datname operator(pg_catalog.=) pg_catalog.current_database())";

/// The identity of the server that answers at this moment, with what `known` tells. Within a transaction, since a pooler
/// may give the next one to another server.
pub(super) async fn identity(client: &Client, known: &ServerIdentity) -> Result<ServerIdentity, tokio_postgres::Error> {
    let system =
        known.aspect(ServerIdentity::SYSTEM).map_or("null::pg_catalog.text".to_owned(), |_| format!("({SYSTEM})"));
    let rows = client.query_typed(&format!("select {system}, {STARTED}, {DATABASE}"), &[]).await?;
    let text = |at| rows.first().map(|row| row.try_get::<_, Option<String>>(at)).transpose();
    Ok(ServerIdentity::of_postgres(text(0)?.flatten(), text(1)?.flatten(), text(2)?.flatten()))
}

/// One address of one host of a connection string.
#[derive(Clone)]
pub(super) struct PgEndpoint {
    pub(super) host: Option<Host>,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl PgEndpoint {
    /// `db.example.com:5432 at 192.0.2.7`, `192.0.2.7:5432`, `/run/postgresql:5432`.
    fn place(&self) -> String {
        let port = self.port;
        match (&self.host, self.address) {
            (Some(Host::Tcp(name)), Some(address)) if name.parse::<IpAddr>().is_err() => {
                format!("{name}:{port} at {address}")
            }
            (_, Some(address)) => SocketAddr::new(address, port).to_string(),
            (Some(Host::Tcp(name)), None) => format!("{name}:{port}"),
            (Some(Host::Unix(path)), None) => format!("{}:{port}", path.display()),
            (None, None) => format!("port {port}"),
        }
    }

    /// The name and the address it led to, to check later that it still does; `None` for a socket in the file system.
    pub(super) fn reached(&self) -> Option<(String, SocketAddr)> {
        let address = self.address?;
        let name = match &self.host {
            Some(Host::Tcp(name)) => name.clone(),
            _ => address.to_string(),
        };
        Some((name, SocketAddr::new(address, self.port)))
    }
}

/// Opens a new connection. Bounded in time only by the caller.
pub(super) async fn connect(
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
    if config.get_ssl_mode() == SslMode::Require && target.tls == Tls::Disable {
        return Err(format!(
            "`{id}` says `tls: disable`, and its connection string says `sslmode=require`: choose one"
        ));
    }
    let user = secrets.tell(config.get_user().unwrap_or_default());
    let connector = match target.tls {
        Tls::Disable => None,
        Tls::VerifyFull => Some(connector(target).await?),
    };
    let mut last = format!("the connection string of `{id}` names no host");
    for endpoint in endpoints(&config).await.map_err(|what| format!("{id}: {}", secrets.tell(&what)))? {
        let place = secrets.tell(&format!("{id} ({})", endpoint.place()));
        let attempt = Attempt { config: &config, endpoint: &endpoint, connector: connector.as_ref(), purpose };
        match attempt.open().await {
            Ok(Opened { client, notices, task, pooled, identity }) => {
                let now = Instant::now();
                debug!(place = %place, purpose = purpose.name, pooled, "connected");
                return Ok(PgSession {
                    client,
                    place,
                    user,
                    endpoint,
                    pooled,
                    identity,
                    notices,
                    task,
                    opened: now,
                    looked_up: now,
                });
            }
            Err(err) => {
                last = explain(&err, &place, &user, secrets);
                debug!(why = %last, "not connected");
            }
        }
    }
    Err(last)
}

/// Every address that the connection string resolves to now, in the order in which they are tried.
async fn endpoints(config: &Config) -> Result<Vec<PgEndpoint>, String> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(format!("the connection string names {} hosts and {} addresses", hosts.len(), addresses.len()));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(format!("the connection string names {count} hosts and {} ports", ports.len()));
    }
    let mut found = Vec::new();
    let mut unknown = None;
    for at in 0..count {
        let host = hosts.get(at).cloned();
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match (&host, addresses.get(at)) {
            (Some(Host::Tcp(name)), None) => match system_hosts::addresses_of(name, port).await {
                Ok(all) => found.extend(all.into_iter().map(|all| PgEndpoint {
                    host: host.clone(),
                    address: Some(all.ip()),
                    port,
                })),
                Err(err) => {
                    let why = shortage::of(&err).unwrap_or_else(|| err.to_string());
                    unknown = Some(format!("{name} cannot be found: {why}"));
                }
            },
            (_, address) => found.push(PgEndpoint { host, address: address.copied(), port }),
        }
    }
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        found.shuffle(&mut rand::rng());
    }
    match unknown {
        Some(what) if found.is_empty() => Err(what),
        _ => Ok(found),
    }
}

/// A connection that was opened.
struct Opened {
    client: Client,
    notices: Arc<Notices>,
    task: AbortHandle,
    pooled: bool,
    identity: ServerIdentity,
}

/// One attempt at one address.
struct Attempt<'a> {
    config: &'a Config,
    endpoint: &'a PgEndpoint,
    connector: Option<&'a MakeRustlsConnect>,
    purpose: Purpose,
}

impl Attempt<'_> {
    async fn open(&self) -> Result<Opened, tokio_postgres::Error> {
        if self.purpose.console {
            let (client, notices, task) = self.dial(None).await?;
            return Ok(Opened { client, notices, task, pooled: true, identity: ServerIdentity::default() });
        }
        let mark = format!("{:016x}", rand::random::<u64>());
        let (client, notices, task) = match self.dial(Some(&mark)).await {
            Ok(opened) => opened,
            // A pooler that does not support start-up options.
            Err(err) if refuses_options(&err) => self.dial(None).await?,
            Err(err) => return Err(err),
        };
        let about = format!("select pg_catalog.current_setting('{MARK}', true), {STARTED}, {DATABASE}");
        let (about, system) = tokio::join!(client.query_typed(&about, &[]), client.query_typed(SYSTEM, &[]));
        let about = about?;
        let text = |at| about.first().map(|row| row.try_get::<_, Option<String>>(at)).transpose();
        let (seen, started, database) = (text(0)?.flatten(), text(1)?.flatten(), text(2)?.flatten());
        let system = match system {
            Ok(rows) => rows.first().map(|row| row.try_get(0)).transpose()?,
            // Some managed servers do not let every role ask for the identifier; every role may see the start time.
            Err(err) if err.as_db_error().is_some() => None,
            Err(err) => return Err(err),
        };
        let identity = ServerIdentity::of_postgres(system, started, database);
        Ok(Opened { client, notices, task, pooled: seen != Some(mark), identity })
    }

    async fn dial(&self, mark: Option<&str>) -> Result<(Client, Arc<Notices>, AbortHandle), tokio_postgres::Error> {
        let mut config = self.narrowed();
        let mut options: Vec<String> = self.config.get_options().map(str::to_owned).into_iter().collect();
        if let Some(mark) = mark {
            options.push(format!("-c {MARK}={mark}"));
            options.extend(self.purpose.settings.iter().map(|setting| format!("-c {setting}")));
        }
        if !options.is_empty() {
            config.options(options.join(" "));
        }
        let notices = Arc::<Notices>::default();
        let kept = Arc::clone(&notices);
        let (client, task) = match self.connector {
            None => {
                let (client, connection) = config.ssl_mode(SslMode::Disable).connect(NoTls).await?;
                (client, tokio::spawn(serve(connection, kept)))
            }
            Some(connector) => {
                let (client, connection) = config.ssl_mode(SslMode::Require).connect(connector.clone()).await?;
                (client, tokio::spawn(serve(connection, kept)))
            }
        };
        Ok((client, notices, task.abort_handle()))
    }

    /// The configuration with only this address in it.
    fn narrowed(&self) -> Config {
        let from = self.config;
        let mut to = Config::new();
        if let Some(user) = from.get_user() {
            to.user(user);
        }
        if let Some(password) = from.get_password() {
            to.password(password);
        }
        if let Some(name) = from.get_dbname() {
            to.dbname(name);
        }
        match &self.endpoint.host {
            Some(Host::Tcp(name)) => to.host(name),
            Some(Host::Unix(path)) => to.host_path(path),
            None => &mut to,
        };
        if let Some(address) = self.endpoint.address {
            to.hostaddr(address);
        }
        to.port(self.endpoint.port)
            .ssl_negotiation(from.get_ssl_negotiation())
            .target_session_attrs(from.get_target_session_attrs())
            .channel_binding(from.get_channel_binding())
            .application_name(self.purpose.name)
            .connect_timeout(from.get_connect_timeout().copied().unwrap_or(CONNECT).min(CONNECT))
            .tcp_user_timeout(SILENCE)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        to
    }
}

/// `PgBouncer` answers `unsupported startup parameter: options` with a protocol violation.
fn refuses_options(err: &tokio_postgres::Error) -> bool {
    err.as_db_error()
        .is_some_and(|err| *err.code() == SqlState::PROTOCOL_VIOLATION && err.message().contains("startup parameter"))
}

/// The TLS settings of connections to this target.
pub(super) async fn connector(target: &Postgres) -> Result<MakeRustlsConnect, String> {
    let config = match &target.ca {
        Some(path) => tls::authority(path).await?,
        None => tls::system().await?,
    };
    Ok(MakeRustlsConnect::new(Arc::unwrap_or_clone(config)))
}
