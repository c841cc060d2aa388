//! Every type of record is compared in the form in which the runbook writes it.

use gonogo::core::record::RecordType;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use super::{Daemon, of, probe, text, zone};
use crate::support::Setting;

#[tokio::test]
async fn every_type_is_compared_as_the_runbook_writes_it() {
    let knot = Daemon::knot();
    let digest = "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118";
    let records = [
        ("mx", RecordType::Mx, "10 MAIL.example.test"),
        ("", RecordType::Ns, "NS.example.test."),
        ("_sip._tcp", RecordType::Srv, "0 5 5060 sip.example.test"),
        ("caa", RecordType::Caa, "0 issue \"letsencrypt.org\""),
        ("https", RecordType::Https, "1 svc.example.test. alpn=\"h2\""),
        ("_x.svcb", RecordType::Svcb, "1 svc.example.test. port=\"8443\""),
        ("signed", RecordType::Ds, digest),
        ("ptr", RecordType::Ptr, "app.example.test"),
        ("", RecordType::Soa, "7"),
        ("parts", RecordType::Txt, "\"v=spf1 \" \"-all\""),
    ];
    let mut setting = Setting::default().target("zone", zone(&[knot.address()], &[("all", knot.address())], None));
    for (at, (label, of, value)) in records.iter().enumerate() {
        let name = if label.is_empty() { "example.test".to_owned() } else { format!("{label}.example.test") };
        let other = if *of == RecordType::Soa { "8" } else { "1 other" };
        setting = setting.probe(&format!("p{at}"), probe(&name, *of, &[other], &[value]));
    }
    let mut stage = setting.stage();
    stage.world.watch();
    for (at, (label, _, value)) in records.iter().enumerate() {
        let is_new = |value: &Value| value.at("authoritative_new") == Some(&Value::Bool(true));
        let seen = stage.value(&format!("p{at}"), is_new).await;
        assert_eq!(seen.at("authoritative_old"), Some(&Value::Bool(false)), "{label} {value}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_compared_as_bytes() {
    let knot = Daemon::knot();
    let same = r#""\255\254 \\ \"x""#;
    let other = r#""\255\253 \\ \"x""#;
    let at = [("all", knot.address())];
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &at, None))
        .probe("txt", probe("raw.example.test", RecordType::Txt, &[same], &[other]))
        .probe("caa", probe("rawcaa.example.test", RecordType::Caa, &[r#"0 issue "\255""#], &[r#"0 issue "\254""#]))
        .stage();
    stage.world.watch();
    for id in ["txt", "caa"] {
        let value = stage.value(id, |value| of(value, "authoritative", 0, "values") != &text("")).await;
        assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)), "{value:?}");
        assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(false)), "{value:?}");
    }
    let value = stage.value("txt", |_| true).await;
    assert_eq!(of(&value, "authoritative", 0, "values"), &text(same));
}
