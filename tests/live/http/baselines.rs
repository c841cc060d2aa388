//! Baselines, from the recording to the verdict, against a real server that becomes slower and faster again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::evidence::{Baselines, Verdict};
use gonogo::core::expr::{Condition, Sight};
use gonogo::core::kind::HttpProbe;
use gonogo::core::plan::Plan;
use gonogo::core::probe::ProbeKind;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::latency::{BaselineFile, BaselineRecording, BaselineRequest, BaselineSubject, LatencySamples};
use gonogo::world::World as _;
use gonogo::world::live::{LiveOptions, MeasuredOutcome, SystemDns, Watching};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;

use super::{Server, answer, serve, target};
use crate::support::{Setting, Stage};

/// A server that takes so many milliseconds for each answer.
async fn taking(millis: &Arc<AtomicU64>) -> Server {
    let millis = Arc::clone(millis);
    serve(move |_| {
        let millis = millis.load(Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            answer(200, "ok")
        }
    })
    .await
}

/// A probe of one side that judges as often as it can.
fn judged() -> ProbeKind {
    let sides = [("new".to_owned(), "new".into())];
    ProbeKind::Http(HttpProbe { baseline: Some("shop.json".to_owned()), judge_over: Some(300), ..HttpProbe::of(sides) })
}

/// Measures so many requests in the world that cannot act, and makes a baseline of them.
async fn recorded(plan: &Plan, dir: &Path, count: usize) -> String {
    let options = LiveOptions {
        run_dir: dir.to_owned(),
        run_id: "baseline".to_owned(),
        epoch: 0,
        clock: Clock::start(At(0)),
        exe: env!("CARGO_BIN_EXE_gonogo").into(),
        system_dns: SystemDns::default(),
    };
    let (mut world, mut requests) = Watching::measuring(plan, options).unwrap();
    world.watch();
    let mut samples = Vec::new();
    while samples.len() < count {
        match requests.recv().await.unwrap().outcome {
            MeasuredOutcome::Took(micros) => samples.push(Some(micros)),
            MeasuredOutcome::Failed(_) => samples.push(None),
            MeasuredOutcome::NotMeasured(..) => {}
        }
    }
    baseline_of([("/", samples)])
}

/// A baseline with these requests, each with the microseconds it took; `None` for a failure.
pub fn baseline_of<const N: usize>(requests: [(&str, Vec<Option<u64>>); N]) -> String {
    let text = |text: &str| text.to_owned();
    let subject = BaselineSubject {
        runbook: text("test"),
        probe: text("web"),
        asks: Vec::new(),
        asked: text("anything"),
        limit: Span(3_000),
    };
    let mut file = BaselineFile::new(&subject);
    let requests =
        requests.map(|(name, samples)| (text(name), BaselineRequest::of(&LatencySamples::in_order(&samples)).unwrap()));
    file.recordings.push(BaselineRecording {
        side: text("old"),
        began: text("2026-11-20T09:00:00+01:00"),
        zone: text("Europe/Berlin"),
        seconds: 60,
        every_ms: 10,
        limit_ms: 3_000,
        from: text("ops1"),
        requests: requests.into(),
    });
    file.write().unwrap()
}

/// The next verdict that is this one.
async fn verdict(stage: &mut Stage, wanted: &str) -> Value {
    stage.value("web", |value| value.at("new.verdict").and_then(Value::text) == Some(wanted)).await
}

#[tokio::test]
async fn slower_than_the_baseline_is_fail_and_equal_again_is_pass() {
    let millis = Arc::new(AtomicU64::new(10));
    let server = taking(&millis).await;
    let setting = Setting::default().target("new", target(server.address)).probe_every("web", judged(), 10, 3_000);
    let mut plan = setting.plan();
    let dir = tempfile::tempdir().unwrap();
    let text = recorded(&plan, dir.path(), 600).await;
    plan.baselines.insert("web".into(), text.into());

    let mut stage = Stage::of(&plan);
    stage.world.watch();
    let first = verdict(&mut stage, "INCONCLUSIVE").await;
    assert!(first.at("new.needs").and_then(Value::int).unwrap() > 0, "{first:?}");
    let recorded = first.at("new.baseline.recorded").and_then(Value::text);
    assert_eq!(recorded, Some("2026-11-20 09:00 Europe/Berlin on ops1"));

    millis.store(40, Ordering::Relaxed);
    let slow = verdict(&mut stage, "FAIL").await;
    let why = slow.at("new.why").and_then(Value::text).unwrap();
    assert!(why.starts_with("/: p") && why.contains("times the baseline's"), "{why}");
    assert_eq!(slow.at("verdict"), Some(&Value::Text("FAIL".to_owned())));

    millis.store(10, Ordering::Relaxed);
    let good = verdict(&mut stage, "PASS").await;
    assert_eq!(good.at("new.why"), Some(&Value::Text(String::new())));
}

