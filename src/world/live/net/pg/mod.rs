//! Connections to PostgreSQL: how they are made, kept and described when they fail.
//!
//! Watching and acting never share a connection, so that a hung action cannot blind the probes. An action always
//! connects anew, since the name of a kept connection may lead to another server by now.

mod cancel;
mod connect;
mod explain;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

pub(in crate::world::live) use self::session::PgSession;
use crate::core::ids::TargetId;
use crate::core::server::{ServerIdentity, Servers};
use crate::core::target::{Postgres, Target};
use crate::world::live::kind::Deeds;
use crate::world::live::secrets::Secrets;

/// Most connections that watch one database for the same purpose at the same time, since small databases allow only a few.
const WATCHERS: usize = 3;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world::live) struct Purpose {
    /// The application name that the server shows. Connections with different names are not shared.
    pub(in crate::world::live) name: &'static str,
    /// Settings of the session; not made behind a pooler.
    pub(in crate::world::live) settings: &'static [&'static str],
    /// Whether it watches. The number of such connections is limited, and they are kept for the next user.
    pub(in crate::world::live) watches: bool,
    /// Whether it may change what is replicated.
    pub(in crate::world::live) replicates: bool,
    /// Whether it talks to a pooler's admin console, which understands neither settings nor queries.
    pub(in crate::world::live) console: bool,
}

impl Purpose {
    /// Probes: they read in transactions that cannot write. The session has no settings of ours, so that the database's
    /// own defaults can be read.
    pub(in crate::world::live) const WATCH: Purpose =
        Purpose { name: "gonogo watch", settings: &[], watches: true, replicates: false, console: false };
    /// Heartbeats: a row that a probe writes, kept to the server that gates have looked at.
    pub(in crate::world::live) const BEAT: Purpose =
        Purpose { name: "gonogo heartbeat", settings: &[], watches: true, replicates: false, console: false };
    /// A look at a replication, which nothing else of ours may delay: its own waiting would count as lag.
    pub(in crate::world::live) const FOLLOW: Purpose =
        Purpose { name: "gonogo replication", settings: &[], watches: true, replicates: false, console: false };
    /// Actions: may write, also where the database's default is read only. Their limits are set when they start.
    pub(in crate::world::live) const ACT: Purpose = Purpose {
        name: "gonogo act",
        settings: &["default_transaction_read_only=off"],
        watches: false,
        replicates: false,
        console: false,
    };
    /// The same for actions whose statements may change what is replicated.
    pub(in crate::world::live) const REPLICATE: Purpose = Purpose { replicates: true, ..Self::ACT };
}

/// The plan's databases and the connections kept to them.
pub(in crate::world::live) struct Databases {
    targets: BTreeMap<TargetId, Place>,
    /// Incremented when connections that were made before may no longer be used.
    generation: AtomicU64,
    /// The server that answered the newest connection to each target.
    answered: Mutex<Servers>,
    /// The server that must answer before an action sends anything.
    expected: Mutex<Servers>,
    /// Targets that probes look at.
    watched: Mutex<BTreeSet<TargetId>>,
}

/// Actions that may change what is replicated: how many have begun, and how many of them have ended.
#[derive(Default)]
struct Acts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// An action under way.
struct Act(Arc<Acts>);

impl Act {
    fn begin(acts: &Arc<Acts>) -> Self {
        acts.begun.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(acts))
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Connections that nobody uses now, each with the generation it was made in.
type Idle = Arc<Mutex<BTreeMap<Purpose, Vec<(u64, PgSession)>>>>;

struct Place {
    target: Postgres,
    acts: Arc<Acts>,
    idle: Idle,
    watchers: Watchers,
}

/// Who may connect to a database at the same time, for each purpose: one does not wait for another.
#[derive(Clone)]
struct Watchers {
    watch: Arc<Semaphore>,
    follow: Arc<Semaphore>,
    beat: Arc<Semaphore>,
}

impl Watchers {
    fn new() -> Self {
        let some = || Arc::new(Semaphore::new(WATCHERS));
        Self { watch: some(), follow: some(), beat: some() }
    }

