//! The servers behind the databases of the simulated world: who answers there, and whom the run expects.

use std::collections::BTreeMap;

use super::dice::Dice;
use crate::core::ids::TargetId;
use crate::core::plan::Plan;
use crate::core::server::{ServerIdentity, Servers};
use crate::core::target::Target;
use crate::core::time::{At, Span};

/// A server of PostgreSQL.
#[derive(Clone, Debug)]
struct SimulatedServer {
    system: u64,
    timeline: i64,
    started: At,
}

impl SimulatedServer {
    fn identity(&self) -> ServerIdentity {
        ServerIdentity::of_postgres(Some(self.system.to_string()), self.started())
    }

    fn started(&self) -> Option<String> {
        self.started.timestamp().map(|started| started.strftime("%F %T.%6f UTC").to_string())
    }
}

/// The server behind each database, and the one that steps are meant for.
#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedServers {
    behind: BTreeMap<TargetId, SimulatedServer>,
    expected: Servers,
}

impl SimulatedServers {
    pub(super) fn new(plan: &Plan, seed: u64, now: At) -> Self {
        let postgres = plan.targets.iter().filter(|(_, target)| matches!(target, Target::Postgres(_)));
        let server = |id: &TargetId| {
            let mut dice = Dice::new(seed, &format!("server {id}"));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, far below 2^63
            let (system, up) = (dice.between(7.0e18, 7.6e18) as u64, dice.between(8.64e7, 8.64e9) as i64);
            SimulatedServer { system, timeline: 1, started: At(now.0.saturating_sub(up)) }
        };
        Self { behind: postgres.map(|(id, _)| (id.clone(), server(id))).collect(), expected: Servers::new() }
    }

    /// Who answers for these targets, as far as they are databases.
    pub(super) fn of<'a>(&self, targets: impl Iterator<Item = &'a TargetId>) -> Servers {
        targets.filter_map(|id| Some((id.clone(), self.behind.get(id)?.identity()))).collect()
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
        if let Some(server) = self.behind.get_mut(target) {
            server.timeline += 1;
            server.started = server.started.plus(Span::secs(3_600));
        }
    }

    /// Notes whom the run expects behind a target.
    pub(super) fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.expected.insert(target.clone(), server.clone());
    }

    /// Why nothing is done at these targets: another server answers than the run has met.
    pub(super) fn hindrance<'a>(&self, mut targets: impl Iterator<Item = &'a TargetId>) -> Option<String> {
        targets.find_map(|id| {
            let differs = self.expected.get(id)?.difference(&self.behind.get(id)?.identity())?;
            Some(format!("{id} is not the server that this run has met: {differs}"))
        })
    }
}