/// What is answered by a cache from then on says nothing of the service, and the verdict of before says nothing of now.
#[tokio::test]
async fn a_verdict_does_not_stand_while_nothing_is_measured_any_more() {
    let cached = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&cached);
    let server = serve(move |_| {
        let cache = if says.load(Ordering::Relaxed) { "HIT" } else { "MISS" };
        async move { Response::builder().header("x-cache", cache).body(Full::new(Bytes::from("ok"))).unwrap() }
    })
    .await;
    let setting = Setting::default().target("new", target(server.address)).probe_every("web", judged(), 10, 3_000);
    let mut plan = setting.plan();
    plan.baselines.insert("web".into(), baseline_of([("/", vec![Some(100_000); 600])]).into());
    let shapes = [("web".into(), plan.probes["web"].kind.shape())].into();
    let gate = Condition::compile("web.new.verdict == 'PASS' && web.verdict != 'FAIL'", &shapes).unwrap();

    let mut stage = Stage::of(&plan);
    stage.world.watch();
    verdict(&mut stage, "PASS").await;
    cached.store(true, Ordering::Relaxed);
    let value = stage.value("web", |value| value.at("new.verdict") == Some(&Value::Null)).await;
    assert_eq!(value.at("verdict"), Some(&Value::Null));
    let why = value.at("new.why").and_then(Value::text).unwrap();
    assert!(why.contains("requests were not measured: the answer of new comes out of a cache"), "{why}");
    let seen = |_: &_| Sight::Fresh { value: &value, age: Span::ZERO };
    assert_eq!(gate.evaluate(&seen, &Baselines::new()).verdict, Verdict::Unknown);
    let told = plan.probes["web"].kind.kept_unknown_by("new.verdict", &value);
    assert_eq!(told.as_deref(), Some(why));

    cached.store(false, Ordering::Relaxed);
    verdict(&mut stage, "PASS").await;
}

#[tokio::test]
async fn without_a_baseline_there_is_no_verdict() {
    let server = taking(&Arc::new(AtomicU64::new(0))).await;
    let sides = [("new".to_owned(), "new".into())];
    let mut stage = Setting::default()
        .target("new", target(server.address))
        .probe("web", ProbeKind::Http(HttpProbe::of(sides)))
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| value.at("new.p50").and_then(Value::number).is_some()).await;
    for path in ["verdict", "new.verdict", "new.needs", "new.why", "new.baseline.p95"] {
        assert_eq!(value.at(path), Some(&Value::Null), "{path}");
    }
}

fn gonogo(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gonogo")).args(args).current_dir(dir).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn runbook(port: u16, baseline: &str, title: &str) -> String {
    format!(
        "title: {title}\n\
         targets:\n  shop: {{ http: {{ url: \"http://127.0.0.1:{port}\" }} }}\n\
         probes:\n  latency: {{ kind: http, sides: {{ shop: shop }}, every: 100ms, limit: 3s{baseline} }}\n\
         phases:\n  - title: Look\n    steps:\n      - id: look\n        title: Look\n        \
         gates: [{{ that: latency.shop.errors == 0.0, hold: 1s }}]\n        \
         action: {{ manual: [looked] }}\n        reversibility: free\n"
    )
}

