//! PostgreSQL clusters of our own, gone with the test.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gonogo::core::target::{Postgres, Target, Tls};
use tempfile::TempDir;

use crate::support::{free_port, until};

/// A running server that trusts everybody except the role `gonogo`, who needs the password `pg-canary-42`.
pub struct Cluster {
    pub port: u16,
    dir: TempDir,
    child: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT is the fast shutdown; the data are thrown away anyway.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap_or(0)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}

/// A program of PostgreSQL: of the installation that `GONOGO_PG` names, or the newest of this machine.
fn program(name: &str) -> PathBuf {
    if let Some(installation) = std::env::var_os("GONOGO_PG") {
        return Path::new(&installation).join("bin").join(name);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn id_of(flag: &str) -> u32 {
    let out = Command::new("id").args([flag, "postgres"]).output().unwrap().stdout;
    String::from_utf8(out).unwrap().trim().parse().expect("a user postgres")
}

/// PostgreSQL refuses to run as root.
pub fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    if rustix::process::getuid().is_root() {
        command.uid(id_of("-u")).gid(id_of("-g")).current_dir("/");
    }
    command
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[&str]) -> Self {
        let dir = Self::folder();
        let data = dir.path().join("data");
        let made = as_postgres(&program("initdb"))
            .args(["--no-sync", "--auth=trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let hba = data.join("pg_hba.conf");
        let rules = std::fs::read_to_string(&hba).unwrap();
        std::fs::write(&hba, format!("host all gonogo all scram-sha-256\n{rules}")).unwrap();
        let cluster = Self::serve(dir, settings).await;
        cluster.sql("create role gonogo superuser login password 'pg-canary-42'").await;
        cluster
    }

    pub fn folder() -> TempDir {
        let dir = TempDir::new().unwrap();
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(id_of("-u")), Some(id_of("-g"))).unwrap();
        }
        dir
    }

    /// A physical standby of this server, through the slot `standby`.
    pub async fn standby(&self) -> Self {
        self.sql("select pg_create_physical_replication_slot('standby')").await;
        let dir = Self::folder();
        let made = as_postgres(&program("pg_basebackup"))
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-R",
                "-S",
                "standby",
                "-X",
                "stream",
                "--no-sync",
                "-c",
                "fast",
            ])
            .args(["-p", &self.port.to_string(), "-D"])
            .arg(dir.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::serve(dir, &[]).await
    }

    /// This standby becomes the primary, at the address where `primary` was: a failover.
    pub async fn take_over(mut self, mut primary: Self) -> Self {
        self.sql("select pg_promote()").await;
        let port = primary.port;
        primary.crash().await;
        self.crash().await;
        self.child = Self::spawn(&self.dir, port, &[]);
        self.port = port;
        self.is_up().await;
        self
    }

    async fn serve(dir: TempDir, settings: &[&str]) -> Self {
        let port = free_port();
        let child = Self::spawn(&dir, port, settings);
        let cluster = Self { port, dir, child };
        cluster.is_up().await;
        cluster
    }

    fn spawn(dir: &TempDir, port: u16, settings: &[&str]) -> Child {
        let mut command = as_postgres(&program("postgres"));
        command.arg("-D").arg(dir.path().join("data")).args(["-p", &port.to_string(), "-k"]).arg(dir.path());
        let always = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "wal_level=logical",
            "shared_buffers=16MB",
            "wal_retrieve_retry_interval=200ms",
        ];
        for setting in always.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn is_up(&self) {
        let started = std::time::Instant::now();
        while tokio_postgres::connect(&self.dsn("postgres"), tokio_postgres::NoTls).await.is_err() {
            assert!(started.elapsed().as_secs() < 30, "the server does not come up");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Crashes, and comes up again at the same address.
    pub async fn restart(&mut self) {
        self.crash().await;
        self.child = Self::spawn(&self.dir, self.port, &[]);
        self.is_up().await;
    }

    /// Shuts down as an operator does, and comes up again at the same address.
    pub async fn shut_down_and_start(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let child = &mut self.child;
        until("gone", || child.try_wait().unwrap().is_some()).await;
        self.child = Self::spawn(&self.dir, self.port, &[]);
        self.is_up().await;
    }

    /// A client of a database of this server.
    pub async fn in_database(&self, name: &str) -> tokio_postgres::Client {
        let dsn = self.dsn("postgres").replace("dbname=postgres", &format!("dbname={name}"));
        let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A client that holds what `statement` locks until it is dropped or rolls back.
    pub async fn hold(&self, statement: &str) -> tokio_postgres::Client {
        let client = self.in_database("postgres").await;
        client.batch_execute(&format!("begin; {statement}")).await.unwrap();
        client
    }

    pub fn dsn(&self, user: &str) -> String {
        format!("host=127.0.0.1 port={} user={user} dbname=postgres", self.port)
    }

    pub fn target(&self) -> Target {
        self.target_as("postgres")
    }

    pub fn target_as(&self, user: &str) -> Target {
        Target::Postgres(Postgres { dsn: self.dsn(user), password: None, tls: Tls::Disable, ca: None })
    }

    pub async fn sql(&self, text: &str) -> Vec<tokio_postgres::SimpleQueryMessage> {
        let (client, connection) = tokio_postgres::connect(&self.dsn("postgres"), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.simple_query(text).await.unwrap_or_else(|err| panic!("{text}: {err:?}"))
    }

    pub async fn text(&self, query: &str) -> Option<String> {
        self.sql(query).await.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    /// Waits until `query` gives `wanted`.
    pub async fn until(&self, query: &str, wanted: &str) {
        let started = std::time::Instant::now();
        while self.text(query).await.as_deref() != Some(wanted) {
            assert!(started.elapsed().as_secs() < 30, "{query} is never {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Stops the server as a crash would, and waits until it is gone.
    pub async fn crash(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        let child = &mut self.child;
        until("gone", || child.try_wait().unwrap().is_some()).await;
    }
}
