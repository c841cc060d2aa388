//! The `dns` probe: every authoritative server and every resolver is asked for one record, each on its own timetable.

mod answer;
mod delegation;
mod system;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::abortable;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType as Type};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Watch;
use crate::core::ids::ProbeId;
use crate::core::kind::DnsProbe;
use crate::core::kind::dns::answer::{Answer, AnswerState};
use crate::core::kind::dns::delegation::Delegation;
use crate::core::kind::dns::propagation::Propagation;
use crate::core::probe::Probe;
use crate::core::reading::Failure;
use crate::core::target::{Dns, SYSTEM};
use crate::core::time::Span;
use crate::record_data::resolver_address::{BadResolverAddress, ResolverAddress};
use crate::world::live::Shared;
use crate::world::live::net::dns::tls::TlsServer;
use crate::world::live::net::dns::{DnsQuestion, Upstream, ask_at, name, socket};
use crate::world::live::schedule::Timetable;

use answer::{AskedAs, AskedRecord, SeenAnswer};
use system::SystemEntry;

/// Every how many measurements the serial of the zone is asked for, since that is a second question to the same server.
const SERIAL_EVERY: u32 = 5;
/// How long after a tick the reading of that tick is made: most servers have answered by then.
const GRACE: Duration = Duration::from_millis(50);
/// How long after a change its reading is made, or after the last answer to the questions of a tick: many servers may answer
/// within a moment.
const SETTLE: Duration = Duration::from_millis(20);
/// Answers that may wait to be taken in; when there are more, the tasks that ask wait.
const WAITING: usize = 256;

/// A server and the role in which it is asked.
#[derive(Clone, Debug)]
struct Server {
    /// Its place among those of its role.
    at: usize,
    role: AskedAs,
    upstream: Upstream,
}

/// What was heard, and from whom.
enum Heard {
    Server {
        /// The place of the server among those of its role.
        at: usize,
        role: AskedAs,
        asked: Instant,
        said: Said,
    },
    /// The name servers that this machine's configuration lists now, or why there are none.
    System { read: Instant, listed: Result<Vec<SocketAddr>, String> },
    /// What a look at the delegation found out.
    Delegation { asked: Instant, found: Delegation },
}

enum Said {
    Answer(Answer),
    /// What an authoritative server says of the AAAA records beside.
    Aaaa(Answer),
    Serial(i64),
}

/// What all questions of a probe have in common.
struct Asking {
    wanted: AskedRecord,
    zone: Name,
    /// Questions to a server at each tick.
    samples: u8,
    every: Duration,
    limit: Duration,
}

impl Watch for DnsProbe {
    async fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
        match prepare(&shared, &self, &probe) {
            Ok((asking, servers, dns)) => watch(&shared, &id, &probe, &self, (asking, servers, dns), first).await,
            Err(what) => {
                let mut timetable = Timetable::new(first, probe.every.to_std());
                loop {
                    let tick = timetable.next();
                    tokio::time::sleep_until(tick).await;
                    shared.reading(&id, &probe, tick, Instant::now(), Err(Failure::new(what.clone())));
                }
            }
        }
    }
}

fn prepare<'a>(shared: &'a Shared, of: &DnsProbe, probe: &Probe) -> Result<(Asking, Vec<Server>, &'a Dns), String> {
    let dns = shared.dns(&of.target)?;
    let authority = |(at, text): (usize, &String)| {
        Ok(Server { at, role: AskedAs::Authority, upstream: Upstream::Plain(socket(text)?) })
    };
    let resolver = |(at, (_, text)): (usize, (&String, &String))| {
        let upstream = match text.parse().map_err(|err: BadResolverAddress| err.to_string())? {
            ResolverAddress::Plain(address) => Upstream::Plain(address),
            ResolverAddress::Tls { address, name } => {
                Upstream::Tls(Arc::new(TlsServer::new(address, &name, dns.ca.clone())?))
            }
        };
        Ok(Server { at, role: AskedAs::Resolver, upstream })
    };
    let authorities = dns.authoritative.iter().enumerate().map(authority);
    let resolvers = fixed_resolvers(dns).enumerate().map(resolver);
    let servers = authorities.chain(resolvers).collect::<Result<Vec<_>, String>>()?;
    let asking = Asking {
        wanted: AskedRecord::new(of, name(&dns.zone)?)?,
        zone: name(&dns.zone)?,
        samples: of.samples.max(1),
        every: probe.every.to_std(),
        limit: probe.limit.to_std(),
    };
    Ok((asking, servers, dns))
}

