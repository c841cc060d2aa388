//! A change in the lab, with resolvers as odd as they are in the world, watched to its end.

use gonogo::core::action::Action;
use gonogo::core::kind::{DnsProbe, DnsUpdateAction};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::{DnsChange, RecordType};
use gonogo::core::resolver_kind::ResolverKind;
use gonogo::core::target::{Dns, Target};
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::lab::{self, Lab, LabOptions};
use gonogo::world::{World as _, WorldEvent};
use tempfile::TempDir;

use super::{key, of, strings, succeeded, text};
use crate::flip::Flip;
use crate::support::Setting;

/// A lab that ends with the test.
struct OddLab {
    state: TempDir,
    lab: Lab,
}

impl Drop for OddLab {
    fn drop(&mut self) {
        if let Err(error) = lab::stop(self.state.path()) {
            eprintln!("cannot stop the lab: {error}");
        }
    }
}

const KINDS: [(&str, &str); 6] = [
    ("honest", "honest"),
    ("longer", "min-ttl=8s"),
    ("shorter", "max-ttl=1s"),
    ("stale", "serve-stale"),
    ("two", "two-caches"),
    ("dead", "dead"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_is_watched_to_the_end_of_a_change_with_odd_resolvers() {
    let state = TempDir::new().unwrap();
    let mut options = LabOptions::new(state.path());
    options.program = Some(env!("CARGO_BIN_EXE_gonogo").into());
    options.replication = false;
    options.ttl_seconds = 4;
    options.resolvers = KINDS.iter().map(|(_, kind)| kind.parse::<ResolverKind>().unwrap()).collect();
    let lab = tokio::task::block_in_place(|| lab::start(&options, &mut |line| eprintln!("{line}"))).unwrap();
    let odd = OddLab { state, lab };
    let var = |name: &str| odd.lab.vars[name].clone();
    let resolvers =
        KINDS.iter().zip('a'..).map(|((name, _), letter)| ((*name).to_owned(), var(&format!("resolver_{letter}"))));
    let secret = std::fs::read_to_string(format!("{}/tsig_key", var("secrets_dir"))).unwrap();
    let target = Target::Dns(Dns {
        zone: var("zone"),
        authoritative: vec![var("dns_authoritative")],
        resolvers: resolvers.collect(),
        lookup: None,
        ca: None,
        tsig: Some(key(&var("tsig_name"), "«secret:key»")),
        simulate: None,
    });
    let (old, new) = (var("old_address"), var("new_address"));
    let probe = ProbeKind::Dns(DnsProbe {
        target: "zone".into(),
        name: var("app_name"),
        record_type: RecordType::A,
        old: strings(&[&old]).into(),
        new: strings(&[&new]).into(),
        aaaa: None,
        samples: 3,
        old_ttl: None,
        simulate: None,
    });
    let mut stage = Setting::default()
        .secret("key", SecretSource::Command(vec!["echo".to_owned(), secret]))
        .target("zone", target)
        .probe_every("app", probe, 250, 1_000)
        .stage();
    stage.world.watch();
    let at = |name: &str| KINDS.iter().filter(|(other, _)| *other < name).count(); // readings have them in order
    stage
        .value("app", |value| {
            let state = |name: &str| of(value, "resolvers", at(name), "state").clone();
            state("stale") == text("stale") && state("dead") == text("timeout") && state("longer") == text("old")
        })
        .await;
    let change =
        DnsChange { name: var("app_name"), record_type: RecordType::A, from: vec![old], to: vec![new], ttl: 4 };
    let change = DnsUpdateAction { target: "zone".into(), changes: vec![change], limit: Span::secs(5) };
    succeeded(&stage.run(Action::DnsUpdate(change)).await);
    let mut flip = Flip::default();
    while !["honest", "longer", "shorter", "two"]
        .iter()
        .all(|name| flip.resolvers.get(*name).is_some_and(|told| told.new_since.is_some()))
    {
        if let WorldEvent::Reading(reading) = stage.next().await {
            let value = reading.result.unwrap();
            if value.at("authoritative_new") == Some(&Value::Bool(true)) {
                flip.saw(reading.at, &value);
            }
        }
    }
    let told = ["honest", "longer", "shorter", "two"].map(|name| flip.assert_came_true(name, Span(1_250)));
    assert!(told[1] > 0, "one that keeps its answer for eight seconds says when: {flip:?}");
    flip.assert_never("stale", "stale");
    flip.assert_never("dead", "timeout");
}
