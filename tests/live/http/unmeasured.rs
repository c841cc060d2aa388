//! What goes wrong on this side: this program does not run for a while, or has no file descriptors left. It says nothing of
//! the service.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gonogo::latency::{BaselineFile, BaselineRequest};
use rustix::process::{Pid, Signal, kill_process};

use super::{answer, serve};

fn runbook(sides: &[(&str, u16)], every: &str, limit: &str) -> String {
    let target = |(name, port): &(&str, u16)| format!("  {name}: {{ http: {{ url: \"http://127.0.0.1:{port}\" }} }}\n");
    let targets: String = sides.iter().map(target).collect();
    let names: Vec<String> = sides.iter().map(|(name, _)| format!("{name}: {name}")).collect();
    format!(
        "title: Move\ntargets:\n{targets}probes:\n  latency: {{ kind: http, sides: {{ {} }}, every: {every}, limit: {limit} }}\n\
         phases:\n  - title: Look\n    steps:\n      - id: look\n        title: Look\n        \
         action: {{ manual: [looked] }}\n        reversibility: free\n",
        names.join(", ")
    )
}

/// What was recorded of the healthy side by then.
fn recorded(dir: &Path, mut recording: Child) -> BaselineRequest {
    let ended = recording.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let file = BaselineFile::read(&std::fs::read_to_string(dir.join("well.json")).unwrap()).unwrap();
    file.recordings[0].requests["/"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_which_gonogo_was_stopped_is_no_slow_request() {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let server = serve(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { answer(200, "ok") }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("runbook.yaml"), runbook(&[("well", server.address.port())], "100ms", "10s"))
        .unwrap();
    let mut recording = Command::new(env!("CARGO_BIN_EXE_gonogo"))
        .args(["baseline", "record", "--for", "5s", "--side", "well", "--out", "well.json"])
        .current_dir(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&recording);
    while asked.load(Ordering::Relaxed) < 10 {
        assert!(recording.try_wait().unwrap().is_none(), "the recording ended early");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill_process(pid, Signal::STOP).unwrap();
    // The stop itself: what is tested is that its length is in no figure.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    kill_process(pid, Signal::CONT).unwrap();
    let of = recorded(dir.path(), recording);
    assert_eq!(of.failed, 0, "{of:?}");
    let slowest = of.samples().unwrap().quantile(1.0).unwrap();
    assert!(slowest < 1_000_000, "a request took {slowest} µs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_stalls_does_not_use_up_the_descriptors_of_the_others() {
    let well = serve(|_| async { answer(200, "ok") }).await;
    let stalls = serve(|_| async {
        std::future::pending::<()>().await;
        answer(200, "never")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let sides = [
        ("well", well.address.port()),
        ("slow_a", stalls.address.port()),
        ("slow_b", stalls.address.port()),
        ("slow_c", stalls.address.port()),
    ];
    std::fs::write(dir.path().join("runbook.yaml"), runbook(&sides, "100ms", "30s")).unwrap();
    let record = "ulimit -n 96; exec \"$0\" baseline record --for 5s --side well --out well.json";
    let recording = Command::new("sh")
        .args(["-c", record, env!("CARGO_BIN_EXE_gonogo")])
        .current_dir(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let of = recorded(dir.path(), recording);
    assert_eq!(of.failed, 0, "{of:?}");
    assert!(of.total > 20, "{of:?}");
}
