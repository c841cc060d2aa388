//! `dns`: one record watched anywhere, without a runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::drive::{own_path, runtime, watch_plan};
use super::{CliError, Look, Outcome, say, say_error};
use crate::clock::Clock;
use crate::core::ids::ProbeId;
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::record::RecordType;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::record_data;
use crate::record_data::resolver_address::ResolverAddress;
use crate::runbook::{Options, load_str};
use crate::text::clean;
use crate::world::live::{DnsScout, LiveOptions, ScoutedName, SystemDns, Watching};
use crate::world::{World as _, WorldEvent};

/// Resolvers that are asked when none is given, besides those of this machine.
const PUBLIC: [(&str, &str); 3] = [("cloudflare", "1.1.1.1"), ("google", "8.8.8.8"), ("quad9", "9.9.9.9")];
/// The word for the resolvers of this machine.
const SYSTEM: &str = "system";
/// How many readings in a row must find all of it new.
const IN_A_ROW: u32 = 2;
/// How soon an interruption is seen.
const TICK: Duration = Duration::from_millis(100);
/// The name of the probe.
const RECORD: &str = "record";

pub(super) const AFTER_HELP: &str = "\
Every authoritative server and every resolver is asked directly, again and again. Without `--resolver`, those of this machine are asked, \
and the public ones of Cloudflare, Google and Quad9, which so learn the name.

Examples:
  gonogo dns app.example.com --expect 198.51.100.10
  gonogo dns example.com --type MX --expect \"10 mail.example.com\" --wait --timeout 30m
  gonogo dns app.example.com --expect 198.51.100.10 --resolver office=192.0.2.53 --resolver tls://9.9.9.9#dns.quad9.net --json

Exit status:
  0  every authoritative server and every resolver has it (two looks in a row)
  1  not yet, when the time was over or somebody ended it; on a screen: always 0
  2  the command line is wrong; nobody was asked
  3  nobody says which zone it is or who serves it";

/// What is watched, and how.
#[derive(Debug, Args)]
pub(super) struct DnsArgs {
    /// The name, such as `app.example.com`
    name: String,
    /// A value that it is to have, in the form of a zone file; several times where it is to have several
    #[arg(long, value_name = "VALUE", required = true)]
    expect: Vec<String>,
    /// The record type [default: A or AAAA, as the value is an address]
    #[arg(long = "type", value_name = "TYPE")]
    record_type: Option<String>,
    /// A value that it had before; several times where it had several [default: what is served now]
    #[arg(long, value_name = "VALUE")]
    from: Vec<String>,
    /// A resolver to ask: `ADDRESS`, `ADDRESS:PORT`, `tls://ADDRESS#NAME` or `system`, with `LABEL=` before it if wanted; may be given
    /// several times
    #[arg(long = "resolver", value_name = "[LABEL=]ADDRESS")]
    resolvers: Vec<String>,
    /// An authoritative server to ask, `ADDRESS` or `ADDRESS:PORT`; may be given several times [default: those that the zone names]
    #[arg(long, value_name = "ADDRESS")]
    authoritative: Vec<String>,
    /// The zone that the name is in [default: found out]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Time from one look to the next
    #[arg(long, value_name = "TIME", default_value = "5s")]
    every: Span,
    /// Print lines and end with status 0 as soon as all of them have it
    #[arg(long)]
    wait: bool,
    /// End with status 1 when they do not all have it by then
    #[arg(long, value_name = "TIME", requires = "wait")]
    timeout: Option<Span>,
    /// Print every look as one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn dns(look: Look, args: &DnsArgs) -> Outcome {
    let record_type = record_type(args)?;
    let wrong = |what: String| CliError::usage(format!("{}; nobody was asked", clean(&what)));
    record_data::name(&args.name).map_err(|why| wrong(format!("`{}` is not a DNS name: {why}", args.name)))?;
    for (option, value) in
        args.expect.iter().map(|value| ("expect", value)).chain(args.from.iter().map(|value| ("from", value)))
    {
        record_data::canonical(record_type, value).map_err(|why| {
            wrong(format!("--{option} `{value}` is not a value of {} records: {why}", record_type.as_str()))
        })?;
    }
    if args.every < Span::secs(1) {
        return Err(wrong("--every is too short: servers of others are asked, so say 1s or more".to_owned()));
    }
    let resolvers = resolvers(args).map_err(wrong)?;
    let scout = DnsScout {
        system: SystemDns::default(),
        authoritative: args.authoritative.clone(),
        zone: args.zone.clone(),
        resolvers: resolvers.values().cloned().collect(),
    };
    let runtime = runtime()?;
    let found = runtime.block_on(scout.find(&args.name, record_type));
    let found = found.map_err(|why| CliError::outside(clean(&why)))?;
    for note in &found.notes {
        say_error(&format!("note: {}", clean(note)));
    }
    let plan = plan(args, record_type, &resolvers, &found)?;
    let on_lines = args.wait || args.json || look.plain || !std::io::stdout().is_terminal();
    if !on_lines {
        drop(runtime);
        return watch_plan(look, plan, Some(0));
    }
    let status = runtime.block_on(follow(args, &plan, record_type));
    runtime.shutdown_background();
    status
}

