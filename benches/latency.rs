//! What the `http` probe costs and how true its figures are, beside an open-loop checker that shares nothing with it.
//!
//! `cargo bench --bench latency [-- SECONDS]` takes about three times SECONDS (40). A server of its own process answers at
//! once, except that it stalls for a second in every ten where that is said. Printed are the share of a core at 200 requests a
//! second over 20 targets; p50 at 10 a second and p99 under stalls, as the probe and as the checker measure them at the same
//! time; and what the readings of a day (20 probes, two a second) come to in a journal, measured on the readings of the first
//! part and multiplied. `cargo bench --bench rehearsal` and `cargo run --release --example judge_rates` print the rest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at what it did not expect")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unchecked_time_subtraction,
    reason = "its numbers are small"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::plan::Plan;
use gonogo::core::reading::Reading;
use gonogo::core::time::At;
use gonogo::journal::{Holder, Ledger as _, NewRun, RunId, Store};
use gonogo::runbook::{Options, load_str};
use gonogo::sample_log::SampleLog;
use gonogo::world::live::{LiveOptions, MeasuredOutcome, SystemDns, Watching};
use gonogo::world::{World as _, WorldEvent};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout_at};

/// The word with which this program is its own server.
const SERVE: &str = "serve";

/// How often the server stalls, and for how long.
const STALL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// Samples handed over in one transaction, as the driver does.
const BATCH: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, serve, stalls] = args.as_slice()
        && serve == SERVE
    {
        runtime().block_on(serve_for_ever(stalls == "stalling"));
        return;
    }
    // `cargo bench` passes flags of its own.
    let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(40);
    let lasting = Duration::from_secs(seconds);
    let readings = cost(lasting);
    size(&readings);
    beside("p50 at 10 a second", false, lasting, 0.50);
    beside("p99 under stalls of 1 s in 10 s", true, lasting.max(STALL.0 * 4), 0.99);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// 20 targets, ten requests a second to each.
fn cost(lasting: Duration) -> Vec<Reading> {
    let server = Server::start(false);
    let plan = plan(20, server.address);
    let (measured, readings, cpu) = runtime().block_on(async {
        let (mut world, mut requests) = Watching::measuring(&plan, options()).unwrap();
        world.watch();
        let (mut measured, mut readings) = (0_u64, Vec::new());
        let (began, before) = (Instant::now(), cpu_time());
        while let Ok(event) = timeout_at(began + lasting, async {
            tokio::select! {
                Some(_) = requests.recv() => None,
                event = world.next() => event,
            }
        })
        .await
        {
            match event {
                Some(WorldEvent::Reading(reading)) => readings.push(reading),
                Some(_) => {}
                None => measured += 1,
            }
        }
        (measured, readings, cpu_time() - before)
    });
    let seconds = lasting.as_secs_f64();
    println!(
        "{:.0} requests a second over 20 targets: {:.1} % of a core",
        measured as f64 / seconds,
        cpu.as_secs_f64() / seconds * 100.0
    );
    readings
}

/// What the readings of a day take on disk: what half an hour adds to a journal that has half an hour of them, since the
/// newest are kept as they come and only older ones are packed.
fn size(readings: &[Reading]) {
    let half_an_hour = 20 * 2 * 1_800;
    let added = stored(readings, 2 * half_an_hour).saturating_sub(stored(readings, half_an_hour));
    let each = added as f64 / half_an_hour as f64;
    println!(
        "a reading takes {each:.0} bytes of journal: {:.0} MiB for a day of 20 probes at 2 a second",
        each * f64::from(20 * 2 * 86_400) / f64::from(1 << 20)
    );
}

/// Bytes of a journal with so many readings, over and over the same.
fn stored(readings: &[Reading], wanted: usize) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let now = Timestamp::now();
    let id = RunId::new(now, 1);
    let run = NewRun { created_at: now, title: "size".to_owned(), runbook: Vec::new(), labels: BTreeMap::new() };
    let mut journal = store.create_run(&id, &run, &Holder::rehearsing("benchmark", now)).unwrap();
    let mut log = SampleLog::new(0, At(0));
    let samples: Vec<_> =
        readings.iter().cycle().take(wanted).filter_map(|reading| log.reading(reading.at, reading, None)).collect();
    for batch in samples.chunks(BATCH) {
        journal.append_samples(batch).unwrap();
        journal.tidy().unwrap();
    }
    drop(journal);
    files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum()
}

