//! What goes wrong with a replication, done to real servers: the pane says it in words within two measurements, and the
//! gates of the bundled runbook that rest on it are not GO. `tests/rehearsal/replication.rs` shows the same of rehearsals.

use std::path::Path;
use std::sync::Arc;

use gonogo::core::board::Board;
use gonogo::core::evidence::Verdict;
use gonogo::core::fact::{Fact, Recorded};
use gonogo::core::ids::Who;
use gonogo::core::kind::ReplicationProbe;
use gonogo::core::kind::replication::{ReplicationState, heartbeat};
use gonogo::core::plan::Plan;
use gonogo::core::poll::gates;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::state::Run;
use gonogo::core::time::At;
use gonogo::run_view::{RunView, ViewEvent};
use gonogo::runbook::{self, Options};
use gonogo::screen::{SessionStatus, UiState, ViewContext, project};
use gonogo::world::{World as _, WorldEvent};
use rustix::process::{Pid, Signal, kill_process};

use crate::pg::Cluster;
use crate::support::{Setting, Stage};

/// The gates that rest on the replication.
const GATES: [&str; 3] = ["replication under a second behind", "slot is healthy", "the way back waits"];

/// What the bundled runbook asks for: two databases, one subscribed to the other, and a table for heartbeats.
async fn pair(settings: &[&str]) -> (Cluster, Cluster) {
    let (old, new) = tokio::join!(Cluster::start_with(settings), Cluster::start());
    let tables = "create table t (id int primary key, x text); \
        create table cutover_heartbeat (id text primary key, n bigint not null, at timestamptz)";
    old.sql(tables).await;
    new.sql(tables).await;
    old.sql("create publication shop_pub for all tables").await;
    new.sql(&format!("create subscription shop_sub connection '{}' publication shop_pub", old.dsn("postgres"))).await;
    (old, new)
}

/// A cockpit with the bundled runbook that watches two real servers.
struct Cockpit {
    stage: Stage,
    view: RunView,
    who: Who,
    facts: u64,
}

impl Cockpit {
    async fn of(old: &Cluster, new: &Cluster) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
        let plan: Plan =
            runbook::load(&path, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan;
        let lag = plan.probes["lag"].clone();
        assert!(matches!(&lag.kind, ProbeKind::Replication(ReplicationProbe { heartbeat: Some(_), .. })));
        let setting = Setting::default().target("old", old.target()).target("new", new.target());
        let mut stage = setting.probe_every("lag", lag.kind.clone(), lag.every.0, lag.limit.0).stage();
        stage.world.watch();
        let board = Board::new(&plan, At(0));
        let view = RunView::new(Arc::new(plan), Run::default(), &[], board);
        let mut cockpit = Self { stage, view, who: Who("me".to_owned()), facts: 0 };
        while !(cockpit.next().await.result.is_ok() && cockpit.is_go() && cockpit.pane().contains("streaming")) {}
        cockpit
    }

    /// The next reading, taken in as a driver does.
    async fn next(&mut self) -> Reading {
        loop {
            let WorldEvent::Reading(reading) = self.stage.next().await else { continue };
            let now = self.stage.clock.now();
            for (target, identity) in &reading.servers {
                if !self.view.run().servers().contains_key(target) {
                    self.facts += 1;
                    let fact = Fact::ServerMet { target: target.clone(), identity: identity.clone() };
                    self.view.update(now, ViewEvent::Fact(Recorded { seq: self.facts, at: now, fact }));
                }
            }
            self.view.update(now, ViewEvent::Reading(&reading));
            return reading;
        }
    }

    /// Whether what the gate of the switch asks of the replication is so.
    fn is_go(&self) -> bool {
        let plan = self.view.plan();
        let step = plan.step(&"switch-database".into()).unwrap();
        let gates = gates(plan, self.view.run(), self.view.board(), self.stage.clock.now(), step);
        assert!(GATES.iter().all(|name| gates.iter().any(|gate| gate.name == *name)));
        gates.iter().find(|gate| gate.name == GATES[0]).unwrap().assessment.verdict == Verdict::Go
    }

    /// The pane as it is shown.
    fn pane(&self) -> String {
        let ui = UiState::default();
        let status = SessionStatus::new(&self.who, self.stage.clock.now());
        let screen = project(&ViewContext::new(&self.view, status, &ui, "7f3a", jiff::tz::TimeZone::UTC));
        let pane = screen.panes.iter().find(|pane| pane.probe.as_str() == "lag").unwrap();
        pane.lines
            .iter()
            .map(|line| line.0.iter().map(|piece| piece.text.as_str()).collect::<String>() + "\n")
            .collect()
    }

