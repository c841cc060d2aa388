//! What the `dns` probe costs, how fast it asks and how soon it sees a change, on Knot DNS of this machine.
//!
//! `cargo bench --bench dns [-- SECONDS]` takes about SECONDS (20) and half a minute. Needs `knotd`, `knsupdate` and `dnsperf`
//! (Debian's packages `knot`, `knot-dnsutils` and `dnsperf`). Printed are the share of a core at 60 resolvers, 4 names and 2 types
//! once a second; the rate of 10,000 questions to one server beside that of dnsperf with as many at once, the two taking
//! turns; and how long after a change at an authoritative server a reading has it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at what it did not expect")]
#![allow(clippy::cast_precision_loss, reason = "its numbers are small")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::plan::Plan;
use gonogo::core::time::At;
use gonogo::core::value::Value;
use gonogo::runbook::{Options, load_str};
use gonogo::world::live::{LiveOptions, SystemDns, Watching, ask_many};
use gonogo::world::{World as _, WorldEvent};
use tempfile::TempDir;
use tokio::time::{Instant, timeout_at};

const RESOLVERS: u8 = 60;
const NAMES: usize = 4;
const QUESTIONS: usize = 10_000;
const ROUNDS: usize = 3;
const AT_ONCE: [usize; 2] = [20, 100];
const CHANGES: usize = 5;

fn main() {
    // `cargo bench` passes flags of its own.
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(20);
    let knot = Knot::start();
    cost(&knot, Duration::from_secs(seconds));
    rate(&knot);
    change(&knot);
}

/// Many resolvers, each asked for every name and both types once a second.
fn cost(knot: &Knot, lasting: Duration) {
    let mut resolvers = String::new();
    for last in 1..=RESOLVERS {
        write!(resolvers, "r{last}: \"127.0.0.{last}:{}\", ", knot.port).unwrap();
    }
    let mut probes = String::new();
    for at in 0..NAMES {
        for (of, old, new) in [("A", "192.0.2.1", "192.0.2.2"), ("AAAA", "2001:db8::1", "2001:db8::2")] {
            let name = format!("name: n{at}.example.test, type: {of}, old: [\"{old}\"], new: [\"{new}\"]");
            writeln!(probes, "  p{at}{of}: {{ kind: dns, target: zone, {name}, samples: 1, every: 1s }}").unwrap();
        }
    }
    let plan = plan(knot, &resolvers, &probes);
    let (readings, cpu) = runtime().block_on(async {
        let mut world = Watching::new(&plan, options()).unwrap();
        world.watch();
        let (mut readings, mut before) = (0_u64, cpu_time());
        // The first questions of all are not the usual ones.
        let began = Instant::now() + Duration::from_secs(3);
        let mut until = began;
        loop {
            match timeout_at(until, world.next()).await {
                Ok(Some(WorldEvent::Reading(_))) => readings += 1,
                Ok(_) => {}
                Err(_) if until == began => (readings, before, until) = (0, cpu_time(), began + lasting),
                Err(_) => break (readings, cpu_time().saturating_sub(before)),
            }
        }
    });
    let seconds = lasting.as_secs_f64();
    let share = cpu.as_secs_f64() / seconds * 100.0;
    let rate = readings as f64 / seconds;
    println!(
        "{RESOLVERS} resolvers x {NAMES} names x 2 types once a second, {rate:.0} readings a second: {share:.1} % of a core"
    );
}

/// Many questions to one server, here and from dnsperf in turns.
fn rate(knot: &Knot) {
    let server: SocketAddr = format!("127.0.0.1:{}", knot.port).parse().unwrap();
    let file = knot.dir.path().join("questions");
    std::fs::write(&file, "n0.example.test A\n").unwrap();
    for at_once in AT_ONCE {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let answers = runtime().block_on(ask_many(server, "n0.example.test", QUESTIONS, at_once)).unwrap();
            own.push(answers as f64 / began.elapsed().as_secs_f64());
            let rounds = QUESTIONS.to_string();
            let mut dnsperf = Command::new("dnsperf");
            dnsperf.args(["-s", "127.0.0.1", "-p", &knot.port.to_string(), "-n", &rounds, "-c", "1", "-T", "1"]);
            let told = dnsperf.args(["-q", &at_once.to_string(), "-d"]).arg(&file).output().unwrap().stdout;
            let told = String::from_utf8_lossy(&told).into_owned();
            let line = told.lines().find(|line| line.contains("Queries per second:")).unwrap();
            other.push(line.rsplit(':').next().unwrap().trim().parse::<f64>().unwrap());
        }
        own.sort_by(f64::total_cmp);
        other.sort_by(f64::total_cmp);
        let (own, other) = (own[ROUNDS / 2], other[ROUNDS / 2]);
        let ratio = own / other;
        println!("{QUESTIONS} questions, {at_once} at once: {own:.0} a second, dnsperf {other:.0}: x{ratio:.2}");
    }
}