/// The resolvers whose address stands in the runbook.
fn fixed_resolvers(dns: &Dns) -> impl Iterator<Item = (&String, &String)> {
    dns.resolvers.iter().filter(|(_, address)| *address != SYSTEM)
}

/// Asks every server for ever and reports what is known, at every tick and as soon as it changes.
async fn watch(
    shared: &Shared,
    id: &ProbeId,
    probe: &Probe,
    of: &DnsProbe,
    (asking, servers, dns): (Asking, Vec<Server>, &Dns),
    first: Instant,
) {
    let clock = |at: Instant| shared.options.clock.at(at.into_std());
    let (tell, mut heard) = mpsc::channel(WAITING);
    let mut known = Propagation::new(
        clock(first),
        probe.stale_after(Span::ZERO),
        &dns.authoritative,
        fixed_resolvers(dns).map(|(name, _)| name),
        of.old_ttl,
    )
    .with_share(of.new.share());
    let mut system: Vec<SystemEntry> = dns
        .resolvers
        .iter()
        .filter(|(_, address)| *address == SYSTEM)
        .map(|(name, _)| SystemEntry::new(name))
        .collect();
    // All in one task, so that a panic in one of them restarts the whole probe.
    let ask = |server: Server, first: Instant| abortable(keep_asking(&asking, server, first, tell.clone()));
    let mut asked: FuturesUnordered<_> = servers.into_iter().map(|server| ask(server, first).0).collect();
    let mut reads = pin!(system::keep_reading(&shared.options.system_dns, !system.is_empty(), &asking, first, &tell));
    let mut looks = pin!(delegation::keep_looking(&shared.options.system_dns, dns, &asking, first, &tell));
    if let Some((at, value)) = shared.earlier.get(id).and_then(|earlier| earlier.last()) {
        known.recall(*at, value);
    }
    let mut timetable = Timetable::new(first, asking.every);
    let mut tick = timetable.next();
    let grace = GRACE.min(asking.every / 2);
    let mut due = tick + grace;
    let mut changed: Option<Instant> = None;
    // Until when the rest of the answers to the questions of this tick is waited for, to make one more reading of them.
    let mut rest: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            Some(heard) = heard.recv() => {
                let news = match heard {
                    Heard::Server { at, role, asked, said } => {
                        let asked = clock(asked);
                        match (said, role) {
                            (Said::Answer(answer), AskedAs::Authority) => known.authority_said(at, asked, answer),
                            (Said::Answer(answer), AskedAs::Resolver) => known.resolver_said(at, asked, answer),
                            (Said::Aaaa(answer), _) => known.aaaa_said(at, asked, answer),
                            (Said::Serial(serial), _) => known.serial_is(at, serial),
                        }
                    }
                    Heard::Delegation { asked, found } => known.delegation_is(clock(asked), found),
                    Heard::System { read, listed } => {
                        let ask = |at, address| {
                            let (future, handle) = ask(Server { at, role: AskedAs::Resolver, upstream: Upstream::Plain(address) }, read);
                            asked.push(future);
                            handle
                        };
                        system.iter_mut().fold(false, |news, entry| entry.lists(&listed, clock(read), &mut known, ask) | news)
                    }
                };
                let now = Instant::now();
                if news {
                    changed = changed.or(Some(now + SETTLE));
                }
                if rest.is_some() && !known.is_behind(clock(now), clock(tick)) {
                    rest = rest.min(Some(now + SETTLE));
                }
            }
            () = tokio::time::sleep_until([changed, rest].into_iter().flatten().fold(due, Instant::min)) => {
                let now = Instant::now();
                changed = None;
                if rest.is_some_and(|rest| rest <= now) {
                    rest = None;
                }
                if now >= due {
                    rest = known.is_behind(clock(now), clock(tick)).then_some(tick + asking.every / 2).filter(|rest| *rest > now);
                    tick = timetable.next();
                    due = tick + grace;
                }
                // Of the time at which the oldest of its answers was asked for, so that nobody takes it for newer.
                let since = clock(now).since(known.rests_on(clock(now))).to_std();
                let asked = now.checked_sub(since).unwrap_or(now);
                shared.reading(id, probe, asked, now, Ok(known.reading(clock(now))));
            }
            Some(_) = asked.next() => {}
            () = &mut reads => {}
            () = &mut looks => {}
        }
    }
}

