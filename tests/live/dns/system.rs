//! The entry `system`: the name servers of this machine's own configuration.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gonogo::core::value::Value;
use gonogo::world::World as _;
use gonogo::world::live::SystemDns;

use super::{Daemon, app, of, text, zone};
use crate::support::{Setting, Stage};

type Listed = Result<Vec<SocketAddr>, String>;

/// A machine whose configuration can be changed.
fn machine(listed: Listed) -> (Arc<Mutex<Listed>>, SystemDns) {
    let listed = Arc::new(Mutex::new(listed));
    let of = Arc::clone(&listed);
    (listed, SystemDns::of(move || of.lock().unwrap().clone()))
}

fn stage(authority: &Daemon, system: SystemDns) -> Stage {
    let plan = Setting::default()
        .target("zone", zone(&[authority.address()], &[("here", "system".to_owned())], None))
        .probe_every("app", app(), 200, 1_500)
        .plan();
    let mut stage = Stage::on(&plan, system);
    stage.world.watch();
    stage
}

fn names(value: &Value) -> Vec<String> {
    let resolvers = value.at("resolvers").unwrap().list().unwrap();
    resolvers.iter().map(|one| one.at("name").unwrap().text().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_servers_of_this_machine_are_asked_as_resolvers_and_followed_when_they_change() {
    let knot = Daemon::knot();
    let caches = [Daemon::unbound(&knot), Daemon::unbound(&knot)];
    let addresses = caches.each_ref().map(|cache| cache.address().parse::<SocketAddr>().unwrap());
    let (listed, system) = machine(Ok(vec![addresses[0], addresses[0]]));
    let mut stage = stage(&knot, system);
    let value = stage.value("app", |value| value.at("old") == Some(&Value::Int(1))).await;
    assert_eq!(names(&value), ["here"], "listed twice, asked once");

    *listed.lock().unwrap() = Ok(addresses.to_vec());
    let value = stage.value("app", |value| value.at("old") == Some(&Value::Int(2))).await;
    assert_eq!(names(&value), addresses.map(|address| format!("here {address}")));
    assert_eq!(value.at("server_changes"), Some(&Value::Int(1)));
    let mut sorted = addresses;
    sorted.sort_unstable();
    let moved = format!("here stands for {} {} instead of {}", sorted[0], sorted[1], addresses[0]);
    assert_eq!(value.at("moved"), Some(&text(&moved)));

    // While nothing is listed, nothing that was heard before counts.
    *listed.lock().unwrap() = Err("no such file".to_owned());
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("unconfigured")).await;
    assert_eq!(names(&value), ["here"]);
    let note = of(&value, "resolvers", 0, "note").text().unwrap();
    assert_eq!(note, "this machine's configuration names no server: no such file");
    assert_eq!(value.at("unclear"), Some(&Value::Int(1)));
    for field in ["old", "new", "fresh_share", "max_ttl", "eta"] {
        assert_eq!(value.at(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)), "that one is asked all the same");

    *listed.lock().unwrap() = Ok(vec![addresses[1]]);
    let value = stage.value("app", |value| value.at("old") == Some(&Value::Int(1))).await;
    assert_eq!(names(&value), ["here"]);
    *listed.lock().unwrap() = Ok(Vec::new());
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("unconfigured")).await;
    assert!(of(&value, "resolvers", 0, "note").text().unwrap().ends_with("it lists no server"), "{value:?}");
}

#[tokio::test]
async fn what_caches_have_shown_is_not_forgotten_while_the_configuration_cannot_be_read() {
    let knot = Daemon::knot();
    let cache = Daemon::unbound(&knot);
    let address = cache.address().parse::<SocketAddr>().unwrap();
    let (listed, system) = machine(Ok(vec![address]));
    let mut stage = stage(&knot, system);
    let samples = |value: &Value| of(value, "resolvers", 0, "samples").int().unwrap();
    let value = stage.value("app", |value| value.at("old") == Some(&Value::Int(1)) && samples(value) >= 12).await;
    let before = samples(&value);
    *listed.lock().unwrap() = Err("too many open files".to_owned());
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("unconfigured")).await;
    assert_eq!(value.at("total"), Some(&Value::Int(1)));
    assert_eq!(value.at("old"), Some(&Value::Null));
    *listed.lock().unwrap() = Ok(vec![address]);
    let value = stage.value("app", |value| value.at("old") == Some(&Value::Int(1))).await;
    assert!(samples(&value) >= before, "{value:?}");
}

#[tokio::test]
async fn the_configuration_of_the_operating_system_is_read() {
    let knot = Daemon::knot();
    let mut stage = stage(&knot, SystemDns::default());
    let listed = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("nameserver ")).map(str::trim).collect();
    let value = stage.value("app", |value| !names(value).is_empty()).await;
    let names = names(&value);
    match listed.as_slice() {
        [] => assert_eq!(of(&value, "resolvers", 0, "state"), &text("unconfigured")),
        [_] => assert_eq!(names, ["here"]),
        several => assert!(several.iter().all(|address| names.contains(&format!("here {address}"))), "{names:?}"),
    }
}
