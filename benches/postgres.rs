//! What the `postgres.replication` probe costs the servers, and how soon it shows that nothing arrives any more.
//!
//! `cargo bench --bench postgres [-- SECONDS]` takes about three times SECONDS (20). Two servers of this machine (Debian's, or
//! the installation that `GONOGO_PG` names) replicate a table and a heartbeat. Printed are the share of a core that each server
//! takes with everything measured ten times a second, less what it takes without, and how many intervals pass from the moment
//! at which the walsender stands still to the reading that says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at what it did not expect")]
#![allow(clippy::cast_possible_wrap, reason = "its numbers are small")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::kind::replication::heartbeat;
use gonogo::core::plan::Plan;
use gonogo::core::time::At;
use gonogo::core::value::Value;
use gonogo::runbook::{Options, load_str};
use gonogo::world::live::{LiveOptions, LiveWorld, SystemDns};
use gonogo::world::{World as _, WorldEvent};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::NoTls;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// Ticks of the kernel's clock in a second, as `/proc` counts.
const TICKS: f64 = 100.0;
/// How often the walsender is stopped.
const STALLS: usize = 7;

fn main() {
    // `cargo bench` passes flags of its own.
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(20);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(measure(Duration::from_secs(seconds)));
}

async fn measure(lasting: Duration) {
    let (old, new) = (Server::start(), Server::start());
    let tables = "create table t (id int primary key); create table hb (id text primary key, n bigint not null)";
    for server in [&old, &new] {
        server.sql(tables).await;
    }
    old.sql("create publication everything for all tables").await;
    new.sql(&format!("create subscription sub connection '{}' publication everything", old.dsn())).await;
    sleep(lasting / 4).await;
    let idle = [old.cpu(), new.cpu()];
    sleep(lasting).await;
    let idle = [old.cpu() - idle[0], new.cpu() - idle[1]];

    let dir = TempDir::new().unwrap();
    let mut world = LiveWorld::new(&plan(&old, &new), options(dir.path())).unwrap();
    world.watch();
    let mut readings = 0_u32;
    let beats = |value: &Value| value.at("heartbeat").and_then(Value::text) == Some(heartbeat::BEATS);
    until(&mut world, beats).await;
    let (began, before) = (Instant::now(), [old.cpu(), new.cpu()]);
    while let Ok(event) = timeout_at(began + lasting, world.next()).await {
        readings += u32::from(matches!(event, Some(WorldEvent::Reading(_))));
    }
    let seconds = lasting.as_secs_f64();
    println!("{:.1} readings a second", f64::from(readings) / seconds);
    for (name, at, server) in [("source", 0, &old), ("target", 1, &new)] {
        let share = (server.cpu() - before[at] - idle[at]) / seconds * 100.0;
        println!("{name}: {share:.2} % of a core");
    }

    let mut took = Vec::new();
    for _ in 0..STALLS {
        until(&mut world, beats).await;
        let walsender = old.text("select pid::text from pg_stat_replication").await;
        let walsender = Pid::from_raw(walsender.parse().unwrap()).unwrap();
        kill_process(walsender, Signal::STOP).unwrap();
        let stopped = Instant::now();
        until(&mut world, |value| !beats(value)).await;
        took.push(stopped.elapsed().as_secs_f64() / INTERVAL.as_secs_f64());
        kill_process(walsender, Signal::CONT).unwrap();
    }
    took.sort_by(f64::total_cmp);
    println!(
        "a stall is read after {:.1} intervals (median), {:.1} at most",
        took[took.len() / 2],
        took[took.len() - 1]
    );
}

async fn until(world: &mut LiveWorld, wanted: impl Fn(&Value) -> bool) {
    loop {
        if let Some(WorldEvent::Reading(reading)) = world.next().await
            && reading.result.as_ref().is_ok_and(&wanted)
        {
            return;
        }
    }
}

fn plan(old: &Server, new: &Server) -> Plan {
    let text = format!(
        "title: Cost\ntargets:\n  old: {{ postgres: {{ dsn: \"{}\", tls: disable }} }}\n  new: {{ postgres: {{ dsn: \"{}\", tls: disable }} }}\n\
         probes:\n  lag: {{ kind: postgres.replication, source: old, target: new, subscription: sub, heartbeat: public.hb, every: 100ms, limit: 5s }}\n\
         phases:\n  - title: P\n    steps:\n      - {{ id: a, title: A, gates: [{{ that: lag.streaming }}], action: {{ command: {{ run: \"true\" }} }}, reversibility: free }}\n",
        old.dsn(),
        new.dsn()
    );
    load_str("postgres", text, &Options::default()).unwrap().plan
}

fn options(dir: &Path) -> LiveOptions {
    LiveOptions {
        run_dir: dir.to_owned(),
        run_id: "benchmark".to_owned(),
        epoch: 0,
        clock: Clock::start(At(0)),
        exe: std::env::current_exe().unwrap(),
        system_dns: SystemDns::default(),
    }
}

/// A server of this machine, gone with the benchmark.
struct Server {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(id_of("-u")), Some(id_of("-g"))).unwrap();
        }
        let data = dir.path().join("data");
        let made =
            as_postgres("initdb").args(["--no-sync", "--auth=trust", "-U", "postgres", "-D"]).arg(&data).output();
        assert!(made.unwrap().status.success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = as_postgres("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(dir.path())
            .args(["-c", "wal_level=logical", "-c", "listen_addresses=127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _dir: dir }
    }

    fn dsn(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }

    async fn client(&self) -> tokio_postgres::Client {
        loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&self.dsn(), NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            sleep(INTERVAL).await;
        }
    }

    async fn sql(&self, text: &str) {
        self.client().await.batch_execute(text).await.unwrap();
    }

    async fn text(&self, query: &str) -> String {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Seconds of a core that its processes have taken, those that have ended included.
    fn cpu(&self) -> f64 {
        let postmaster = self.child.id().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let times = processes.filter_map(|process| {
            let name = process.file_name().into_string().ok()?;
            let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
            // After the name of the program, which may hold anything: state, parent, …, the times from the twelfth on.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let time = |at: usize| fields.get(at)?.parse::<f64>().ok();
            match (name == postmaster, *fields.get(1)? == postmaster) {
                (true, _) => Some(time(11)? + time(12)? + time(13)? + time(14)?),
                (false, true) => Some(time(11)? + time(12)?),
                (false, false) => None,
            }
        });
        times.sum::<f64>() / TICKS
    }
}

fn id_of(flag: &str) -> u32 {
    let out = Command::new("id").args([flag, "postgres"]).output().unwrap().stdout;
    String::from_utf8(out).unwrap().trim().parse().unwrap()
}

/// A program of the installation that `GONOGO_PG` names, or of the newest of this machine. It refuses to run as root.
fn as_postgres(name: &str) -> Command {
    let installation = std::env::var_os("GONOGO_PG").map_or_else(newest, PathBuf::from);
    let mut command = Command::new(installation.join("bin").join(name));
    if rustix::process::getuid().is_root() {
        command.uid(id_of("-u")).gid(id_of("-g")).current_dir("/");
    }
    command
}

fn newest() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    installed.map(|version| version.path()).max().unwrap()
}