/// Asks one server for ever.
async fn keep_asking(asking: &Asking, server: Server, first: Instant, tell: mpsc::Sender<Heard>) {
    let mut timetable = Timetable::new(first, asking.every);
    let mut count: u32 = 0;
    // One that is silent is asked one question at a time until it answers again.
    let mut samples = asking.samples;
    let say = async |asked, said| {
        // The receiver is gone only when the probe is over.
        let _ = tell.send(Heard::Server { at: server.at, role: server.role, asked, said }).await;
    };
    let say_seen = async |asked, seen: SeenAnswer| {
        say(asked, Said::Answer(seen.answer)).await;
        if let Some(aaaa) = seen.aaaa {
            say(asked, Said::Aaaa(aaaa)).await;
        }
    };
    loop {
        tokio::time::sleep_until(timetable.next()).await;
        let asked = Instant::now();
        let record = async {
            let ask = || asking.wanted.ask(&server.upstream, server.role, asking.limit);
            let mut questions: FuturesUnordered<_> = (0..samples).map(|_| ask()).collect();
            let (mut answered, mut silence) = (false, None);
            loop {
                tokio::select! {
                    biased;
                    seen = questions.next() => match seen {
                        Some(seen) if matches!(seen.answer.state, AnswerState::Timeout | AnswerState::Unasked) => {
                            silence = Some(seen);
                        }
                        Some(seen) => {
                            answered = true;
                            say_seen(asked, seen).await;
                        }
                        None => break,
                    },
                    // One silent machine of several must not keep the others from being asked again.
                    () = tokio::time::sleep_until(timetable.peek()), if answered => break,
                }
            }
            if let Some(silence) = silence.filter(|_| !answered) {
                say_seen(asked, silence).await;
            }
            if answered { asking.samples } else { 1 }
        };
        if server.role == AskedAs::Authority {
            // What nobody asks for must not keep back what they do ask for.
            let beside = async {
                if let Some(aaaa) = asking.wanted.ask_unexpected(&server.upstream, asking.limit.min(asking.every)).await
                {
                    say(asked, Said::Aaaa(aaaa)).await;
                }
            };
            let serial = async {
                if !count.is_multiple_of(SERIAL_EVERY) {
                    return;
                }
                let question = DnsQuestion::new(&asking.zone, Type::SOA, false);
                let answer = ask_at(&server.upstream, &question, asking.limit.min(asking.every)).await;
                if let Some(serial) = answer.ok().as_ref().and_then(serial_of) {
                    say(asked, Said::Serial(serial)).await;
                }
            };
            (samples, ..) = tokio::join!(record, beside, serial);
        } else {
            samples = record.await;
        }
        count = count.wrapping_add(1);
    }
}

fn serial_of(answer: &Message) -> Option<i64> {
    answer.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(i64::from(soa.serial)),
        _ => None,
    })
}