    /// The second measurement that began after a fault at the latest shows these words, and from then on, for a few
    /// more, the gate is not GO.
    async fn says(&mut self, since: At, words: &str) {
        let mut measured = 0;
        while measured < 2 {
            let reading = self.next().await;
            measured += u32::from(reading.at >= since);
            if measured > 0 && self.pane().contains(words) {
                break;
            }
        }
        assert!(self.pane().contains(words), "{words:?} is not said: {}", self.pane());
        for _ in 0..3 {
            assert!(!self.is_go(), "{}", self.pane());
            self.next().await;
            assert!(self.pane().contains(words), "{words:?} is not said any more: {}", self.pane());
        }
    }

    async fn is_well_again(&mut self) {
        while !(self.next().await.result.is_ok() && self.is_go()) {}
    }

    fn now(&self) -> At {
        self.stage.clock.now()
    }
}

/// A process of a server that stands still for as long as this lives; a server would wait for it at its end.
struct Stopped(Pid);

impl Stopped {
    fn process(pid: &str) -> Self {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

async fn client(of: &Cluster) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&of.dsn("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_stream_that_stands_still_is_said_to() {
    let (old, new) = pair(&[]).await;
    let mut cockpit = Cockpit::of(&old, &new).await;
    let walsender = old.text("select pid from pg_stat_replication").await.unwrap();
    let worker = new.text("select pid from pg_stat_subscription where relid is null").await.unwrap();
    for pid in [walsender, worker] {
        let stopped = Stopped::process(&pid);
        let since = cockpit.now();
        cockpit.says(since, heartbeat::STANDS).await;
        drop(stopped);
        cockpit.is_well_again().await;
    }
    // A large transaction that takes its time: the target cannot apply it while the table is held.
    let holder = client(&new).await;
    holder.batch_execute("begin; lock table t in share mode").await.unwrap();
    old.sql("insert into t select g, 'x' from generate_series(1, 100000) g").await;
    let since = cockpit.now();
    cockpit.says(since, heartbeat::STANDS).await;
    holder.batch_execute("rollback").await.unwrap();
    cockpit.is_well_again().await;
}

#[tokio::test]
async fn a_table_on_both_sides_that_is_not_subscribed_is_named() {
    let (old, new) = pair(&[]).await;
    let mut cockpit = Cockpit::of(&old, &new).await;
    for side in [&new, &old] {
        side.sql("create table vouchers (id int primary key)").await;
    }
    let since = cockpit.now();
    cockpit.says(since, "not replicated: public.vouchers").await;
    assert!(cockpit.pane().contains(ReplicationState::Incomplete.as_str()));
    new.sql("alter subscription shop_sub refresh publication").await;
    cockpit.is_well_again().await;
}

#[tokio::test]
async fn a_subscription_that_an_error_disabled_is_said_to_be() {
    let (old, new) = pair(&[]).await;
    new.sql("alter subscription shop_sub set (disable_on_error = true)").await;
    let mut cockpit = Cockpit::of(&old, &new).await;
    new.sql("insert into t values (1, 'in the way')").await;
    old.sql("insert into t values (1, 'x')").await;
    new.until("select subenabled from pg_subscription", "f").await;
    let since = cockpit.now();
    cockpit.says(since, ReplicationState::DisabledByError.as_str()).await;
}

#[tokio::test]
async fn a_slot_that_is_gone_and_one_that_was_made_again_are_said_to_be() {
    let (old, new) = pair(&[]).await;
    let mut cockpit = Cockpit::of(&old, &new).await;
    new.sql("alter subscription shop_sub disable").await;
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    old.sql("select pg_drop_replication_slot('shop_sub')").await;
    new.sql("alter subscription shop_sub enable").await;
    let since = cockpit.now();
    cockpit.says(since, ReplicationState::SlotLost.as_str()).await;
    old.sql("insert into t values (300, 'never arrives')").await;
    old.sql("select pg_create_logical_replication_slot('shop_sub', 'pgoutput')").await;
    let since = cockpit.now();
    cockpit.says(since, ReplicationState::SlotMadeAgain.as_str()).await;
    // It streams, and what was written meanwhile is missing for ever.
    old.sql("insert into t values (301, 'arrives')").await;
    new.until("select count(*) from t where id = 301", "1").await;
    assert_eq!(new.text("select count(*) from t where id = 300").await.as_deref(), Some("0"));
    cockpit.says(since, ReplicationState::SlotMadeAgain.as_str()).await;
}

#[tokio::test]
async fn a_source_that_failed_over_is_another_server() {
    let (old, new) = pair(&[]).await;
    let mut cockpit = Cockpit::of(&old, &new).await;
    let standby = old.standby().await;
    let old = standby.take_over(old).await;
    let since = cockpit.now();
    cockpit.says(since, "old is not the server that this run has met").await;
    // Also when somebody gives it a slot and everything streams: the gate has not looked at this server.
    old.sql("select pg_create_logical_replication_slot('shop_sub', 'pgoutput')").await;
    old.until("select count(*) from pg_replication_slots where active", "1").await;
    let since = cockpit.now();
    cockpit.says(since, "old is not the server that this run has met").await;
}