/// From the command line alone: recorded, looked at, compared, named, and refused where it does not belong.
#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_recorded_named_and_compared_from_the_command_line() {
    let server = taking(&Arc::new(AtomicU64::new(5))).await;
    let port = server.address.port();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let named = ", baseline: quiet.json";
    write("runbook.yaml", &runbook(port, named, "Move"));

    let missing = gonogo(dir.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("the baseline cannot be read"), "{}", said(&missing));

    // The file is where the runbook says it is; a second recording is added to it.
    for recordings in 1..=2 {
        let record = gonogo(dir.path(), &["baseline", "record", "--for", "2s"]);
        assert_eq!(record.status.code(), Some(0), "{}", said(&record));
        assert!(said(&record).contains("with fewer than 299 (more,"), "{}", said(&record));
        let file = BaselineFile::read(&std::fs::read_to_string(dir.path().join("quiet.json")).unwrap()).unwrap();
        assert_eq!(file.recordings.len(), recordings);
    }
    let show = gonogo(dir.path(), &["baseline", "show", "quiet.json"]);
    assert_eq!(show.status.code(), Some(0));
    assert!(said(&show).contains("asks: GET / on fresh connections"), "{}", said(&show));
    let check = gonogo(dir.path(), &["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(said(&check).contains("that is held against this baseline can be PASS"), "{}", said(&check));

    // Some twenty requests tell nothing.
    let compare = gonogo(dir.path(), &["baseline", "compare", "quiet.json", "quiet.json"]);
    assert_eq!(compare.status.code(), Some(2), "{}", said(&compare));
    assert!(said(&compare).ends_with("INCONCLUSIVE\n"), "{}", said(&compare));
    assert!(said(&compare).contains("more of them would not: "), "{}", said(&compare));

    // A verdict that never comes, and one that lets through what is not known.
    for (baseline, asked, warned) in [
        ("", "latency.shop.verdict == 'PASS'", "`shop.verdict` is never known: the probe names no `baseline`"),
        (named, "latency.shop.verdict != 'FAIL'", "is GO while `latency.shop.verdict` is INCONCLUSIVE"),
    ] {
        write(
            "gate.yaml",
            &runbook(port, baseline, "Move").replace("latency.shop.errors == 0.0", &format!("\"{asked}\"")),
        );
        let check = gonogo(dir.path(), &["check", "gate.yaml"]);
        assert!(said(&check).contains(warned), "{}", said(&check));
    }

    // Another file is another plan.
    let digest = |output: &Output| said(output).split("digest ").nth(1).unwrap().to_owned();
    write("plain.yaml", &runbook(port, "", "Move"));
    assert_ne!(digest(&check), digest(&gonogo(dir.path(), &["check", "plain.yaml"])));

    write("other.yaml", &runbook(port, named, "Other"));
    let other = gonogo(dir.path(), &["check", "other.yaml"]);
    assert!(said(&other).contains("recorded with the runbook \"Move\""), "{}", said(&other));
    let other = gonogo(dir.path(), &["baseline", "record", "other.yaml", "--for", "1h"]);
    assert_eq!(other.status.code(), Some(3), "refused before an hour is spent: {}", said(&other));
    let text = std::fs::read_to_string(dir.path().join("quiet.json")).unwrap();
    write("quiet.json", &text.replace("\"failed\": 0", "\"failed\": 1"));
    let damaged = gonogo(dir.path(), &["check"]);
    assert!(said(&damaged).contains("the baseline is damaged"), "{}", said(&damaged));
    let damaged = gonogo(dir.path(), &["baseline", "compare", "quiet.json", "quiet.json"]);
    assert_eq!(damaged.status.code(), Some(3), "{}", said(&damaged));

    // What does not answer is no baseline, and nothing is written.
    drop(server);
    let gone = gonogo(dir.path(), &["baseline", "record", "plain.yaml", "--for", "1s", "--out", "gone.json"]);
    assert_eq!(gone.status.code(), Some(3), "{}", said(&gone));
    assert!(said(&gone).contains("nothing was written"), "{}", said(&gone));
    assert!(!dir.path().join("gone.json").exists());
}

/// What was asked for otherwise, or given up earlier, is no measure for this, and the difference is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_otherwise_is_not_compared() {
    let server = taking(&Arc::new(AtomicU64::new(5))).await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let text = runbook(server.address.port(), ", baseline: quiet.json", "Move");
    write("runbook.yaml", &text);
    write("patient.yaml", &text.replace("limit: 3s", "limit: 4s"));
    let record = gonogo(dir.path(), &["baseline", "record", "--for", "2s"]);
    assert_eq!(record.status.code(), Some(0), "{}", said(&record));

    let patient = gonogo(dir.path(), &["check", "patient.yaml"]);
    assert_eq!(patient.status.code(), Some(2), "{}", said(&patient));
    let one_line = |output: &Output| said(output).replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(one_line(&patient).contains("given up after 3.0 s"), "{}", said(&patient));
    assert!(one_line(&patient).contains("gives up after 4.0 s"), "{}", said(&patient));
    let record = ["baseline", "record", "patient.yaml", "--for", "2s", "--out"];
    let added = gonogo(dir.path(), &[&record[..], &["quiet.json"]].concat());
    assert_eq!(added.status.code(), Some(3), "{}", said(&added));
    assert!(said(&added).contains("nothing was measured"), "{}", said(&added));
    let other = gonogo(dir.path(), &[&record[..], &["patient.json"]].concat());
    assert_eq!(other.status.code(), Some(0), "{}", said(&other));
    let compare = gonogo(dir.path(), &["baseline", "compare", "quiet.json", "patient.json"]);
    assert_eq!(compare.status.code(), Some(3), "{}", said(&compare));
    assert!(said(&compare).contains("given up after 3.0 s"), "{}", said(&compare));

    // What a reviewer reads is what was asked for.
    let kept = std::fs::read_to_string(dir.path().join("quiet.json")).unwrap();
    write("quiet.json", &kept.replace("GET / on fresh", "GET /other on fresh"));
    let check = gonogo(dir.path(), &["check"]);
    assert_eq!(check.status.code(), Some(2), "{}", said(&check));
    assert!(
        one_line(&check).contains("recorded with other requests: GET /other on fresh connections"),
        "{}",
        said(&check)
    );
}

