//! The servers behind the databases of the simulated world: who answers there, and whom the run expects.

use std::collections::BTreeMap;

use super::dice::Dice;
use crate::core::ids::TargetId;
use crate::core::plan::Plan;
use crate::core::server::{ServerIdentity, Servers};
use crate::core::target::Target;
use crate::core::time::{At, Span};

/// The number of the database on each server: the first object that is not the server's own.
const DATABASE: &str = "16384";

/// A server of PostgreSQL.
#[derive(Clone, Debug)]
struct SimulatedServer {
    system: u64,
    timeline: i64,
    started: At,
    /// What follows from these, since every reading has it.
    identity: ServerIdentity,
}

impl SimulatedServer {
    fn new(system: u64, timeline: i64, started: At) -> Self {
        let told = started.timestamp().map(|started| started.strftime("%F %T.%6f UTC").to_string());
        let identity = ServerIdentity::of_postgres(Some(system.to_string()), told, Some(DATABASE.to_owned()));
        Self { system, timeline, started, identity }
    }

    fn started(&self) -> Option<String> {
        self.identity.aspect(ServerIdentity::STARTED).map(str::to_owned)
    }
}

/// The server behind each database, and the one that steps are meant for.
#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedServers {
    behind: BTreeMap<TargetId, SimulatedServer>,
    /// The first target of the same address: the same server is behind both.
    first: BTreeMap<TargetId, TargetId>,
    expected: Servers,
}

impl SimulatedServers {
    pub(super) fn new(plan: &Plan, seed: u64, now: At) -> Self {
        let address = |target: &Target| match target {
            Target::Postgres(of) => Some(of.server()),
            _ => None,
        };
        let first = plan.targets.iter().filter_map(|(id, target)| {
            let of = address(target)?;
            let first = plan.targets.iter().find(|(_, other)| address(other).as_ref() == Some(&of))?.0;
            Some((id.clone(), first.clone()))
        });
        let first: BTreeMap<TargetId, TargetId> = first.collect();
        let server = |id: &TargetId| {
            let mut dice = Dice::new(seed, &format!("server {id}"));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, far below 2^63
            let (system, up) = (dice.between(7.0e18, 7.6e18) as u64, dice.between(8.64e7, 8.64e9) as i64);
            SimulatedServer::new(system, 1, At(now.0.saturating_sub(up)))
        };
        let behind = first.iter().map(|(id, first)| (id.clone(), server(first))).collect();
        Self { behind, first, expected: Servers::new() }
    }

    /// Who answers for these targets, as far as they are databases.
    pub(super) fn of<'a>(&self, targets: impl Iterator<Item = &'a TargetId>) -> Servers {
        targets.filter_map(|id| Some((id.clone(), self.behind.get(id)?.identity.clone()))).collect()
    }

    pub(super) fn system(&self, target: &TargetId) -> Option<String> {
        self.behind.get(target).map(|server| server.system.to_string())
    }

    pub(super) fn timeline(&self, target: &TargetId) -> Option<i64> {
        self.behind.get(target).map(|server| server.timeline)
    }

    pub(super) fn started(&self, target: &TargetId) -> Option<String> {
        self.behind.get(target).and_then(SimulatedServer::started)
    }

    /// The standby of this database takes over. It was started at the same time as the primary or later.
    pub(super) fn fail_over(&mut self, target: &TargetId) {
        let Some(first) = self.first.get(target).cloned() else { return };
        for (id, server) in &mut self.behind {
            if self.first.get(id) == Some(&first) {
                let (timeline, started) = (server.timeline + 1, server.started.plus(Span::secs(3_600)));
                *server = SimulatedServer::new(server.system, timeline, started);
            }
        }
    }

    /// Notes whom the run expects behind a target.
    pub(super) fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.expected.insert(target.clone(), server.clone());
    }

    /// Servers that are met here for the first time; they are expected from now on.
    pub(super) fn meet<'a>(&mut self, targets: impl Iterator<Item = &'a TargetId>) -> Servers {
        let mut met = self.of(targets);
        met.retain(|id, _| !self.expected.contains_key(id));
        self.expected.extend(met.clone());
        met
    }

    /// Why nothing is done at these targets: another server answers than the run has met.
    pub(super) fn hindrance<'a>(&self, mut targets: impl Iterator<Item = &'a TargetId>) -> Option<String> {
        targets.find_map(|id| {
            let differs = self.expected.get(id)?.difference(&self.behind.get(id)?.identity)?;
            Some(format!("{id} is not the server that this run has met: {differs}"))
        })
    }
}