/// From just before a change is sent to the authoritative server until a reading has it.
fn change(knot: &Knot) {
    let name = "name: app.example.test, old: [192.0.2.1], new: [192.0.2.2], every: 1s";
    let plan = plan(knot, "", &format!("  app: {{ kind: dns, target: zone, {name} }}\n"));
    let mut took = runtime().block_on(async {
        let mut took = Vec::new();
        for _ in 0..CHANGES {
            knot.point("192.0.2.1");
            let mut world = Watching::new(&plan, options()).unwrap();
            world.watch();
            let is = async |world: &mut Watching, field: &str| {
                while let Some(event) = world.next().await {
                    if let WorldEvent::Reading(reading) = event
                        && reading.result.unwrap().at(field) == Some(&Value::Bool(true))
                    {
                        return;
                    }
                }
            };
            is(&mut world, "authoritative_old").await;
            let began = Instant::now();
            knot.point("192.0.2.2");
            is(&mut world, "authoritative_new").await;
            took.push(began.elapsed());
        }
        took
    });
    took.sort();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    let (middle, longest) = (ms(took[CHANGES / 2]), ms(took[CHANGES - 1]));
    println!("from a change to its reading, asked once a second: {middle:.0} ms, at most {longest:.0} ms of {CHANGES}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn plan(knot: &Knot, resolvers: &str, probes: &str) -> Plan {
    let zone =
        format!("zone: example.test, authoritative: [\"127.0.0.1:{}\"], resolvers: {{ {resolvers} }}", knot.port);
    let text = format!(
        "title: Names\ntargets: {{ zone: {{ dns: {{ {zone} }} }} }}\nprobes:\n{probes}\
         phases: [{{ title: P, steps: [{{ id: a, title: A, action: {{ manual: [look] }} }}] }}]\n"
    );
    load_str("dns", text, &Options::default()).unwrap().plan
}

fn options() -> LiveOptions {
    LiveOptions {
        run_dir: std::env::temp_dir(),
        run_id: "benchmark".to_owned(),
        epoch: 0,
        clock: Clock::start(At(0)),
        exe: std::env::current_exe().unwrap(),
        system_dns: SystemDns::default(),
    }
}

/// The processor time of this process, as Linux tells it in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_the_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 =
        behind_the_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Knot DNS on every address that the benchmark asks.
struct Knot {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Knot {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let port = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if UdpSocket::bind(tcp.local_addr().unwrap()).is_ok() {
                break tcp.local_addr().unwrap().port();
            }
        };
        let mut zone = "$ORIGIN example.test.\n@ 60 SOA ns admin 1 3600 600 86400 20\n@ 60 NS ns\nns 60 A 127.0.0.1\n\
                        app 60 A 192.0.2.1\n"
            .to_owned();
        for at in 0..NAMES {
            writeln!(zone, "n{at} 60 A 192.0.2.1\nn{at} 60 AAAA 2001:db8::1").unwrap();
        }
        std::fs::write(dir.path().join("zone"), zone).unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        let listen: Vec<String> = (1..=RESOLVERS).map(|last| format!("127.0.0.{last}@{port}")).collect();
        let at = dir.path().display();
        let config = format!(
            "server:\n    listen: [{}]\n    rundir: {at}\n    udp-workers: 1\ndatabase:\n    storage: {at}/db\n\
             acl:\n  - id: here\n    address: 127.0.0.1\n    action: update\n\
             zone:\n  - domain: example.test\n    file: {at}/zone\n    acl: here\n",
            listen.join(", ")
        );
        let file = dir.path().join("config");
        std::fs::write(&file, config).unwrap();
        let mut knotd = Command::new("/usr/sbin/knotd");
        let child = knotd.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let knot = Self { child, port, dir };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        knot
    }

    /// Changes the address of the name.
    fn point(&self, to: &str) {
        let mut update = Command::new("knsupdate").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = format!(
            "server 127.0.0.1 {}\nzone example.test.\nupdate delete app.example.test. A\n\
             update add app.example.test. 60 A {to}\nsend\nquit\n",
            self.port
        );
        update.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(update.wait().unwrap().success());
    }
}
