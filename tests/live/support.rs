//! The setup for tests of the live world: a plan made of targets, probes and secrets, and a way to wait for its events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::action::Action;
use gonogo::core::ids::{Attempt, ProbeId, StepId, TargetId};
use gonogo::core::job::{Adoption, Direction, JobKey, Outcome};
use gonogo::core::kind::command::{CommandAction, CommandLine};
use gonogo::core::plan::{Plan, SecretSource};
use gonogo::core::probe::{Probe, ProbeKind};
use gonogo::core::reading::Reading;
use gonogo::core::target::Target;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::world::live::{LiveOptions, LiveWorld, SystemDns};
use gonogo::world::{World, WorldEvent, shape};
use tempfile::TempDir;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a test puts on stage.
#[derive(Default)]
pub struct Setting {
    pub targets: BTreeMap<TargetId, Target>,
    pub probes: BTreeMap<ProbeId, Probe>,
    pub secrets: Vec<(&'static str, SecretSource)>,
}

impl Setting {
    pub fn target(mut self, id: &str, target: Target) -> Self {
        self.targets.insert(id.into(), target);
        self
    }

    pub fn probe(self, id: &str, kind: ProbeKind) -> Self {
        self.probe_every(id, kind, 100, 3_000)
    }

    pub fn probe_every(mut self, id: &str, kind: ProbeKind, every: u64, limit: u64) -> Self {
        self.probes.insert(id.into(), Probe { kind, every: Span(every), limit: Span(limit), title: None });
        self
    }

    pub fn secret(mut self, id: &'static str, source: SecretSource) -> Self {
        self.secrets.push((id, source));
        self
    }

    pub fn plan(&self) -> Plan {
        Plan {
            roles: BTreeMap::new(),
            rehearsals: None,
            title: "test".to_owned(),
            owner: None,
            profile: None,
            window: None,
            write_pause_budget: None,
            customers: None,
            comms: None,
            targets: self.targets.clone(),
            secrets: self.secrets.iter().map(|(id, source)| ((*id).into(), source.clone())).collect(),
            probes: self.probes.clone(),
            baselines: BTreeMap::new(),
            phases: Vec::new(),
            steps: Vec::new(),
            conditions: Vec::new(),
            digest: String::new(),
            index: BTreeMap::new(),
            needing: BTreeMap::new(),
            readers: BTreeMap::new(),
            counting: Vec::new(),
        }
    }

    pub fn stage(&self) -> Stage {
        Stage::of(&self.plan())
    }
}

pub fn world(plan: &Plan, run_dir: &Path) -> LiveWorld {
    world_on(plan, run_dir, SystemDns::default())
}

/// A world on a machine with these name servers.
fn world_on(plan: &Plan, run_dir: &Path, system_dns: SystemDns) -> LiveWorld {
    LiveWorld::new(plan, options(run_dir, system_dns, Clock::start(At(0)))).unwrap()
}

fn options(run_dir: &Path, system_dns: SystemDns, clock: Clock) -> LiveOptions {
    LiveOptions {
        run_dir: run_dir.to_owned(),
        run_id: "run-1".to_owned(),
        epoch: 7,
        clock,
        exe: env!("CARGO_BIN_EXE_gonogo").into(),
        system_dns,
    }
}

pub struct Stage {
    pub world: LiveWorld,
    pub dir: TempDir,
    /// The clock of its readings.
    pub clock: Clock,
    pub probes: BTreeMap<ProbeId, Probe>,
    /// Everything that has come out.
    pub seen: Vec<WorldEvent>,
}

impl Stage {
    pub fn of(plan: &Plan) -> Self {
        Self::on(plan, SystemDns::default())
    }

    /// The same on a machine with these name servers.
    pub fn on(plan: &Plan, system_dns: SystemDns) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::start(At(0));
        let world = LiveWorld::new(plan, options(dir.path(), system_dns, clock.clone())).unwrap();
        Self { world, dir, clock, probes: plan.probes.clone(), seen: Vec::new() }
    }

    /// A second world on the same directory that knows what the first has measured, as after a resume.
    pub fn resume(&mut self, setting: &Setting) {
        let options = options(self.dir.path(), SystemDns::default(), self.clock.clone());
        let reading = |event: &WorldEvent| match event {
            WorldEvent::Reading(reading) => Some(reading.clone()),
            _ => None,
        };
        let earlier = self.seen.iter().filter_map(reading).collect();
        self.world = LiveWorld::resuming(&setting.plan(), options, earlier).unwrap();
    }

    /// A world of its own for a run that others have driven, with what they have measured last.
    pub fn resumed(plan: &Plan, earlier: Vec<Reading>) -> Self {
        let mut stage = Self::of(plan);
        let options = options(stage.dir.path(), SystemDns::default(), stage.clock.clone());
        stage.world = LiveWorld::resuming(plan, options, earlier).unwrap();
        stage
    }

    /// A second world on the same directory, as after a restart.
    pub fn restart(&mut self, setting: &Setting) {
        self.world = world(&setting.plan(), self.dir.path());
    }

