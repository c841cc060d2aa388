//! The state of one record's propagation through the DNS, built from single answers.
//!
//! The live and the simulated world both pass their answers in here, so a rehearsal judges as a live run does. Each
//! server is judged by its own answers: an answer counts for a limited time, and a server that stops answering is named
//! while the answers of all others still count.

use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::SOMETIMES;
use super::answer::{Answer, AnswerState};
use super::delegation::Delegation;
use super::instances::Instances;
use super::memory::AnswerMemory;
use super::resolver::{Cache, seconds};
use super::share::SharedAnswers;
pub use super::steadiness::WINDOW;

/// Added to the worst case: clocks and rounded TTLs.
const MARGIN: Span = Span::secs(5);
/// How long what was looked up of the delegation counts: it is looked up once a minute.
const DELEGATION_STANDS: Span = Span::secs(180);

/// One server's newest answer.
#[derive(Clone, Debug)]
struct Newest {
    asked: At,
    answer: Answer,
}

/// An authoritative server.
#[derive(Clone, Debug)]
struct Authority {
    address: String,
    newest: Option<Newest>,
    /// Its newest answers, where only a share of them is to be new.
    shared: Option<SharedAnswers>,
    /// Its newest answer about AAAA.
    aaaa: Option<Newest>,
    serial: Option<i64>,
    instances: Instances,
    /// What the machines behind its address have said lately, and the same of AAAA.
    memory: AnswerMemory,
    aaaa_memory: AnswerMemory,
    /// What it last served that is not new.
    other: Kept,
}

/// What caches may keep of a server, which is not new.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// The largest TTL with which it was last served, in seconds; `None` when it never was.
    ttl: Option<i64>,
    /// When it was last asked for.
    asked: Option<At>,
    /// Whether it is what the server serves by its newest answer, so that a cache may take it in at any moment.
    is_served: bool,
}

impl Kept {
    /// Takes in an answer to a question of `asked`, of which caches keep what is not new for `ttl`. Returns until when one may
    /// keep what was served up to now: it may have taken it in just before this answer.
    fn take(&mut self, asked: At, ttl: Option<i64>, is_new: bool) -> Option<At> {
        let before = self.ttl.filter(|_| self.is_served);
        let now = ttl.filter(|_| !is_new);
        if let Some(ttl) = now {
            // Answers to questions of one moment may be of several machines.
            self.ttl = Some(if self.asked == Some(asked) { self.ttl.unwrap_or(0).max(ttl) } else { ttl });
            self.asked = Some(asked);
        }
        self.is_served = !is_new && (ttl.is_some() || self.is_served);
        before.max(now).map(|ttl| asked.plus(seconds(ttl)))
    }
}

/// A resolver.
#[derive(Clone, Debug)]
struct Resolver {
    name: String,
    /// Since when it is asked.
    since: At,
    /// Whether readings leave it out.
    is_gone: bool,
    /// What it last said of the record, how often that has become something else, and when it last did.
    said: Option<AnswerState>,
    flips: u64,
    flipped: Option<At>,
    newest: Option<Newest>,
    instances: Instances,
    cache: Cache,
}

/// What a probe knows of the record at every server.
#[derive(Clone, Debug)]
pub struct Propagation {
    since: At,
    /// How long an answer counts, at the least, as what the server says.
    stands: Span,
    authorities: Vec<Authority>,
    resolvers: Vec<Resolver>,
    /// Since when every authoritative server has served the new values.
    new_since: Option<At>,
    /// Until when a cache that keeps to the TTL may hold something other than the new values that an authoritative server was
    /// seen to serve.
    old_until: Option<At>,
    /// Until when caches may ask others, to whom an authoritative server was seen to delegate the name.
    followed_until: Option<At>,
    /// The largest TTL of the old values by the runbook.
    given_ttl: Option<Span>,
    /// What was last found out about the delegation, and when that began.
    delegation: Option<(At, Delegation)>,
    /// How often somebody else has answered than before, and who last.
    moves: u64,
    moved: String,
}

