//! The example of a move by way of Route 53 in the lab: what the API is told is what the lab's name servers then answer, and
//! what resolvers come to.

use gonogo::core::job::Direction;
use gonogo::core::value::Value;

use crate::example::{LabExample, Stage};

pub const EXAMPLE: LabExample<'_> = LabExample {
    text: include_str!("../../docs/examples/route53.yaml"),
    vars: &[
        ("zone", "zone"),
        ("hosted_zone", "hosted_zone"),
        ("old_address", "old_address"),
        ("new_address", "new_address"),
        ("aws_endpoint", "aws_endpoint"),
        ("aws_access_id", "aws_access_id"),
        ("secrets_dir", "secrets_dir"),
        ("resolver_a", "resolver_a"),
        ("resolver_b", "resolver_b"),
        ("resolver_c", "resolver_c"),
        ("app", "app_name"),
        ("dns_server", "dns_authoritative"),
    ],
};

fn is(field: &'static str) -> impl Fn(&Value) -> bool {
    move |value| value.at(field).and_then(Value::bool) == Some(true)
}

#[tokio::test]
async fn a_name_moves_through_route_53_and_back_and_everybody_follows() {
    let mut stage = Stage::new(&EXAMPLE);
    stage.seen("app", is("authoritative_old")).await;
    assert!(stage.run("lower-ttl", Direction::Do).await.contains("INSYNC"));
    stage.seen("api", is("old")).await;
    stage.seen("app", |value| value.at("ttl").and_then(Value::int) == Some(4)).await;
    let all = |side: &'static str| move |value: &Value| value.at(side).and_then(Value::int) == Some(3);
    assert!(stage.run("flip", Direction::Do).await.contains("INSYNC"));
    stage.seen("api", is("new")).await;
    stage.seen("app", is("authoritative_new")).await;
    stage.seen("app", all("new")).await;
    assert!(stage.run("flip", Direction::Undo).await.contains("INSYNC"));
    stage.seen("api", is("old")).await;
    stage.seen("app", all("old")).await;
}