    pub async fn next(&mut self) -> WorldEvent {
        let event = tokio::time::timeout(PATIENCE, self.world.next()).await;
        let Ok(event) = event else {
            panic!("nothing came; the last were {:#?}", &self.seen[self.seen.len().saturating_sub(5)..]);
        };
        let event = event.expect("the world is open");
        if let WorldEvent::Reading(reading) = &event {
            self.check(reading);
        }
        self.seen.push(event.clone());
        event
    }

    /// Every reading has the promised shape. (That its time is limited is shown by probes of what never answers.)
    fn check(&self, reading: &Reading) {
        let probe = &self.probes[&reading.probe];
        match &reading.result {
            Ok(value) => assert_eq!(shape::mismatch(value, &probe.kind.shape()), None, "{value:?}"),
            Err(failure) => assert!(!failure.what.contains("broke its promise"), "{failure}"),
        }
    }

    /// The next reading of `probe` for which `found` gives something.
    pub async fn reading<T>(&mut self, probe: &str, mut found: impl FnMut(&Reading) -> Option<T>) -> T {
        let started = std::time::Instant::now();
        let mut last = None;
        while started.elapsed() < PATIENCE {
            if let WorldEvent::Reading(reading) = self.next().await
                && reading.probe.as_str() == probe
            {
                if let Some(found) = found(&reading) {
                    return found;
                }
                last = Some(reading);
            }
        }
        panic!("no such reading of {probe}; the last was {last:#?}");
    }

    /// The next good value of `probe` that is as wanted.
    pub async fn value(&mut self, probe: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.reading(probe, |reading| reading.result.as_ref().ok().filter(|value| wanted(value)).cloned()).await
    }

    /// The next failure of `probe`.
    pub async fn failure(&mut self, probe: &str) -> String {
        self.reading(probe, |reading| reading.result.as_ref().err().map(|failure| failure.what.clone())).await
    }

    /// Waits for the end of a job.
    pub async fn ended(&mut self, of: &JobKey) -> Outcome {
        loop {
            if let WorldEvent::Ended { key, outcome, .. } = self.next().await
                && key == *of
            {
                return outcome;
            }
        }
    }

    pub async fn adopted(&mut self, of: &JobKey) -> Adoption {
        loop {
            if let WorldEvent::Adopted { key, adoption } = self.next().await
                && key == *of
            {
                return adoption;
            }
        }
    }

    /// Runs an action to its end.
    pub async fn run(&mut self, action: Action) -> Outcome {
        let key = key(&format!("s{}", self.seen.len()));
        self.world.start(key.clone(), &action);
        self.ended(&key).await
    }

    /// Waits for a line of output that contains `text`.
    pub async fn line(&mut self, text: &str) -> String {
        loop {
            if let WorldEvent::Output { line, .. } = self.next().await
                && line.contains(text)
            {
                return line;
            }
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        let line = |event: &WorldEvent| match event {
            WorldEvent::Output { line, .. } => Some(line.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(line).collect()
    }

    pub fn dropped(&self) -> u64 {
        let lines = |event: &WorldEvent| match event {
            WorldEvent::OutputDropped { lines, .. } => Some(*lines),
            _ => None,
        };
        self.seen.iter().filter_map(lines).sum()
    }

    pub fn output(&self, name: &str) -> PathBuf {
        self.dir.path().join("output").join(name)
    }

    /// No event and no file holds any of `canaries`.
    pub fn assert_clean(&self, canaries: &[&str]) {
        let events = format!("{:?}", self.seen);
        for canary in canaries {
            assert!(!events.contains(canary), "{canary} in {events}");
        }
        for entry in std::fs::read_dir(self.dir.path().join("output")).unwrap() {
            use std::os::unix::fs::PermissionsExt as _;
            let path = entry.unwrap().path();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for canary in canaries {
                assert!(!text.contains(canary), "{canary} in {}", path.display());
            }
        }
    }
}

pub fn key(step: &str) -> JobKey {
    JobKey { step: StepId::from(step), direction: Direction::Do, attempt: Attempt(1), job: 0 }
}

pub fn shell(text: &str) -> CommandAction {
    CommandAction {
        run: CommandLine::Shell(text.to_owned()),
        env: BTreeMap::new(),
        cwd: None,
        limit: Span::secs(30),
        success: vec![0],
        simulate: Vec::new(),
    }
}

/// Waits until `done` holds.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "never {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn succeeded(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Succeeded { summary } => summary,
        other => panic!("{other:?}"),
    }
}

pub fn failed(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { what } => what,
        other => panic!("{other:?}"),
    }
}

pub fn unknown(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Unknown { why } => why,
        other => panic!("{other:?}"),
    }
}

/// A port nobody listens on at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate authority and a certificate for `localhost`, made with the openssl program.
pub fn certificates(dir: &std::path::Path) {
    let openssl = |args: &str| {
        let made = std::process::Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test-authority"));
    openssl(&format!(
        "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
    ));
}