/// The type that is asked for: as it is said, or as the value looks.
fn record_type(args: &DnsArgs) -> Result<RecordType, CliError> {
    if let Some(text) = &args.record_type {
        let known = serde_json::from_value(json!(text.to_ascii_uppercase()));
        return known.map_err(|_| {
            CliError::usage(format!(
                "--type {}: expected A, AAAA, CNAME, TXT, MX, NS, SRV, CAA, HTTPS, SVCB, DS, PTR or SOA; nobody was asked",
                clean(text)
            ))
        });
    }
    let all = |of: RecordType| args.expect.iter().all(|value| record_data::canonical(of, value).is_ok());
    [RecordType::A, RecordType::Aaaa].into_iter().find(|of| all(*of)).ok_or_else(|| {
        CliError::usage(
            "--expect is no address: say with --type of which type it is, such as CNAME or TXT; nobody was asked",
        )
    })
}

/// The resolvers by the names that are shown.
fn resolvers(args: &DnsArgs) -> Result<BTreeMap<String, String>, String> {
    if args.resolvers.is_empty() {
        let public = PUBLIC.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned()));
        return Ok(public.chain([(SYSTEM.to_owned(), SYSTEM.to_owned())]).collect());
    }
    let mut found = BTreeMap::new();
    for text in &args.resolvers {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (name.trim(), address.trim()),
            None => (text.as_str(), text.as_str()),
        };
        if address != SYSTEM {
            address.parse::<ResolverAddress>().map_err(|error| format!("--resolver: {error}"))?;
        }
        if name.is_empty() || found.insert(name.to_owned(), address.to_owned()).is_some() {
            return Err(format!("--resolver {text}: its label is empty or given twice"));
        }
    }
    Ok(found)
}

/// What stands for the old values where nobody knows any: what no name has.
fn nobody_has(of: RecordType) -> Option<&'static str> {
    match of {
        RecordType::A => Some("0.0.0.0"),
        RecordType::Aaaa => Some("::"),
        RecordType::Cname | RecordType::Ns | RecordType::Ptr => Some("unknown.invalid"),
        RecordType::Txt => Some("\"unknown\""),
        RecordType::Mx => Some("0 unknown.invalid"),
        RecordType::Srv => Some("0 0 0 unknown.invalid"),
        RecordType::Caa => Some("0 issue \"unknown.invalid\""),
        RecordType::Https | RecordType::Svcb => Some("1 unknown.invalid"),
        RecordType::Soa => Some("0"),
        RecordType::Ds => None,
    }
}

