//! `gonogo dns` as a user has it: a change is watched from the outside, and its exit status says how it went.

use std::process::Stdio;
use std::time::Duration;

use gonogo::core::job::Direction;
use tokio::process::Command;

use crate::example::Stage;
use crate::route53::EXAMPLE;

/// The tool, about the name of the shop. What it asks is the lab's, and the zone is found out.
fn tool(stage: &Stage, more: &[&str]) -> Command {
    let at = |name: &str| stage.lab.vars[name].clone();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
    command.args(["dns", &at("app_name"), "--authoritative", &at("dns_authoritative"), "--every", "1s"]);
    for letter in ["a", "b", "c"] {
        command.args(["--resolver", &format!("{letter}={}", at(&format!("resolver_{letter}")))]);
    }
    command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Its exit status and what it printed.
async fn ended(mut command: Command) -> (i32, String) {
    let output = tokio::time::timeout(Duration::from_mins(3), command.output()).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn a_change_is_waited_for_and_the_status_says_how_it_went() {
    let mut stage = Stage::new(&EXAMPLE);
    let (old, new) = (stage.lab.vars["old_address"].clone(), stage.lab.vars["new_address"].clone());
    // It is so already.
    let (status, text) = ended(tool(&stage, &["--expect", &old, "--wait", "--timeout", "2m"])).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("done: authoritative 1 of 1, resolvers 3 of 3"), "{text}");
    // It is not so yet.
    let (status, text) = ended(tool(&stage, &["--expect", &new, "--wait", "--timeout", "4s"])).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(&format!("old {old}")) && text.contains("not yet everywhere after"), "{text}");
    // It becomes so while it is waited for.
    let waiting = tokio::spawn(ended(tool(&stage, &["--expect", &new, "--wait", "--timeout", "150s", "--json"])));
    stage.run("lower-ttl", Direction::Do).await;
    stage.run("flip", Direction::Do).await;
    let (status, text) = waiting.await.unwrap();
    assert_eq!(status, 0, "{text}");
    let looks: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(looks[0]["done"], false);
    assert_eq!(looks[0]["reading"]["old"], 3, "what was served before is the old value: {}", looks[0]);
    let last = &looks[looks.len() - 1];
    assert_eq!((&last["done"], &last["reading"]["new"]), (&true.into(), &3.into()), "{last}");
    // What is wrong is said before anybody is asked, and what nobody knows of is something else.
    let (status, text) = ended(tool(&stage, &["--expect", "192.0.2.300", "--type", "A"])).await;
    assert_eq!(status, 2);
    assert!(text.contains("is not a value of A records") && text.contains("nobody was asked"), "{text}");
    let (status, text) = ended(tool(&stage, &["--expect", &new, "--timeout", "3s"])).await;
    assert_eq!(status, 2, "a time without an end: {text}");
    let mut stranger = Command::new(env!("CARGO_BIN_EXE_gonogo"));
    stranger.args([
        "dns",
        "app.elsewhere.test",
        "--expect",
        "192.0.2.1",
        "--authoritative",
        &stage.lab.vars["dns_authoritative"],
    ]);
    let (status, text) = ended(stranger).await;
    assert_eq!(status, 3);
    assert!(text.contains("nobody says which zone app.elsewhere.test. is in"), "{text}");
}
