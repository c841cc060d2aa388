//! Secrets that come from programs and files which hang, never end or say too much.

use std::collections::BTreeMap;
use std::path::Path;

use gonogo::core::action::Action;
use gonogo::core::kind::HttpJsonProbe;
use gonogo::core::kind::command::{CommandLine, CommandProbe};
use gonogo::core::kind::http::{HttpAction, HttpProbe, Method};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::{Http, Target};
use gonogo::core::time::Span;
use gonogo::core::value::{FieldType, Value};
use gonogo::system::process::born;
use gonogo::world::World as _;

use crate::http::serve;
use crate::support::{Setting, failed, until};

fn shell(text: String) -> SecretSource {
    SecretSource::Command(vec!["/bin/sh".to_owned(), "-c".to_owned(), text])
}

/// A program that gives nothing and leaves a child to wait for. It writes down both.
fn hanging(dir: &Path) -> SecretSource {
    shell(format!("echo $$ >> {0}/pids; sleep 600 & echo $! >> {0}/pids; wait", dir.display()))
}

/// Gives those who wait for a writer of a pipe one, or the runtime would wait for them.
struct Released(std::path::PathBuf);

impl Drop for Released {
    fn drop(&mut self) {
        drop(std::fs::OpenOptions::new().write(true).read(true).open(&self.0));
    }
}

/// A target that is asked with the secret `token`.
fn api(address: std::net::SocketAddr) -> Target {
    let headers = BTreeMap::from([("x-token".to_owned(), "«secret:token»".to_owned())]);
    Target::Http(Http { headers, ..Http::of(format!("http://{address}")) })
}

fn document() -> ProbeKind {
    ProbeKind::HttpJson(HttpJsonProbe {
        target: "api".into(),
        path: "/".to_owned(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        cached: false,
        simulate: BTreeMap::new(),
    })
}

fn web() -> ProbeKind {
    ProbeKind::Http(HttpProbe::of([("new".to_owned(), "api".into())]))
}

fn command() -> ProbeKind {
    ProbeKind::Command(CommandProbe {
        run: CommandLine::Shell("echo '{\"n\": 1}'".to_owned()),
        env: BTreeMap::from([("TOKEN".to_owned(), "«secret:token»".to_owned())]),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        simulate: BTreeMap::new(),
    })
}

fn switch(limit: Span) -> Action {
    Action::Http(HttpAction {
        target: "api".into(),
        method: Method::Post,
        path: "/switch".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        success: Vec::new(),
        contains: None,
        limit,
        simulate: Vec::new(),
    })
}

/// What the probes and an action say of a secret that comes from `source`.
async fn said(source: SecretSource) -> Vec<String> {
    let server = serve(|_| async { hyper::Response::new(http_body_util::Full::from("{\"n\": 1}")) }).await;
    let mut stage = Setting::default()
        .target("api", api(server.address))
        .secret("token", source)
        .probe_every("document", document(), 200, 700)
        .probe_every("web", web(), 200, 700)
        .probe_every("command", command(), 200, 700)
        .stage();
    stage.world.watch();
    let mut said = vec![stage.failure("document").await, stage.failure("command").await];
    let failure = |value: &Value| value.at("new.failure").and_then(Value::text).unwrap_or_default().to_owned();
    let value = stage.value("web", |value| failure(value).contains("secret")).await;
    assert_eq!(value.at("new.common_failure"), Some(&Value::Text("not_sent".to_owned())), "{value:?}");
    said.push(failure(&value));
    said.push(failed(&stage.run(switch(Span(700))).await).to_owned());
    said
}

#[tokio::test]
async fn a_program_that_hangs_is_named_by_its_secret_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    for failure in said(hanging(dir.path())).await {
        assert!(failure.starts_with("the command of secret `token` gave nothing within 700 ms"), "{failure}");
    }
    let pids = std::fs::read_to_string(dir.path().join("pids")).unwrap();
    let pids: Vec<i32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() >= 8, "a program and its child each time: {pids:?}");
    until("the end of all that was started", || pids.iter().all(|pid| born(*pid).is_none())).await;
}

#[tokio::test]
async fn a_file_that_hangs_is_named_before_a_short_limit_passes() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _released = Released(pipe.clone());
    for failure in said(SecretSource::File(pipe.display().to_string())).await {
        let wanted = format!("the file of secret `token` ({}) gave nothing within 700 ms", pipe.display());
        assert!(failure.starts_with(&wanted), "{failure}");
    }
}

#[tokio::test]
async fn a_secret_that_is_too_long_is_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("long");
    std::fs::write(&long, "x".repeat(64 * 1024 + 1)).unwrap();
    for (source, wanted) in [
        (shell("yes".to_owned()), "secret `token`: /bin/sh printed more than 64 KiB and was stopped"),
        (SecretSource::File(long.display().to_string()), "it is longer than 64 KiB"),
    ] {
        for failure in said(source).await {
            assert!(failure.contains(wanted), "{failure}");
        }
    }
}