    fn of(&self, purpose: Purpose) -> Arc<Semaphore> {
        Arc::clone(match purpose {
            Purpose::FOLLOW => &self.follow,
            Purpose::BEAT => &self.beat,
            _ => &self.watch,
        })
    }
}

/// A borrowed session. It is kept for the next user only when it is given back: one that was dropped in the middle of a
/// query is closed.
pub(in crate::world::live) struct Lease {
    session: Option<PgSession>,
    generation: u64,
    purpose: Purpose,
    /// Whether no server was expected behind its target before.
    is_first: bool,
    idle: Idle,
    _permit: Option<OwnedSemaphorePermit>,
    _act: Option<Act>,
}

impl Lease {
    /// The session. `None` never happens before [`Lease::give_back`], which consumes the lease.
    pub(in crate::world::live) fn session(&self) -> Option<&PgSession> {
        self.session.as_ref()
    }

    /// The server that an action has met behind a target of which nobody knew a server.
    pub(in crate::world::live) fn first_met(&self) -> Option<&ServerIdentity> {
        self.session.as_ref().filter(|_| self.is_first).map(PgSession::identity)
    }

    /// Keeps a connection that watches for the next user, unless it is broken.
    pub(in crate::world::live) fn give_back(mut self) {
        if !self.purpose.watches {
            return;
        }
        if let Some(session) = self.session.take().filter(|session| !session.client().is_closed()) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.entry(self.purpose).or_default().push((self.generation, session));
        }
    }
}

impl Databases {
    /// Nothing is connected yet.
    pub(in crate::world::live) fn new(targets: impl Iterator<Item = (TargetId, Postgres)>) -> Self {
        let place = |target| Place { target, acts: Arc::default(), idle: Arc::default(), watchers: Watchers::new() };
        Self {
            targets: targets.map(|(id, target)| (id, place(target))).collect(),
            generation: AtomicU64::new(0),
            answered: Mutex::default(),
            expected: Mutex::default(),
            watched: Mutex::default(),
        }
    }

    /// From here on actions on this target are carried out only on this server.
    pub(in crate::world::live) fn expect(&self, target: &TargetId, server: &ServerIdentity) {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.insert(target.clone(), server.clone());
    }

    /// Whether this is the server that is expected behind a target, or none is expected there yet.
    pub(in crate::world::live) fn is_meant(&self, target: &TargetId, session: &PgSession) -> bool {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.get(target).is_none_or(|expected| expected.difference(session.identity()).is_none())
    }