fn files(dir: &std::path::Path) -> Vec<std::fs::DirEntry> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry) }
    }
    found
}

/// A quantile as the probe and as the checker measure it at the same time, at ten requests a second each.
fn beside(what: &str, stalling: bool, lasting: Duration, quantile: f64) {
    let server = Server::start(stalling);
    let plan = plan(1, server.address);
    let (probe, checker) = runtime().block_on(async {
        let checker = tokio::spawn(check(server.address, Duration::from_millis(100), lasting));
        let (mut world, mut requests) = Watching::measuring(&plan, options()).unwrap();
        world.watch();
        let end = Instant::now() + lasting;
        let (mut took, mut failed) = (Vec::new(), 0);
        loop {
            tokio::select! {
                Some(request) = requests.recv() => match request.outcome {
                    MeasuredOutcome::Took(micros) => took.push(micros),
                    MeasuredOutcome::Failed(_) | MeasuredOutcome::NotMeasured(..) => failed += 1,
                },
                _ = world.next() => {}
                () = sleep_until(end) => break,
            }
        }
        assert_eq!(failed, 0, "requests that failed or were not measured");
        (took, checker.await.unwrap())
    });
    let (of_probe, of_checker) = (nearest_rank(probe, quantile), nearest_rank(checker, quantile));
    println!(
        "{what}: probe {:.2} ms, checker {:.2} ms: {:+.2} ms, {:+.1} %",
        of_probe,
        of_checker,
        of_probe - of_checker,
        (of_probe / of_checker - 1.0) * 100.0
    );
}

/// In milliseconds.
fn nearest_rank(mut micros: Vec<u64>, quantile: f64) -> f64 {
    micros.sort_unstable();
    let rank = (quantile * micros.len() as f64).ceil() as usize;
    micros[rank.clamp(1, micros.len()) - 1] as f64 / 1e3
}

/// Asks at its own fixed moments with a connection for each, and counts from the moment at which it meant to ask.
async fn check(address: SocketAddr, every: Duration, lasting: Duration) -> Vec<u64> {
    let began = Instant::now();
    let mut asked = Vec::new();
    let mut intended = began;
    while intended < began + lasting {
        sleep_until(intended).await;
        asked.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
            u64::try_from(intended.elapsed().as_micros()).unwrap()
        }));
        intended += every;
    }
    let mut took = Vec::new();
    for one in asked {
        took.push(one.await.unwrap());
    }
    took
}

fn plan(targets: usize, address: SocketAddr) -> Plan {
    let mut text = "title: Latency\ntargets:\n".to_owned();
    for at in 0..targets {
        writeln!(text, "  web-{at}: {{ http: {{ url: \"http://{address}\" }} }}").unwrap();
    }
    text.push_str("probes:\n");
    for at in 0..targets {
        writeln!(text, "  web_{at}: {{ kind: http, sides: {{ it: web-{at} }}, path: /, every: 100ms, limit: 3s }}")
            .unwrap();
    }
    text.push_str("phases: [{ title: P, steps: [{ id: a, title: A, action: { manual: [look] } }] }]\n");
    load_str("latency", text, &Options::default()).unwrap().plan
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

/// The server, in a process of its own, so that what it costs is not the probe's.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(stalling: bool) -> Self {
        let kind = if stalling { "stalling" } else { "steady" };
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args([SERVE, kind]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }
}

async fn serve_for_ever(stalling: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let began = Instant::now();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let service = service_fn(|_| async {
                if stalling {
                    let (every, lasting) = STALL;
                    let into = Duration::from_nanos((began.elapsed().as_nanos() % every.as_nanos()) as u64);
                    // The last second of each ten.
                    if into >= every - lasting {
                        tokio::time::sleep(every - into).await;
                    }
                }
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            // Whoever breaks off is served no more.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