/// The runbook with one probe that the arguments stand for.
fn plan(
    args: &DnsArgs,
    of: RecordType,
    resolvers: &BTreeMap<String, String>,
    found: &ScoutedName,
) -> Result<Plan, CliError> {
    let normal = |value: &String| record_data::canonical(of, value).unwrap_or_else(|_| value.clone());
    let expected: BTreeSet<String> = args.expect.iter().map(normal).collect();
    let old: Vec<String> = if args.from.is_empty() {
        let other = |values: &&BTreeSet<String>| !values.is_empty() && values.is_disjoint(&expected);
        let served = found.served.iter().find(other).map(|values| values.iter().cloned().collect());
        served.unwrap_or_else(|| nobody_has(of).into_iter().map(str::to_owned).collect())
    } else {
        args.from.clone()
    };
    if old.is_empty() {
        return Err(CliError::usage("nobody serves another value now: say with --from what was there before"));
    }
    let done = format!("{RECORD}.authoritative_new && {RECORD}.new == {RECORD}.total");
    let text = json!({
        "title": format!("{} {} is {}", args.name, of.as_str(), args.expect.join(" ")),
        "targets": { "zone": { "dns": {
            "zone": found.zone,
            "authoritative": found.authoritative,
            "resolvers": resolvers,
        } } },
        "probes": { RECORD: {
            "kind": "dns",
            "title": format!("{} {}", args.name, of.as_str()),
            "target": "zone",
            "name": args.name,
            "type": of.as_str(),
            "old": old,
            "new": args.expect,
            "every": format!("{}ms", args.every.0),
        } },
        "phases": [{ "title": "Watch", "steps": [{
            "id": "watch",
            "title": "Wait until everybody has it",
            "action": { "wait": { "until": { "conditions": [done], "within": "30 days" } } },
            "reversibility": "free",
        }] }],
    });
    let loaded = load_str("command line", text.to_string(), &Options::default());
    loaded.map(|loaded| loaded.plan).map_err(|faults| CliError::usage(faults.render(false, 100)))
}

/// Whether all have it, as a reading tells.
fn is_done(value: &Value) -> bool {
    let count = |field: &str| value.at(field).and_then(Value::int);
    value.at("authoritative_new").and_then(Value::bool) == Some(true)
        && count("total") > Some(0)
        && count("new") == count("total")
}

/// How many looks in a row have found that all have it.
#[derive(Debug, Default)]
struct InARow {
    found: u32,
    /// When the last of them began.
    last: Option<At>,
}

impl InARow {
    /// Takes in a reading. There may be several of one look, as slow servers answer.
    fn take(&mut self, reading: &Reading, every: Span) {
        if !reading.result.as_ref().is_ok_and(is_done) {
            *self = Self::default();
        } else if self.last.is_none_or(|last| reading.at.since(last) >= Span(every.0 / 2)) {
            *self = Self { found: self.found + 1, last: Some(reading.at) };
        }
    }

    fn is_done(&self) -> bool {
        self.found >= IN_A_ROW
    }
}

/// Prints what is seen until all have it, the time is over or somebody has had enough.
async fn follow(args: &DnsArgs, plan: &Plan, of: RecordType) -> Outcome {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(CliError::outside)?;
    }
    let live = LiveOptions {
        // Only actions write, and this world has none.
        run_dir: std::env::temp_dir(),
        run_id: "dns".to_owned(),
        epoch: 0,
        clock: Clock::start(At(0)),
        exe: own_path()?,
        system_dns: SystemDns::default(),
    };
    let mut world = Watching::new(plan, live).map_err(CliError::outside)?;
    world.watch();
    let begun = Instant::now();
    let (mut in_a_row, mut told) = (InARow::default(), String::new());
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            event = world.next() => {
                let Some(WorldEvent::Reading(reading)) = event else { continue };
                if reading.probe != ProbeId::from(RECORD) {
                    continue;
                }
                in_a_row.take(&reading, args.every);
                let done = in_a_row.is_done();
                if args.json {
                    say(&as_json(args, of, &reading, done));
                } else {
                    let line = line(&reading, done);
                    if line != told {
                        say(&format!("{}  {line}", Timestamp::now().strftime("%H:%M:%S")));
                        told = line;
                    }
                }
                if done && args.wait {
                    return Ok(0);
                }
            }
            _ = tick.tick() => {}
        }
        let is_over = args.timeout.is_some_and(|timeout| begun.elapsed() >= timeout.to_std());
        if is_over && !args.json {
            say(&format!("not yet everywhere after {}", Span::of(begun.elapsed())));
        }
        if is_over || interrupted.load(Ordering::Relaxed) {
            return Ok(u8::from(!in_a_row.is_done()));
        }
    }
}