impl Propagation {
    /// The state before any answer. `stands` is how long an answer counts; `old_ttl` is the largest TTL, in seconds, that
    /// the old values had before the probe started, if the runbook gives it.
    pub fn new<'a>(
        now: At,
        stands: Span,
        authoritative: impl IntoIterator<Item = &'a String>,
        resolvers: impl IntoIterator<Item = &'a String>,
        old_ttl: Option<Span>,
    ) -> Self {
        let authority = |address: &String| Authority {
            address: address.clone(),
            newest: None,
            shared: None,
            aaaa: None,
            serial: None,
            instances: Instances::default(),
            memory: AnswerMemory::default(),
            aaaa_memory: AnswerMemory::default(),
            other: Kept::default(),
        };
        let mut propagation = Self {
            since: now,
            stands,
            authorities: authoritative.into_iter().map(authority).collect(),
            resolvers: Vec::new(),
            new_since: None,
            old_until: old_ttl.map(|ttl| now.plus(ttl)),
            followed_until: None,
            given_ttl: old_ttl,
            delegation: None,
            moves: 0,
            moved: String::new(),
        };
        for name in resolvers {
            propagation.add_resolver(now, name.clone());
        }
        propagation
    }

    /// The same for a name of which only that share of the answers is to be new at the authoritative servers.
    #[must_use]
    pub fn with_share(mut self, share: Option<f64>) -> Self {
        for authority in &mut self.authorities {
            authority.shared = share.map(SharedAnswers::new);
        }
        self
    }

    /// Takes up what an earlier driver of the run has seen: a reading made at `at`. What caches may hold does not change
    /// because nobody looked.
    pub fn recall(&mut self, at: At, reading: &Value) {
        let seconds_of = |field: &str| reading.at(field).and_then(Value::int);
        if let Some(kept) = seconds_of("old_kept") {
            self.old_until = Some(at.plus(seconds(kept)));
        }
        self.moves = seconds_of("server_changes").and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        reading.at("moved").and_then(Value::text).unwrap_or_default().clone_into(&mut self.moved);
        let word = |list: &str, name: &str, of: &str, word: &str| {
            let servers = reading.at(list).and_then(Value::list).unwrap_or_default();
            let server = servers.iter().find(|server| server.at(name).and_then(Value::text) == Some(of));
            server.and_then(|server| server.at(word)?.text())
        };
        let state = |list: &str, name: &str, of: &str| word(list, name, of, "state");
        let instances =
            |list: &str, name: &str, of: &str| Instances::after(word(list, name, of, "instance").unwrap_or_default());
        // New answers that did not count then do not count because nobody looked.
        let is_unsteady = |state: Option<&str>| matches!(state, Some("mixed" | "stale"));
        for authority in &mut self.authorities {
            let state = state("authoritative", "server", &authority.address);
            authority.instances = instances("authoritative", "server", &authority.address);
            // One that was not new may have stayed so until it answers again.
            authority.other = Kept { ttl: seconds_of("old_ttl"), asked: None, is_served: state != Some("new") };
            if is_unsteady(state) {
                authority.memory.bar();
            }
        }
        for resolver in &mut self.resolvers {
            resolver.instances = instances("resolvers", "name", &resolver.name);
            if is_unsteady(state("resolvers", "name", &resolver.name)) {
                resolver.cache.bar();
            }
        }
        self.new_since = seconds_of("switched").map(|ago| at.before(seconds(ago)));
    }

    /// Adds a resolver that is asked from `now` on. Returns its place.
    pub fn add_resolver(&mut self, now: At, name: String) -> usize {
        self.resolvers.push(Resolver {
            name,
            since: now,
            is_gone: false,
            said: None,
            flips: 0,
            flipped: None,
            newest: None,
            instances: Instances::default(),
            cache: Cache::default(),
        });
        self.resolvers.len() - 1
    }

    /// Leaves a resolver out of the readings. The places of the others stay, and so does what is known of it.
    pub fn leave_out_resolver(&mut self, at: usize) {
        if let Some(resolver) = self.resolvers.get_mut(at) {
            resolver.is_gone = true;
        }
    }

    /// Takes a resolver into the readings, by that name. True when that changes them.
    pub fn take_in_resolver(&mut self, at: usize, name: &str) -> bool {
        let Some(resolver) = self.resolvers.get_mut(at) else { return false };
        let changed = resolver.is_gone || resolver.name != name;
        resolver.is_gone = false;
        name.clone_into(&mut resolver.name);
        changed
    }

    /// Takes in an authoritative server's answer to a question of `asked`. True when it says something else than before.
    pub fn authority_said(&mut self, at: usize, asked: At, mut answer: Answer) -> bool {
        let Some(authority) = self.authorities.get_mut(at) else { return false };
        let mut moved = None;
        authority.memory.take(&answer);
        let kept = answer.ttl.map(|ttl| asked.plus(seconds(ttl)));
        match answer.state {
            // Caches may take it in all the same.
            AnswerState::Lame => self.old_until = self.old_until.max(kept),
            AnswerState::Delegated => self.followed_until = self.followed_until.max(kept),
            _ => {}
        }
        if answer.state.tells() {
            let told = authority.instances.take(&answer.instance, asked);
            moved = told.map(|told| format!("{}: {told}", authority.address));
            let is_new = answer.state == AnswerState::New;
            self.old_until = self.old_until.max(authority.other.take(asked, answer.ttl, is_new));
            answer.state = if let Some(shared) = &mut authority.shared {
                shared.judge(answer.state)
            } else {
                authority.memory.judged(answer.state)
            };
        }
        let changed = differs(authority.newest.as_ref(), &answer);
        authority.newest = Some(Newest { asked, answer });
        match self.all_authorities(asked, AnswerState::New) {
            // The newest of the answers that completed the switch: it happened no later than this.
            Some(true) => self.new_since = self.new_since.or(Some(asked)),
            Some(false) => self.new_since = None,
            None => {}
        }
        self.move_to(moved) || changed
    }

    /// Takes note that somebody else answers than before, in words. True when that is so.
    pub fn move_to(&mut self, moved: Option<String>) -> bool {
        let Some(moved) = moved else { return false };
        self.moves = self.moves.saturating_add(1);
        self.moved = moved;
        true
    }

    /// Takes in an authoritative server's answer about the AAAA records beside its A records. True when it says something
    /// else than before.
    pub fn aaaa_said(&mut self, at: usize, asked: At, answer: Answer) -> bool {
        let Some(authority) = self.authorities.get_mut(at) else { return false };
        let a = authority.newest.as_ref().map_or("", |newest| &newest.answer.values);
        let mut answer = answer.where_a_has(a);
        authority.aaaa_memory.take(&answer);
        if answer.state == AnswerState::Negative && answer.denies_name {
            // Caches keep it for every type.
            self.old_until = self.old_until.max(answer.ttl.map(|ttl| asked.plus(seconds(ttl))));
        }
        if answer.state.tells() {
            answer.state = authority.aaaa_memory.judged(answer.state);
            // While they stay, it is said that they are left behind. When they go, caches keep them for their time.
            let values = |answer: &Answer| answer.state != AnswerState::New && !answer.values.is_empty();
            let gone = authority.aaaa.as_ref().filter(|known| known.answer.values != answer.values);
            let kept = gone.filter(|known| values(&known.answer)).and_then(|known| known.answer.ttl);
            self.old_until = self.old_until.max(kept.map(|ttl| asked.plus(seconds(ttl))));
        }
        let changed = differs(authority.aaaa.as_ref(), &answer);
        authority.aaaa = Some(Newest { asked, answer });
        changed
    }

    /// Takes in the serial of the zone at an authoritative server.
    pub fn serial_is(&mut self, at: usize, serial: i64) -> bool {
        let Some(authority) = self.authorities.get_mut(at) else { return false };
        let changed = authority.serial != Some(serial);
        authority.serial = Some(serial);
        changed
    }

    /// Takes in what was found out about the delegation from `asked` on. True when it is something else than before.
    pub fn delegation_is(&mut self, asked: At, found: Delegation) -> bool {
        let changed = self.delegation.as_ref().is_none_or(|(_, known)| *known != found);
        self.delegation = Some((asked, found));
        changed
    }

    /// Takes in a resolver's answer to a question of `asked`. True when it says something else than before.
    pub fn resolver_said(&mut self, at: usize, asked: At, answer: Answer) -> bool {
        // Of a share, an old answer after a new one breaks no promise.
        let switched = self.new_since.filter(|_| !self.is_shared());
        let Some(resolver) = self.resolvers.get_mut(at) else { return false };
        let before = resolver.cache.state();
        let mut moved = None;
        if answer.state.tells() {
            let told = resolver.instances.take(&answer.instance, asked);
            moved = told.map(|told| format!("{}: {told}", resolver.name));
            resolver.cache.sample(asked, &answer, switched);
            if resolver.said.replace(answer.state).is_some_and(|said| said != answer.state) {
                resolver.flips += 1;
                resolver.flipped = Some(asked);
            }
        }
        let changed = differs(resolver.newest.as_ref(), &answer);
        resolver.newest = Some(Newest { asked, answer });
        let changed = changed || before != resolver.cache.state();
        self.move_to(moved) || changed
    }

    /// Whether only a share of the answers is to be new.
    fn is_shared(&self) -> bool {
        self.authorities.iter().any(|authority| authority.shared.is_some())
    }

    /// Whether an answer counts at `now`: for its time, or for twice the time that the server took, after it has come.
    fn counts(&self, now: At, newest: &Newest) -> bool {
        let took = newest.answer.took;
        let stands = self.stands.max(Span(took.0.saturating_mul(2)));
        now.since(newest.asked) <= Span(stands.0.saturating_add(took.0))
    }

    /// The newest answers that count at `now`.
    fn counting(&self, now: At) -> impl Iterator<Item = &Newest> {
        let authorities = self.authorities.iter().filter_map(|authority| authority.newest.as_ref());
        let resolvers = self.resolvers.iter().filter(|resolver| !resolver.is_gone);
        authorities
            .chain(resolvers.filter_map(|resolver| resolver.newest.as_ref()))
            .filter(move |newest| newest.answer.state.tells() && self.counts(now, newest))
    }

    /// When the oldest question was asked whose answer counts at `now`; `now` when none does.
    pub fn rests_on(&self, now: At) -> At {
        self.counting(now).map(|newest| newest.asked).min().unwrap_or(now)
    }

    /// Whether an answer counts to a question from before `asked`: its server has not answered again yet.
    pub fn is_behind(&self, now: At, asked: At) -> bool {
        self.counting(now).any(|newest| newest.asked < asked)
    }

    /// What a server says at `now`: its newest answer, unless that has become too old.
    fn state(&self, now: At, since: At, newest: Option<&Newest>) -> AnswerState {
        match newest {
            Some(newest) if self.counts(now, newest) => newest.answer.state,
            Some(_) => AnswerState::Timeout,
            None if now.since(since) <= self.stands => AnswerState::Waiting,
            None => AnswerState::Timeout,
        }
    }

    /// Whether every authoritative server is in that state: false as soon as one says something else, unknown while one
    /// says nothing.
    fn all_authorities(&self, now: At, wanted: AnswerState) -> Option<bool> {
        let states = || self.authorities.iter().map(|authority| self.state(now, self.since, authority.newest.as_ref()));
        if states().any(|state| state.tells() && state != wanted) {
            return Some(false);
        }
        // Of a machine that fails now and then, nobody knows what it serves.
        let is_whole = self.authorities.iter().all(|authority| authority.memory.failing().is_none());
        (is_whole && !self.authorities.is_empty() && states().all(|state| state == wanted)).then_some(true)
    }

    /// Whether an authoritative server serves the new A records with AAAA records other than the new ones: unknown while one
    /// is silent and none does.
    fn aaaa_left_behind(&self, now: At) -> Option<bool> {
        let at = |authority: &Authority| {
            let newest = authority.newest.as_ref().filter(|newest| self.counts(now, newest))?;
            let a = newest.answer.alone.unwrap_or(newest.answer.state);
            let aaaa = self.state(now, self.since, authority.aaaa.as_ref());
            match a {
                AnswerState::New if aaaa.tells() => Some(aaaa != AnswerState::New),
                AnswerState::New => None,
                a => a.tells().then_some(false),
            }
        };
        if self.authorities.iter().all(|authority| authority.aaaa.is_none()) {
            return None;
        }
        let seen: Vec<Option<bool>> = self.authorities.iter().map(at).collect();
        if seen.contains(&Some(true)) { Some(true) } else { seen.iter().all(Option::is_some).then_some(false) }
    }

    /// Until when a cache that keeps to the TTL may hold something other than the new values. What those to whom the name was
    /// delegated give is taken to have the largest TTL of the old values: they are not asked themselves.
    fn kept_until(&self) -> Option<At> {
        let Some(followed) = self.followed_until else { return self.old_until };
        let seen = self.authorities.iter().filter_map(|authority| authority.other.ttl).max();
        let ttl = seen.map(seconds).max(self.given_ttl);
        ttl.and_then(|ttl| self.old_until.max(Some(followed.plus(ttl))))
    }

    /// The reading that all of this makes at `now`.
    pub fn reading(&self, now: At) -> Value {
        let age = |newest: Option<&Newest>| newest.map(|newest| now.since(newest.asked).0 / 1_000);
        let mut served = Some(0);
        let mut authorities = Vec::new();
        for authority in &self.authorities {
            let newest = authority.newest.as_ref();
            let state = self.state(now, self.since, newest);
            let said = newest.filter(|_| state.tells()).map(|newest| &newest.answer);
            let ttl = authority.memory.ttl(said.and_then(|answer| answer.ttl));
            let failing = authority.memory.failing().filter(|_| state.tells());
            let note = newest.map_or("", |newest| &newest.answer.note);
            let note = failing.map_or_else(
                || note.to_owned(),
                |failing| format!("{SOMETIMES}{}{}{note}", failing.word(), if note.is_empty() { "" } else { "; " }),
            );
            let aaaa = authority.aaaa.as_ref().filter(|newest| self.state(now, self.since, Some(newest)).tells());
            let aaaa = aaaa.map_or("", |newest| &newest.answer.values);
            served = served.zip(ttl).map(|(most, ttl)| ttl.max(most));
            authorities.push(Value::map([
                ("server", authority.address.as_str().into()),
                ("state", state.word().into_owned().into()),
                ("values", said.map_or("", |answer| &answer.values).into()),
                ("ttl", ttl.into()),
                ("share", authority.shared.as_ref().and_then(SharedAnswers::share).into()),
                ("aaaa", aaaa.into()),
                ("serial", authority.serial.filter(|_| state != AnswerState::Timeout).into()),
                ("age", age(newest).into()),
                ("note", note.into()),
                ("instance", newest.map_or("", |newest| &newest.answer.instance).into()),
            ]));
        }
        let all_new = self.all_authorities(now, AnswerState::New);
        let asked = || self.resolvers.iter().filter(|resolver| !resolver.is_gone);
        let caches: Vec<Seen> = asked().map(|resolver| self.seen(now, resolver, all_new)).collect();
        let resolvers = asked().zip(&caches).map(|(resolver, seen)| {
            let newest = resolver.newest.as_ref();
            let said = newest.filter(|_| seen.state.tells()).map(|newest| &newest.answer);
            Value::map([
                ("name", resolver.name.as_str().into()),
                ("state", seen.state.word().into_owned().into()),
                ("fresh", seen.state.tells().then_some(seen.state == AnswerState::New).into()),
                ("ttl", seen.ttl.into()),
                ("values", said.map_or("", |answer| &answer.values).into()),
                ("age", age(newest).into()),
                ("eta", seen.eta.into()),
                ("flips", resolver.flips.into()),
                ("flipped", resolver.flipped.map(|at| now.since(at).0 / 1_000).into()),
                ("samples", resolver.cache.samples().into()),
                ("share", resolver.cache.share().filter(|_| seen.state.tells()).into()),
                ("old_share_bound", resolver.cache.bound().filter(|_| seen.state.tells()).into()),
                ("note", newest.map_or("", |newest| &newest.answer.note).into()),
                ("instance", newest.map_or("", |newest| &newest.answer.instance).into()),
            ])
        });
        // What is said of all of none is said of nobody.
        let listed = |answers: Vec<Value>| if answers.is_empty() { Value::Null } else { Value::List(answers) };
        let resolvers = listed(resolvers.collect());
        let counts = Counts::of(&caches);
        let until = |at: At| whole_seconds(at.since(now));
        // Where the old values stay for a share of the answers, there is no moment after which they are gone.
        let stays = self.is_shared();
        let is_over = all_new == Some(true) && !stays;
        let worst_case = self.kept_until().filter(|_| is_over).map(|last| until(last.plus(MARGIN)));
        let ago = |at: At| now.since(at).0 / 1_000;
        // The largest with which a cache can have taken in something else at the very switch.
        let old_ttl = self.authorities.iter().filter_map(|authority| authority.other.ttl).max();
        let expired = if all_new == Some(false) { Some(false) } else { worst_case.map(|left| left == 0) };
        let most = |of: fn(&Seen) -> Option<i64>| {
            let all = caches.iter().map(of).try_fold(0, |most, one| Some(one?.max(most)));
            all.filter(|_| !caches.is_empty())
        };
        let delegation = self.delegation.as_ref().filter(|(asked, _)| now.since(*asked) <= DELEGATION_STANDS);
        let missing = delegation.map_or(Value::Null, |(_, known)| known.missing());
        let delegation =
            delegation.map_or_else(Delegation::unknown, |(asked, known)| known.reading(now.since(*asked).0 / 1_000));
        Value::map([
            ("authoritative", listed(authorities)),
            ("resolvers", resolvers),
            ("authoritative_new", all_new.into()),
            ("authoritative_old", self.all_authorities(now, AnswerState::Old).into()),
            ("ttl", served.filter(|_| !self.authorities.is_empty()).into()),
            ("old", counts.old().filter(|_| !stays).into()),
            ("new", counts.fresh().filter(|_| !stays).into()),
            ("unclear", counts.any(counts.unclear).into()),
            ("total", counts.any(counts.total).into()),
            ("fresh_share", counts.fresh_share().filter(|_| !stays).into()),
            ("max_ttl", most(|seen| seen.ttl).into()),
            ("max_remaining_ttl", most(|seen| seen.remaining).filter(|_| !stays).into()),
            ("eta", most(|seen| seen.eta).filter(|_| !stays).into()),
            ("server_changes", self.moves.into()),
            ("moved", self.moved.as_str().into()),
            ("switched", self.new_since.map(ago).into()),
            ("old_ttl", old_ttl.into()),
            ("old_kept", self.kept_until().map(until).into()),
            ("worst_case", worst_case.into()),
            ("old_ttl_expired", expired.into()),
            ("aaaa_left_behind", self.aaaa_left_behind(now).into()),
            ("authoritative_missing", missing),
            ("delegation", delegation),
        ])
    }

    fn seen(&self, now: At, resolver: &Resolver, all_new: Option<bool>) -> Seen {
        let state = self.state(now, resolver.since, resolver.newest.as_ref());
        if !state.tells() {
            return Seen { state, holds_old: false, ttl: None, remaining: None, eta: None };
        }
        let cache = &resolver.cache;
        let state = cache.judged(now, state);
        // A remaining TTL means nothing at a resolver that serves answers beyond their TTL.
        let counts_down = state != AnswerState::Stale && cache.counts_down();
        let left = |until: At| whole_seconds(until.since(now));
        let ttl = cache.kept_until().filter(|_| counts_down).map(left);
        let remaining = match state {
            AnswerState::New => Some(0),
            _ => cache.new_from().filter(|_| counts_down).map(left),
        };
        // While an authoritative server still serves old values, an expired entry may be fetched again with the old
        // value.
        let eta = if state == AnswerState::New { Some(0) } else { remaining.filter(|_| all_new == Some(true)) };
        Seen { state, holds_old: cache.holds_old(now), ttl, remaining, eta }
    }
}