    /// The server behind this target, as it identified itself on the newest connection.
    pub(in crate::world::live) fn server(&self, target: &TargetId) -> Option<ServerIdentity> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned()
    }

    /// Takes in the identity of a new connection's server. When the server has changed, earlier connections are not
    /// used again.
    fn met(&self, target: &TargetId, server: &ServerIdentity) {
        let before = {
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            answered.insert(target.clone(), server.clone())
        };
        if before.is_some_and(|before| before != *server) {
            self.renew();
        }
    }

    /// What actions have done so far at these targets, under whatever name.
    pub(in crate::world::live) fn deeds(&self, targets: &[&TargetId]) -> Deeds {
        let servers: BTreeSet<String> =
            targets.iter().filter_map(|id| Some(self.targets.get(*id)?.target.server())).collect();
        let here = self.targets.values().filter(|place| servers.contains(&place.target.server()));
        here.fold(Deeds::default(), |deeds, place| {
            // An action that ends in between still counts as under way.
            let ended = place.acts.ended.load(Ordering::SeqCst);
            let begun = place.acts.begun.load(Ordering::SeqCst);
            Deeds { begun: deeds.begun + begun, under_way: deeds.under_way + begun.saturating_sub(ended) }
        })
    }

    /// Refuses a server that is not the one that gates have looked at, behind this target or another one of the same
    /// address. The first that is met behind a target is expected there from then on. Returns whether it was.
    fn is_expected(&self, target: &TargetId, session: &PgSession, acts: bool) -> Result<bool, String> {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let own = expected.get(target);
        let known = self.neighbour(target, session.pooled()).and_then(|of| expected.get(of));
        let known = match (own, known) {
            // It was met by actions alone: whom the operator accepts behind the other one is meant here, too.
            (Some(own), Some(other)) => Some(own.on_server_of(other)),
            (Some(own), None) => Some(own.clone()),
            (None, other) => other.map(|other| session.identity().on_server_of(other)),
        };
        if let Some(differs) = known.and_then(|known| known.difference(session.identity())) {
            return Err(format!("{} is not the server that this run has met: {differs}", session.place()));
        }
        let is_first = own.is_none() && acts;
        if is_first {
            expected.insert(target.clone(), session.identity().clone());
        }
        Ok(is_first)
    }

    /// Another target of the same address that probes look at, when none looks at this one. Behind a pooler another
    /// database may be on another server.
    fn neighbour(&self, target: &TargetId, pooled: bool) -> Option<&TargetId> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.contains(target) {
            return None;
        }
        let of = &self.targets.get(target)?.target;
        let whole = |of: &Postgres| Target::Postgres(of.clone()).address();
        let is_same = |other: &Postgres| of.server() == other.server() && (!pooled || whole(of) == whole(other));
        self.targets.iter().find(|(id, place)| watched.contains(*id) && is_same(&place.target)).map(|(id, _)| id)
    }

    /// Makes sure that no connection from before now is used again, since a step may have moved a server.
    pub(in crate::world::live) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection to `target`: a kept one whose name still leads to it, or a new one. Bounded in time only by the
    /// caller.
    pub(in crate::world::live) async fn lease(
        &self,
        target: &TargetId,
        purpose: Purpose,
        secrets: &Secrets,
    ) -> Result<Lease, String> {
        let place = self.targets.get(target).ok_or_else(|| format!("`{target}` is no postgres target"))?;
        let permit = if purpose.watches {
            Some(place.watchers.of(purpose).acquire_owned().await.map_err(|err| err.to_string())?)
        } else {
            None
        };
        let act = purpose.replicates.then(|| Act::begin(&place.acts));
        let generation = self.generation.load(Ordering::Relaxed);
        let mut session = None;
        while let Some(mut kept) = place.kept(purpose, generation) {
            if kept.is_current().await {
                session = Some(kept);
                break;
            }
        }
        let session = if let Some(kept) = session {
            kept
        } else {
            let session = Box::pin(connect::connect(target, &place.target, purpose, secrets)).await?;
            if !purpose.console {
                self.met(target, session.identity());
            }
            session
        };
        let looks = purpose == Purpose::WATCH || purpose == Purpose::FOLLOW;
        if looks {
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone());
        }
        let checked = !looks && !purpose.console;
        let is_first = checked && self.is_expected(target, &session, !purpose.watches)?;
        Ok(Lease {
            session: Some(session),
            generation,
            purpose,
            is_first,
            idle: Arc::clone(&place.idle),
            _permit: permit,
            _act: act,
        })
    }

    /// Asks the server to cancel the statement that runs on this session. The task ends when the server has taken that in,
    /// and lives on when nobody waits for it. Best effort: the statement's own end shows the result.
    pub(in crate::world::live) fn cancel(&self, target: &TargetId, session: &PgSession) -> Option<JoinHandle<()>> {
        self.targets.get(target).map(|place| tokio::spawn(cancel::cancel(place.target.clone(), session)))
    }
}

impl Place {
    /// A connection that nobody uses, made in this generation.
    fn kept(&self, purpose: Purpose, generation: u64) -> Option<PgSession> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(purpose).or_default();
        kept.retain(|(made_in, _)| *made_in == generation);
        kept.pop().map(|(_, session)| session)
    }
}
