//! The example of a gate on CloudWatch in the lab: the customers are counted in the stand-in, and the probe reads what they met.

use gonogo::core::job::Direction;
use gonogo::core::value::Value;

use crate::example::{LabExample, Stage};

const EXAMPLE: LabExample<'_> = LabExample {
    text: include_str!("../../docs/examples/cloudwatch.yaml"),
    vars: &[("aws_endpoint", "aws_endpoint"), ("aws_access_id", "aws_access_id"), ("secrets_dir", "secrets_dir")],
};

#[tokio::test]
async fn the_customers_of_the_lab_are_seen_through_cloudwatch() {
    let mut stage = Stage::new(&EXAMPLE);
    let number = |value: &Value, field: &str| value.at(field).and_then(Value::number);
    stage
        .seen("shop", |value| {
            number(value, "requests") > Some(10.0)
                && number(value, "error_share") == Some(0.0)
                && number(value, "errors").is_none()
                && number(value, "behind_s") < Some(40.0)
        })
        .await;
    // The alarms are silent for the time of the move, and only what the run has silenced gets its actions back.
    assert!(stage.run("silence", Direction::Do).await.ends_with(": shop-errors, shop-no-customers"));
    assert!(stage.run("wake", Direction::Do).await.contains("have their actions again"));
    assert!(stage.run("silence", Direction::Undo).await.contains("this run has silenced none of them"));
}
