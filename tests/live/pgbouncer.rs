//! The pooler's admin console, on a real `PgBouncer` in front of a real server.

use std::path::Path;
use std::process::{Child, Stdio};

use gonogo::core::action::Action;
use gonogo::core::kind::PgbouncerProbe;
use gonogo::core::kind::pgbouncer::{PgbouncerAction, PgbouncerCommand, PgbouncerShow};
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::{Postgres, Target, Tls};
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Client, NoTls};

use crate::pg::{Cluster, as_postgres};
use crate::support::{Setting, Stage, failed, free_port, key, succeeded, unknown, until};

/// A pooler with the databases `shop` and `Shop-2`, the admin `admin`, `watcher` who may look, and `app` who may not.
pub struct Pooler {
    pub port: u16,
    pub cluster: Cluster,
    dir: TempDir,
    child: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines of configuration.
    pub async fn start_with(more: &str) -> Self {
        let (cluster, dir, port) = (Cluster::start().await, Cluster::folder(), free_port());
        let server = format!("host=127.0.0.1 port={} dbname=postgres user=postgres", cluster.port);
        let users = dir.path().join("users");
        std::fs::write(&users, "\"admin\" \"\"\n\"watcher\" \"\"\n\"app\" \"\"\n").unwrap();
        let config = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\nshop = {server}\nShop-2 = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\nadmin_users = admin\nstats_users = watcher\n\
             pool_mode = transaction\n{more}\n",
            users.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = as_postgres(Path::new("/usr/sbin/pgbouncer"));
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pgbouncer is installed");
        let pooler = Self { port, cluster, dir, child };
        let started = std::time::Instant::now();
        while tokio_postgres::connect(&pooler.dsn("admin", "pgbouncer"), NoTls).await.is_err() {
            assert!(started.elapsed().as_secs() < 30, "the pooler does not come up");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        pooler
    }

    /// Leads to the server on another port from now on, without a word to its clients.
    pub async fn lead_to(&self, port: u16) {
        let config = self.dir.path().join("pgbouncer.ini");
        let text = std::fs::read_to_string(&config).unwrap();
        let (before, after) = (format!("port={} dbname", self.cluster.port), format!("port={port} dbname"));
        std::fs::write(&config, text.replace(&before, &after)).unwrap();
        let (console, connection) =
            tokio_postgres::connect(&self.dsn("admin", "pgbouncer"), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        console.simple_query("reload").await.unwrap();
    }

    pub fn dsn(&self, user: &str, database: &str) -> String {
        format!("host=127.0.0.1 port={} user={user} dbname={database}", self.port)
    }

    pub fn target(&self, user: &str, database: &str) -> Target {
        Target::Postgres(Postgres { dsn: self.dsn(user, database), password: None, tls: Tls::Disable, ca: None })
    }

    fn setting(&self) -> Setting {
        Setting::default().target("pooler", self.target("admin", "pgbouncer"))
    }

    pub async fn client(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.dsn("app", database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A client in the middle of a transaction.
    async fn busy(&self) -> Client {
        let client = self.client("shop").await;
        client.simple_query("begin; select 1").await.unwrap();
        client
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn act(command: PgbouncerCommand, database: Option<&str>) -> PgbouncerAction {
    PgbouncerAction {
        target: "pooler".into(),
        command,
        database: database.map(str::to_owned),
        show: None,
        limit: Span::secs(30),
        simulate: Vec::new(),
    }
}

fn on_shop(command: PgbouncerCommand) -> Action {
    Action::Pgbouncer(act(command, Some("shop")))
}

fn probe(database: Option<&str>) -> ProbeKind {
    ProbeKind::Pgbouncer(PgbouncerProbe { target: "pooler".into(), database: database.map(str::to_owned) })
}

fn is(value: &Value, field: &str, wanted: impl Into<Value>) -> bool {
    value.at(field) == Some(&wanted.into())
}

/// Starts a pause that has to wait, and comes back when the pooler has it.
async fn pausing(stage: &mut Stage, action: PgbouncerAction) -> gonogo::core::job::JobKey {
    let key = key("pause");
    stage.world.watch();
    stage.value("pool", |value| is(value, "paused", false)).await;
    stage.world.start(key.clone(), &Action::Pgbouncer(action));
    stage.value("pool", |value| is(value, "paused", true)).await;
    key
}

#[tokio::test]
async fn a_pause_waits_for_open_transactions_and_holds_clients_back_until_resume() {
    let pooler = Pooler::start().await;
    let mut stage = pooler.setting().probe("pool", probe(Some("shop"))).stage();
    let busy = pooler.busy().await;
    let key = pausing(&mut stage, act(PgbouncerCommand::Pause, Some("shop"))).await;
    let working = stage.value("pool", |value| is(value, "servers_active", 1_i64)).await;
    assert!(is(&working, "pool_mode", "transaction") && is(&working, "disabled", false), "{working:?}");
    assert!(is(&working, "address", format!("127.0.0.1:{}", pooler.cluster.port)), "{working:?}");
    busy.simple_query("commit").await.unwrap();
    let outcome = stage.ended(&key).await;
    assert!(succeeded(&outcome).starts_with("PAUSE \"shop\" took") && succeeded(&outcome).ends_with("paused = 1"));

    let waiting = tokio::spawn(async move { busy.simple_query("select 1").await.map(drop) });
    let waits = |value: &Value| value.at("max_wait_s").and_then(Value::number).is_some_and(|wait| wait > 0.0);
    stage.value("pool", |value| is(value, "clients_waiting", 1_i64) && waits(value)).await;
    assert!(!waiting.is_finished());

    let again = stage.run(on_shop(PgbouncerCommand::Pause)).await;
    assert!(
        failed(&again).contains("is paused already") && failed(&again).ends_with("nothing was changed"),
        "{again:?}"
    );

    assert!(succeeded(&stage.run(on_shop(PgbouncerCommand::Resume)).await).ends_with("paused = 0"));
    waiting.await.unwrap().unwrap();
    let again = stage.run(on_shop(PgbouncerCommand::Resume)).await;
    assert!(succeeded(&again).contains("was not paused"), "{again:?}");
}

#[tokio::test]
async fn a_pause_that_passes_its_limit_or_is_stopped_is_taken_back() {
    let pooler = Pooler::start().await;
    let mut stage = pooler.setting().probe("pool", probe(Some("shop"))).stage();
    let busy = pooler.busy().await;
    let other = pooler.client("shop").await;
    let pause = PgbouncerAction { limit: Span(1_000), ..act(PgbouncerCommand::Pause, Some("shop")) };
    let late = pausing(&mut stage, pause).await;
    let outcome = stage.ended(&late).await;
    let what = "it was not complete within 1.0 s: 1 server connection was in use; it was taken back with RESUME";
    assert!(failed(&outcome).contains(what), "{outcome:?}");
    other.simple_query("select 1").await.expect("clients go on");

    let stopped = pausing(&mut stage, act(PgbouncerCommand::Pause, Some("shop"))).await;
    stage.world.stop(&stopped);
    let outcome = stage.ended(&stopped).await;
    assert!(
        failed(&outcome).contains("it was stopped: 1 server connection was in use; it was taken back"),
        "{outcome:?}"
    );
    other.simple_query("select 1").await.expect("clients go on");
    busy.simple_query("commit").await.unwrap();
}

#[tokio::test]
async fn every_other_command_is_carried_out_and_looked_at() {
    let pooler = Pooler::start().await;
    let mut stage = pooler.setting().probe("pool", probe(Some("Shop-2"))).probe("all", probe(None)).stage();
    let odd = |command| Action::Pgbouncer(act(command, Some("Shop-2")));
    assert_eq!(act(PgbouncerCommand::Pause, Some("a\"b")).text(), "PAUSE \"a\"\"b\"");
    succeeded(&stage.run(odd(PgbouncerCommand::Pause)).await);
    stage.world.watch();
    stage.value("pool", |value| is(value, "paused", true)).await;
    let all = stage.value("all", |value| is(value, "paused", false)).await;
    assert!(all.at("version").and_then(Value::text).is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit())));
    succeeded(&stage.run(on_shop(PgbouncerCommand::Pause)).await);
    stage.value("all", |value| is(value, "paused", true)).await;
    succeeded(&stage.run(on_shop(PgbouncerCommand::Resume)).await);
    succeeded(&stage.run(odd(PgbouncerCommand::Resume)).await);

    succeeded(&stage.run(odd(PgbouncerCommand::Disable)).await);
    stage.value("pool", |value| is(value, "disabled", true)).await;
    assert!(tokio_postgres::connect(&pooler.dsn("app", "Shop-2"), NoTls).await.is_err());
    succeeded(&stage.run(odd(PgbouncerCommand::Enable)).await);
    pooler.client("Shop-2").await.simple_query("select 1").await.unwrap();

    // The server's own process is another one after a reconnect.
    let client = pooler.client("shop").await;
    let pid = "select count(*) from pg_stat_activity where application_name = 'marked'";
    client.simple_query("set application_name = 'marked'").await.unwrap();
    pooler.cluster.until(pid, "1").await;
    succeeded(&stage.run(on_shop(PgbouncerCommand::Reconnect)).await);
    pooler.cluster.until(pid, "0").await;
    succeeded(&stage.run(Action::Pgbouncer(act(PgbouncerCommand::Reload, None))).await);

    let show = PgbouncerAction { show: Some(PgbouncerShow::Databases), ..act(PgbouncerCommand::Show, None) };
    assert_eq!(succeeded(&stage.run(Action::Pgbouncer(show)).await), "3 rows");
    assert!(stage.lines().iter().any(|line| line.starts_with("shop | 127.0.0.1 | ")), "{:?}", stage.lines());

    let killed = stage.run(on_shop(PgbouncerCommand::Kill)).await;
    assert!(succeeded(&killed).ends_with("paused = 1"), "{killed:?}");
    until("dropped", || client.is_closed()).await;
    succeeded(&stage.run(on_shop(PgbouncerCommand::Resume)).await);
    pooler.client("shop").await.simple_query("select 1").await.unwrap();
}

#[tokio::test]
async fn what_is_no_console_no_database_or_no_right_is_said_plainly() {
    let pooler = Pooler::start().await;
    let with = |target: Target| Setting::default().target("pooler", target).probe("pool", probe(Some("shop"))).stage();
    for target in [pooler.cluster.target(), pooler.target("app", "shop")] {
        let mut stage = with(target);
        let outcome = stage.run(on_shop(PgbouncerCommand::Pause)).await;
        assert!(failed(&outcome).contains("is PostgreSQL, not PgBouncer's console"), "{outcome:?}");
        stage.world.watch();
        assert!(stage.failure("pool").await.contains("is PostgreSQL, not PgBouncer's console"));
    }

    let mut stage = with(pooler.target("watcher", "pgbouncer"));
    let outcome = stage.run(on_shop(PgbouncerCommand::Pause)).await;
    assert!(failed(&outcome).contains("admin access needed"), "{outcome:?}");
    assert!(failed(&outcome).ends_with("must be in `admin_users` of PgBouncer; nothing was changed"), "{outcome:?}");
    stage.world.watch();
    stage.value("pool", |value| is(value, "paused", false)).await;

    let mut stage = with(pooler.target("app", "pgbouncer"));
    let outcome = stage.run(on_shop(PgbouncerCommand::Pause)).await;
    assert!(failed(&outcome).contains("must be in `admin_users` or `stats_users`"), "{outcome:?}");

    let mut stage = pooler.setting().probe("pool", probe(Some("nosuch"))).stage();
    let outcome = stage.run(Action::Pgbouncer(act(PgbouncerCommand::Reconnect, Some("nosuch")))).await;
    assert!(failed(&outcome).contains("has no database `nosuch`; it has Shop-2, shop"), "{outcome:?}");
    stage.world.watch();
    assert!(stage.failure("pool").await.contains("has no database `nosuch`"));
}

#[tokio::test]
async fn a_console_that_dies_under_a_pause_leaves_it_unknown_with_words_to_look() {
    let mut pooler = Pooler::start().await;
    let mut stage = pooler.setting().probe("pool", probe(Some("shop"))).stage();
    let _busy = pooler.busy().await;
    let pause = pausing(&mut stage, act(PgbouncerCommand::Pause, Some("shop"))).await;
    pooler.end();
    let outcome = stage.ended(&pause).await;
    assert!(unknown(&outcome).starts_with("PAUSE \"shop\" was sent, then: "), "{outcome:?}");
    assert!(
        unknown(&outcome).contains("SHOW DATABASES") && unknown(&outcome).contains("RESUME \"shop\""),
        "{outcome:?}"
    );
    let outcome = stage.run(on_shop(PgbouncerCommand::Resume)).await;
    assert!(failed(&outcome).ends_with("nothing was changed"), "{outcome:?}");
}

/// A port that leads to the pooler and keeps its answer to `command` back: it closes the connection instead, or is silent.
async fn without_an_answer_to(command: &'static str, pooler: u16, closes: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", pooler)).await.unwrap();
            tokio::spawn(async move {
                let ((mut from, mut to), (mut back, mut forth)) = (client.into_split(), server.into_split());
                let (sent, mut was_sent) = tokio::sync::watch::channel(false);
                let asked = async {
                    let mut bytes = vec![0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut bytes).await {
                        if bytes[..count].windows(command.len()).any(|window| window == command.as_bytes()) {
                            sent.send_replace(true);
                        }
                        if forth.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                let answered = async {
                    let mut bytes = vec![0; 4096];
                    while let Ok(count @ 1..) = back.read(&mut bytes).await {
                        if *was_sent.borrow_and_update() {
                            break;
                        }
                        if to.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                    if !closes {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! { () = asked => {} () = answered => {} }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_command_without_an_answer_is_looked_at_again() {
    let pooler = Pooler::start().await;
    for (command, keyword, column) in [
        (PgbouncerCommand::Disable, "DISABLE", "disabled = 1"),
        (PgbouncerCommand::Enable, "ENABLE", "disabled = 0"),
        (PgbouncerCommand::Kill, "KILL", "paused = 1"),
        (PgbouncerCommand::Resume, "RESUME", "paused = 0"),
    ] {
        for closes in [true, false] {
            // Otherwise it would be so already.
            let back = match command {
                PgbouncerCommand::Disable => PgbouncerCommand::Enable,
                PgbouncerCommand::Enable => PgbouncerCommand::Disable,
                PgbouncerCommand::Kill => PgbouncerCommand::Resume,
                _ => PgbouncerCommand::Kill,
            };
            succeeded(&pooler.setting().stage().run(on_shop(back)).await);
            let port = without_an_answer_to(keyword, pooler.port, closes).await;
            let dsn = format!("host=127.0.0.1 port={port} user=admin dbname=pgbouncer");
            let target = Target::Postgres(Postgres { dsn, password: None, tls: Tls::Disable, ca: None });
            let mut stage = Setting::default().target("pooler", target).stage();
            let action = PgbouncerAction { limit: Span(1_500), ..act(command, Some("shop")) };
            let outcome = stage.run(Action::Pgbouncer(action)).await;
            let said = succeeded(&outcome);
            assert!(said.starts_with(&format!("{keyword} \"shop\" was sent")), "{said}");
            assert!(said.ends_with(&format!("it has worked all the same: {column}")), "{said}");
        }
    }
}
