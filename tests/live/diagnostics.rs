//! The diagnostic log of the real program: what it contains, what it never contains, and what it costs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tempfile::TempDir;

use crate::dns::{Daemon, KEY};
use crate::http::serve;
use crate::pg::Cluster;
use crate::support::until;

/// Each stands in one of the places where secrets may stand. They come from variables, from a file and from a program.
const CANARIES: [(&str, &str); 6] = [
    ("env", "canary env \"1\""),
    ("header", "canary-header-2"),
    ("body", "canary/body+3"),
    ("statement", "canary 'statement' 4"),
    ("password", "canary-password-5"),
    ("tsig", KEY),
];

/// Every action fails with a message that repeats the secret, as far as the other side does so.
const STORY: &str = r#"
title: Everything tells its secret
secrets:
  env: { env: CANARY_ENV }
  header: { command: [cat, header] }
  body: { env: CANARY_BODY }
  statement: { file: statement }
  password: { env: CANARY_PASSWORD }
  tsig: { env: CANARY_TSIG }
targets:
  open: { postgres: { dsn: "PG_OPEN", tls: disable } }
  closed: { postgres: { dsn: "PG_CLOSED", password: "{{ secrets.password }}", tls: disable } }
  api: { http: { url: "http://API", headers: { x-token: "{{ secrets.header }}" } } }
  zone:
    dns: { zone: example.test, authoritative: ["DNS"], tsig: { name: gonogo, secret: "{{ secrets.tsig }}" } }
probes:
  told: { kind: command, run: "echo \"$T\"; echo \"$T\" >&2; exit 3", env: { T: "{{ secrets.env }}" }, every: 200ms, fields: { n: int } }
  echo: { kind: http.json, target: api, path: /n, every: 200ms, fields: { n: int } }
  shut: { kind: sql, target: closed, query: "select 1 as n", every: 200ms, fields: { n: int } }
phases:
  - title: Tell
    steps:
      - { id: run, title: Run, needs: [], reversibility: free, action: { command: { run: "echo \"$T\"; echo \"$T\" >&2; exit 3", env: { T: "{{ secrets.env }}" } } } }
      - { id: post, title: Post, needs: [], reversibility: free, action: { http: { target: api, method: POST, path: /n, body: "{{ secrets.body }}" } } }
      - { id: ask, title: Ask, needs: [], reversibility: free, action: { sql: { target: open, statements: ["select {{ secrets.statement | literal }}::int"] } } }
      - id: name
        title: Name
        needs: []
        reversibility: free
        action:
          dns.update:
            target: zone
            changes: [{ name: app.example.test, from: ["192.0.2.7"], to: ["192.0.2.8"], ttl: 60 }]
"#;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(40);

/// The real program with a runbook of its own.
struct Program {
    dir: TempDir,
}

impl Program {
    fn new(runbook: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("runbook.yaml"), runbook).unwrap();
        Self { dir }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("gonogo.log")
    }

    fn command(&self, args: &[&str], log: &Path, filter: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        command.args(args).arg("--log").arg(log).arg("--state-dir").arg(self.dir.path().join("state"));
        command.current_dir(self.dir.path()).env("LC_ALL", "C.UTF-8").env_remove("GONOGO_LOG");
        if let Some(filter) = filter {
            command.env("GONOGO_LOG", filter);
        }
        command
    }

    fn output(&self, args: &[&str], log: &Path, filter: Option<&str>) -> Output {
        self.command(args, log, filter).output().unwrap()
    }
}