fn as_json(args: &DnsArgs, of: RecordType, reading: &Reading, done: bool) -> String {
    let (value, failure) = match &reading.result {
        Ok(value) => (Some(value), None),
        Err(failure) => (None, Some(&failure.what)),
    };
    let object = json!({
        "at": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "name": args.name,
        "type": of.as_str(),
        "expect": args.expect,
        "done": done,
        "reading": value,
        "failure": failure,
    });
    object.to_string()
}

/// A reading in one line: how many have it, who has not, and until when.
fn line(reading: &Reading, done: bool) -> String {
    let value = match &reading.result {
        Ok(value) => value,
        Err(failure) => return format!("UNKNOWN: {}", clean(&failure.what)),
    };
    let list = |field: &str| value.at(field).and_then(Value::list).unwrap_or_default();
    let word = |of: &Value, field: &str| {
        of.at(field).and_then(Value::text).map(|text| clean(text).into_owned()).unwrap_or_default()
    };
    let is_new = |of: &&Value| word(of, "state") == "new";
    let side = |field: &str, name: &str| {
        let all = list(field);
        let late = all.iter().filter(|of| !is_new(of)).map(|of| {
            let (who, state, values, note) = (word(of, name), word(of, "state"), word(of, "values"), word(of, "note"));
            let more = if values.is_empty() { note } else { values };
            let more = if more.is_empty() { String::new() } else { format!(" {more}") };
            format!("{who} {state}{more}")
        });
        let late: Vec<String> = late.collect();
        let late = if late.is_empty() { String::new() } else { format!(" ({})", late.join(", ")) };
        format!("{} of {}{late}", all.iter().filter(is_new).count(), all.len())
    };
    let mut line =
        format!("authoritative {}, resolvers {}", side("authoritative", "server"), side("resolvers", "name"));
    let seconds = |field: &str| value.at(field).and_then(Value::int).and_then(|seconds| u64::try_from(seconds).ok());
    let eta = seconds("eta").filter(|eta| *eta > 0).map(|eta| at(Span::secs(eta)));
    if let Some(eta) = eta.filter(|_| !is_done(value)) {
        line = format!("{line}; all of these by about {eta}");
    }
    if value.at("aaaa_left_behind").and_then(Value::bool) == Some(true) {
        line.push_str("; there are AAAA records beside it");
    }
    if done { format!("done: {line}") } else { line }
}