/// What is held of a resolver at one moment.
struct Seen {
    state: AnswerState,
    holds_old: bool,
    /// Seconds for which it keeps what it holds.
    ttl: Option<i64>,
    /// Seconds for which it keeps something that is not new; zero when it holds nothing of the kind.
    remaining: Option<i64>,
    /// Seconds until it is expected to be new.
    eta: Option<i64>,
}

/// How many resolvers say what. What is not known is not counted as nothing.
struct Counts {
    old: u64,
    new: u64,
    unclear: u64,
    silent: u64,
    total: u64,
}

impl Counts {
    fn of(seen: &[Seen]) -> Self {
        let count = |wanted: &dyn Fn(&Seen) -> bool| seen.iter().filter(|seen| wanted(seen)).count() as u64;
        let old = count(&|seen| seen.holds_old);
        let new = count(&|seen| seen.state == AnswerState::New);
        let total = seen.len() as u64;
        Self { old, new, unclear: total.saturating_sub(old + new), silent: count(&|seen| !seen.state.tells()), total }
    }

    /// The count; `None` when there are no resolvers.
    fn any(&self, count: u64) -> Option<u64> {
        (self.total > 0).then_some(count)
    }

    /// Resolvers with an old value. Unknown while one of them is unclear, since that one may hold an old value.
    fn old(&self) -> Option<u64> {
        self.any(self.old).filter(|_| self.unclear == 0)
    }

    /// Resolvers with the new values, at least. Unknown only while none is new and one is unclear.
    fn fresh(&self) -> Option<u64> {
        self.any(self.new).filter(|new| *new > 0 || self.unclear == 0)
    }

    #[allow(clippy::cast_precision_loss)] // a few resolvers
    fn fresh_share(&self) -> Option<f64> {
        self.any(self.new).filter(|_| self.silent == 0).map(|new| new as f64 / self.total as f64)
    }
}

fn differs(newest: Option<&Newest>, answer: &Answer) -> bool {
    newest.is_none_or(|newest| newest.answer.state != answer.state || newest.answer.values != answer.values)
}

/// Rounded up, so that nothing is over too early.
fn whole_seconds(span: Span) -> i64 {
    i64::try_from(span.0.div_ceil(1_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