/// A run that is driven by lines.
struct Driven {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<String>>,
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Driven {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (stdout, heard) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { stdin: child.stdin.take().unwrap(), child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    async fn heard(&self, text: &str) {
        self.hears(text, |said| said.contains(text)).await;
    }

    async fn hears(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(&self.said()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "never {what} in\n{}", self.said());
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
        self.stdin.flush().unwrap();
    }

    /// Starts a step: again until the question has stood long enough for a person to have read it.
    async fn confirm(&mut self, step: usize, done: &str) {
        self.say(&format!("show {step}"));
        let (begun, mut said) = (Instant::now(), self.said().len());
        while !self.said().contains(done) {
            self.say(&format!("start {step} go"));
            self.hears("an answer", |now| now.len() > said).await;
            said = self.said().len();
            assert!(begun.elapsed() < PATIENCE, "never {done} in\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ended(&mut self) {
        let child = &mut self.child;
        until("ended", || child.try_wait().unwrap().is_some()).await;
    }
}

async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let told = request.headers().get("x-token").map_or_else(Vec::new, |value| value.as_bytes().to_vec());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let is_post = !body.is_empty();
    let text = if is_post { body.to_vec() } else { [br#"{"n": ""#, &told[..], br#""}"#].concat() };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = if is_post { hyper::StatusCode::CONFLICT } else { hyper::StatusCode::OK };
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_whatever_is_logged() {
    let (cluster, knot, api) = (Cluster::start().await, Daemon::knot(), serve(echo).await);
    let story = STORY
        .replace("PG_OPEN", &cluster.dsn("postgres"))
        .replace("PG_CLOSED", &cluster.dsn("gonogo"))
        .replace("API", &api.address.to_string())
        .replace("DNS", &knot.address());
    let program = Program::new(&story);
    let canary = |name: &str| CANARIES.iter().find(|(of, _)| *of == name).unwrap().1;
    for name in ["header", "statement"] {
        std::fs::write(program.dir.path().join(name), canary(name)).unwrap();
    }
    let mut command = program.command(&["run", "--plain"], &program.log(), Some("trace"));
    for name in ["env", "body", "password", "tsig"] {
        command.env(format!("CANARY_{}", name.to_uppercase()), canary(name));
    }
    let mut run = Driven::start(command);
    for (step, end) in [(1, "1 Run FAILED"), (2, "2 Post FAILED"), (3, "3 Ask FAILED"), (4, "4 Name FAILED")] {
        run.confirm(step, &format!("confirmed {step} ")).await;
        run.heard(end).await;
    }
    let read = || std::fs::read_to_string(program.log()).unwrap();
    let measured = ["probe=told", "probe=echo", "probe=shut"];
    until("every probe has failed", || {
        measured.iter().all(|probe| read().lines().any(|line| line.contains(probe) && line.contains("WARN")))
    })
    .await;
    run.say("leave");
    run.ended().await;
    let log = read();
    assert_eq!(program.log().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for (name, canary) in CANARIES {
        let spellings =
            [canary.to_owned(), format!("{canary:?}").trim_matches('"').to_owned(), canary.replace('\'', "''")];
        for spelling in spellings {
            assert!(!log.contains(&spelling), "{name} in {log}");
        }
    }
    // The secrets could be found: each of these repeats what it was given.
    for name in ["env", "header", "body", "statement"] {
        assert!(log.contains(&format!("«secret:{name}»")), "{name} in {log}");
    }
    for said in [
        "gonogo begins command=\"run\"",
        "the journal is open",
        "the driver arrives",
        "the live world is ready",
        "connected place=",
        "started job=run.do.1.0 kind=\"command\"",
        "failed job=post.do.1.0",
        "recorded seq=",
        "written ticket=",
        "the driver is leaving",
        "the cockpit is left",
        "gonogo ends",
    ] {
        assert!(log.contains(said), "{said:?} in {log}");
    }
    assert!(log.lines().all(|line| line.contains(" gonogo")), "only our own lines: {log}");
}

/// One step that prints what would end a line and erase the screen.
const HOSTILE: &str = r#"
title: A line that forges another
phases:
  - title: Forge
    steps:
      - { id: forge, title: Forge, reversibility: free, action: { command: { run: "printf 'a\\033[2J\\n2026 ERROR gonogo: forged' >&2; exit 3" } } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_foreign_forges_a_line_and_standard_output_stays_as_it_is() {
    let program = Program::new(HOSTILE);
    let mut run = Driven::start(program.command(&["run", "--plain"], &program.log(), None));
    run.confirm(1, "confirmed 1 ").await;
    run.heard("1 Forge FAILED").await;
    run.say("leave");
    run.ended().await;
    let log = std::fs::read_to_string(program.log()).unwrap();
    assert!(log.contains("failed job=forge.do.1.0"), "{log}");
    assert!(!log.chars().any(|c| c.is_control() && c != '\n'), "{log:?}");
    assert!(!log.lines().any(|line| line.starts_with("2026 ERROR")), "{log}");
    assert!(!run.said().contains("the driver arrives"), "the log is not on the standard output: {}", run.said());
}

#[test]
fn a_rehearsal_is_logged_and_a_log_that_cannot_be_written_changes_nothing() {
    let program = Program::new(include_str!("../../runbook.yaml"));
    let args = ["rehearse", "--auto", "--json", "--seed", "7"];
    let story = |output: &Output| -> serde_json::Value {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let mut story: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        story.as_object_mut().unwrap().remove("run");
        story
    };
    let logged = story(&program.output(&args, &program.log(), Some("debug")));
    let log = std::fs::read_to_string(program.log()).unwrap();
    for said in ["command=\"rehearse\"", "recorded seq=", "decided ticket=", "gonogo ends status=0"] {
        assert!(log.contains(said), "{said:?}");
    }
    // A disk that takes nothing.
    let full = story(&program.output(&args, Path::new("/dev/full"), Some("trace")));
    assert_eq!(logged, full, "the same rehearsal, log or not");
}

#[test]
fn a_log_that_cannot_be_had_is_said_before_anything_is_done() {
    let program = Program::new("title: Nothing");
    let none = program.dir.path().join("no such folder").join("log");
    let refused = |log: &Path, filter: Option<&str>| {
        let output = program.output(&["rehearse", "--auto"], log, filter);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&none, None);
    assert!(said.contains("no such folder/log` cannot be opened: No such file or directory"), "{said}");
    let said = refused(&program.log(), Some("verbose"));
    assert!(said.contains("GONOGO_LOG is no filter: `verbose` is neither a level nor a part of gonogo"), "{said}");
    assert!(!program.log().exists() && !program.dir.path().join("state").exists());
}