/// A recording of a profile's world is no measure for the world without it, unless somebody says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_in_a_profile_lands_in_a_file_of_its_own() {
    let server = taking(&Arc::new(AtomicU64::new(5))).await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let files = || {
        let entries =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name != "runbook.yaml").collect();
        names.sort();
        names
    };
    let text = runbook(server.address.port(), ", baseline: \"{{ vars.quiet }}\"", "Move");
    let profiles = "vars: { quiet: quiet.json, other: 1 }\nprofiles:\n  lab: { vars: { other: 2 } }\n  own: { vars: { quiet: own.json } }\n";
    write("runbook.yaml", &format!("{text}{profiles}"));
    for (profile, out, names) in [
        ("lab", None, vec!["latency.lab.baseline.json"]),
        ("own", None, vec!["latency.lab.baseline.json", "own.json"]),
        ("lab", Some("quiet.json"), vec!["latency.lab.baseline.json", "own.json", "quiet.json"]),
    ] {
        let mut args = vec!["baseline", "record", "--for", "1s", "--profile", profile];
        args.extend(out.iter().flat_map(|out| ["--out", out]));
        let record = gonogo(dir.path(), &args);
        assert_eq!(record.status.code(), Some(0), "{}", said(&record));
        assert_eq!(files(), names, "{}", said(&record));
    }
}

/// What would be lost after an hour is refused before it, and a lost terminal loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_not_lost_at_its_end() {
    let server = taking(&Arc::new(AtomicU64::new(5))).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("runbook.yaml"), runbook(server.address.port(), "", "Move")).unwrap();
    let nowhere = gonogo(dir.path(), &["baseline", "record", "--for", "1h", "--out", "no/such/folder.json"]);
    assert_eq!(nowhere.status.code(), Some(3), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("nothing was measured"), "{}", said(&nowhere));

    let mut first = Command::new(env!("CARGO_BIN_EXE_gonogo"))
        .args(["baseline", "record", "--for", "1h", "--out", "quiet.json"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains(" requests, 0 failed") {}
    let second = gonogo(dir.path(), &["baseline", "record", "--for", "1h", "--out", "quiet.json"]);
    assert_eq!(second.status.code(), Some(3), "{}", said(&second));
    assert!(said(&second).contains("another recording is under way"), "{}", said(&second));

    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let file = BaselineFile::read(&std::fs::read_to_string(dir.path().join("quiet.json")).unwrap()).unwrap();
    assert_eq!(file.recordings.len(), 1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the runbook and the baseline, and nothing else");
}

/// A probe that acts does so only where it is asked to.
#[tokio::test(flavor = "multi_thread")]
async fn what_acts_is_neither_watched_nor_recorded_unless_it_is_said() {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let server = serve(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { answer(200, "ok") }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let text = runbook(server.address.port(), ", method: POST", "Move");
    std::fs::write(dir.path().join("runbook.yaml"), text).unwrap();
    for args in [&["watch", "--plain"][..], &["baseline", "record", "--for", "1h"]] {
        let refused = gonogo(dir.path(), args);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("`latency` sends POST to shop with every measurement"), "{}", said(&refused));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let record = gonogo(dir.path(), &["baseline", "record", "--for", "1s", "--acting-probes"]);
    assert_eq!(record.status.code(), Some(0), "{}", said(&record));
    assert!(asked.load(Ordering::Relaxed) > 0);
}