/// A moment from now, to the minute, so that it does not change with every look.
fn at(from_now: Span) -> String {
    let moment = At(Timestamp::now().as_millisecond()).plus(from_now);
    moment.utc().get(..5).map_or_else(String::new, |minute| format!("{minute} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::moves::Moves;
    use crate::core::reading::Failure;
    use crate::core::server::Servers;

    fn reading(at: i64, result: Result<Value, Failure>) -> Reading {
        Reading {
            probe: ProbeId::from(RECORD),
            at: At(at),
            took: Span::ZERO,
            as_of: None,
            result,
            servers: Servers::new(),
            moves: Moves::default(),
        }
    }

    fn counted(authoritative: Value, new: Value) -> Value {
        Value::map([("authoritative_new", authoritative), ("new", new), ("total", 3.into())])
    }

    #[test]
    fn all_have_it_when_two_looks_in_a_row_say_so_and_nobody_is_unknown() {
        let every = Span::secs(5);
        let good = || Ok(counted(true.into(), 3.into()));
        let mut seen = InARow::default();
        seen.take(&reading(0, good()), every);
        seen.take(&reading(40, good()), every);
        assert!(!seen.is_done(), "several readings of one look count once");
        seen.take(&reading(5_000, good()), every);
        assert!(seen.is_done());
        for other in [
            Ok(counted(true.into(), 2.into())),
            Ok(counted(false.into(), 3.into())),
            Ok(counted(Value::Null, 3.into())),
            Ok(counted(true.into(), Value::Null)),
            Err(Failure::new("no answer")),
        ] {
            let mut seen = InARow::default();
            seen.take(&reading(0, good()), every);
            seen.take(&reading(5_000, other.clone()), every);
            seen.take(&reading(10_000, good()), every);
            assert!(!seen.is_done(), "{other:?}");
        }
        let without = Value::map([("authoritative_new", true.into()), ("new", Value::Null), ("total", Value::Null)]);
        assert!(!is_done(&without), "nobody was asked");
    }

    fn args(expect: &[&str], record_type: Option<&str>, resolvers: &[&str]) -> DnsArgs {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        DnsArgs {
            name: "app.example.com".to_owned(),
            expect: texts(expect),
            record_type: record_type.map(str::to_owned),
            from: Vec::new(),
            resolvers: texts(resolvers),
            authoritative: Vec::new(),
            zone: None,
            every: Span::secs(5),
            wait: false,
            timeout: None,
            json: false,
        }
    }

    #[test]
    fn the_type_follows_from_the_value_where_it_is_an_address() {
        for (expect, said, of) in [
            ("192.0.2.1", None, Some(RecordType::A)),
            ("2001:db8::1", None, Some(RecordType::Aaaa)),
            ("lb.example.net", None, None),
            ("lb.example.net", Some("cname"), Some(RecordType::Cname)),
            ("lb.example.net", Some("alias"), None),
        ] {
            assert_eq!(record_type(&args(&[expect], said, &[])).ok(), of, "{expect} {said:?}");
        }
    }

    #[test]
    fn resolvers_have_labels_and_those_of_everybody_are_asked_when_none_is_given() {
        let named = |given: &[&str]| resolvers(&args(&["192.0.2.1"], None, given));
        let names: Vec<String> = named(&[]).unwrap().into_keys().collect();
        assert_eq!(names, ["cloudflare", "google", "quad9", "system"]);
        let own = named(&["office=192.0.2.53", "tls://9.9.9.9#dns.quad9.net", "system"]).unwrap();
        assert_eq!(own["office"], "192.0.2.53");
        assert_eq!(own["tls://9.9.9.9#dns.quad9.net"], "tls://9.9.9.9#dns.quad9.net");
        assert!(named(&["=192.0.2.53"]).is_err() && named(&["a=192.0.2.1", "a=192.0.2.2"]).is_err());
        assert!(named(&["dns.google"]).unwrap_err().contains("is not the address of a resolver"));
    }

    #[test]
    fn the_probe_is_made_for_every_type_even_when_nobody_knows_the_old_value() {
        for (of, value) in [
            ("A", "192.0.2.1"),
            ("AAAA", "2001:db8::1"),
            ("CNAME", "lb.example.net"),
            ("TXT", "\"v=spf1 -all\""),
            ("MX", "10 mail.example.com"),
            ("NS", "ns1.example.net"),
            ("SRV", "0 5 5060 sip.example.com"),
            ("CAA", "0 issue \"letsencrypt.org\""),
            ("HTTPS", "1 . alpn=\"h2\""),
            ("SVCB", "1 . alpn=\"h2\""),
            ("PTR", "host.example.com"),
            ("SOA", "7"),
        ] {
            let args = args(&[value], Some(of), &[]);
            let record_type = record_type(&args).unwrap();
            let found = ScoutedName {
                zone: "example.com".to_owned(),
                authoritative: vec!["192.0.2.53:53".to_owned()],
                ..ScoutedName::default()
            };
            let plan = plan(&args, record_type, &resolvers(&args).unwrap(), &found);
            assert!(plan.is_ok(), "{of}: {plan:?}");
        }
    }

    #[test]
    fn a_line_says_who_has_not_got_it() {
        let server = |name: &'static str, who: &str, state: &str, values: &str| {
            Value::map([(name, who.into()), ("state", state.into()), ("values", values.into()), ("note", "".into())])
        };
        let value = Value::map([
            ("authoritative", Value::List(vec![server("server", "192.0.2.53:53", "new", "192.0.2.1")])),
            (
                "resolvers",
                Value::List(vec![
                    server("name", "quad9", "old", "192.0.2.9"),
                    server("name", "system", "new", "192.0.2.1"),
                ]),
            ),
            ("aaaa_left_behind", true.into()),
        ]);
        assert_eq!(
            line(&reading(0, Ok(value)), false),
            "authoritative 1 of 1, resolvers 1 of 2 (quad9 old 192.0.2.9); there are AAAA records beside it"
        );
        assert_eq!(line(&reading(0, Err(Failure::new("no \u{1b}answer"))), false), "UNKNOWN: no ␛answer");
    }
}
