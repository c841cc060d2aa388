use super::*;

fn shapes() -> BTreeMap<ProbeId, Shape> {
    use crate::core::probe::{DnsProbe, HttpProbe, ProbeKind, RecordType, Replication};
    let replication = ProbeKind::Replication(Replication {
        source: "old".into(),
        target: "new".into(),
        subscription: None,
        slot: None,
        heartbeat: None,
    });
    let dns = ProbeKind::Dns(DnsProbe {
        target: "zone".into(),
        name: "app.example".into(),
        record_type: RecordType::A,
        old: vec![],
        new: vec![],
    });
    let latency = ProbeKind::Http(HttpProbe {
        sides: [("old".to_owned(), "a".into()), ("new".to_owned(), "b".into())].into(),
        path: "/".into(),
        window: 1,
    });
    [("lag".into(), replication.shape()), ("dns_app".into(), dns.shape()), ("latency".into(), latency.shape())].into()
}

fn errors(source: &str) -> Vec<String> {
    match Condition::compile(source, &shapes()) {
        Ok(_) => vec![],
        Err(errors) => errors
            .into_iter()
            .map(|e| {
                format!("{}+{} {}{}", e.offset, e.len, e.message, e.hint.map_or(String::new(), |h| format!(" [{h}]")))
            })
            .collect(),
    }
}

#[test]
fn faults_are_told_with_place_and_remedy() {
    insta::assert_debug_snapshot!(
        [
            "lag.byte < 5",
            "lagg.bytes < 5",
            "lag.bytes < \"1MiB\"",
            "lag.seconds < \"5s\"",
            "lag.bytes",
            "lag",
            "2 * latency.old.p95 < 3.0",
            "latency.new.p95 <= 1.2 * lag.bytes",
            "latency.new.p95 <= 2 * lag.bytes",
            "foo(lag.bytes) < 2",
            "bytes(\"1 apple\") > lag.bytes",
            "seconds(\"soon\") > lag.seconds",
            "dns_app.resolvers.all(r, r.fress)",
            "dns_app.resolvers.fresh",
            "dns_app.resolvers.all(lag, true)",
            "lag.bytes < 5 && lag.byts < 5 || lagg.x",
            "lag.seconds == null",
            "lag.bytes <",
            "lag.bytes < 5 6",
            "",
            "!lag.bytes",
            "lag.state < 5",
            "\"äöü\" == lag.stat",
            "lag.streaming > true",
            "lag.state.matches(\"(\")",
            "duration(\"5m\") < 3",
            "lag.bytes ? 1 : 2",
            "has(lag)",
            "all(lag, x)",
            "lag.bytes = 5",
            "lag.bytes < 5 and lag.streaming",
            "latency.old.p95 < '5ms'",
            "size(lag.bytes) > 1",
            "lag.state.size() > 5u",
            "lag.bytes in [\"a\"]",
        ]
        .map(|source| (source, errors(source)))
    );
}
