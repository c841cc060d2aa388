//! Where credentials come from, how long they are good, and what keeps them from coming. Each in a process of its own, since
//! the environment decides.

use std::path::Path;
use std::time::Instant;

use gonogo::core::action::Action;
use gonogo::core::aws::AwsAccess;
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::Target;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use super::{Service, flip, is, probe};
use crate::support::{Setting, Stage, failed, succeeded, until};

/// Runs the ignored test of that name with a configuration file of its own and a variable.
fn apart(test: &str, config: impl Fn(&Path) -> String, variable: (&str, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, config(dir.path())).unwrap();
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("route53::credentials::{test}")])
        .env("GONOGO_TEST_DIR", dir.path())
        .env("AWS_CONFIG_FILE", file)
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(variable.0, variable.1)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

/// A stage whose credentials come from a profile.
fn stage(service: &Service, profile: Option<&str>, with_endpoint: bool) -> Stage {
    let mut zone = service.zone();
    let endpoint = zone.aws.endpoint.take().filter(|_| with_endpoint);
    zone.aws = AwsAccess { profile: profile.map(str::to_owned), endpoint, ..AwsAccess::default() };
    Setting::default().target("zone", Target::Route53(zone)).probe("record", ProbeKind::Route53(probe())).stage()
}

#[tokio::test]
#[ignore = "started by the next test"]
async fn from_processes() {
    let service = Service::new().await;
    let mut good = stage(&service, Some("good"), true);
    good.world.watch();
    let seen = good.value("record", |value| is(value, "old")).await;
    let left = seen.at("credentials_end_in_s").and_then(Value::number).unwrap();
    assert!(is(&seen, "credentials_end") && left > 1e6, "{seen:?}");
    succeeded(&good.run(Action::Route53(flip())).await);
    good.assert_clean(&["canary-of-a-process", "canary-token"]);
    let posts = service.service.posts();
    let note = Path::new(&std::env::var("GONOGO_TEST_DIR").unwrap()).join("hanging");
    let mut hanging = stage(&service, Some("hang"), true);
    let started = Instant::now();
    let refused = hanging.run(Action::Route53(flip())).await;
    assert!(failed(&refused).contains("no AWS credentials from the profile `hang` within 3 s"), "{refused:?}");
    assert!(failed(&refused).ends_with("nothing was sent"), "{refused:?}");
    assert!(started.elapsed().as_secs() < 15, "it was waited for {:?}", started.elapsed());
    let process = std::fs::read_to_string(note).unwrap();
    let process = format!("/proc/{}", process.trim());
    until("gone: the process that hangs", || !Path::new(&process).exists()).await;
    for (profile, words) in [
        ("bad", "the credential process ended with exit status: 3: no ticket"),
        ("nonsense", "the credential process printed no credentials (line 1)"),
        ("missing", "there is no profile `missing` in the AWS configuration files"),
        ("elsewhere", "`endpoint_url` or `services` of the profile `elsewhere` leads away from AWS"),
    ] {
        let mut stage = stage(&service, Some(profile), profile != "elsewhere");
        let refused = stage.run(Action::Route53(flip())).await;
        assert!(failed(&refused).contains(words), "{refused:?}");
        assert!(!failed(&refused).contains("canary"), "{refused:?}");
    }
    assert_eq!(service.service.posts(), posts);
}

#[test]
fn a_credential_process_is_waited_for_three_seconds_and_ended() {
    let config = |dir: &Path| {
        let hanging = dir.join("hanging");
        let printed = r#"{"Version": 1, "AccessKeyId": "AKIALAB", "SecretAccessKey": "canary-of-a-process", "SessionToken": "canary-token", "Expiration": "2099-01-01T00:00:00Z"}"#;
        std::fs::write(dir.join("printed"), printed).unwrap();
        format!(
            "[profile good]\ncredential_process = cat {}\n\
             [profile hang]\ncredential_process = echo $$ > {}; sleep 600; echo\n\
             [profile bad]\ncredential_process = echo no ticket >&2; exit 3\n\
             [profile nonsense]\ncredential_process = echo canary\n\
             [profile elsewhere]\nendpoint_url = http://127.0.0.1:1\ncredential_process = cat {}\n",
            dir.join("printed").display(),
            hanging.display(),
            dir.join("printed").display(),
        )
    };
    apart("from_processes", config, ("AWS_REGION", "eu-central-1"));
}

#[tokio::test]
#[ignore = "started by the next test"]
async fn from_a_file_that_hangs() {
    let service = Service::new().await;
    let path = std::env::var("AWS_CONFIG_FILE").unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    for with_endpoint in [true, false] {
        let mut hanging = stage(&service, None, with_endpoint);
        let refused = hanging.run(Action::Route53(flip())).await;
        assert!(failed(&refused).ends_with("nothing was sent"), "{refused:?}");
        assert!(failed(&refused).contains("within 3 s") || failed(&refused).contains("the AWS configuration files"));
    }
    assert_eq!(service.service.posts(), 0);
    // Lets the threads go that still wait for it.
    let released = Path::new(&path).with_extension("released");
    std::fs::rename(&path, &released).unwrap();
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    drop(rustix::fs::open(released, flags, rustix::fs::Mode::empty()));
}

/// The SDK reads its files on the thread that measures everything else.
#[test]
fn a_configuration_file_that_hangs_holds_up_nothing_else() {
    apart("from_a_file_that_hangs", |_| String::new(), ("AWS_REGION", "eu-central-1"));
}

#[tokio::test]
#[ignore = "started by the next test"]
async fn none_and_a_detour() {
    let service = Service::new().await;
    let mut nothing = stage(&service, None, true);
    let refused = nothing.run(Action::Route53(flip())).await;
    let words = "no AWS credentials from the environment, the configuration files, the container and the machine";
    assert!(failed(&refused).contains(words) && failed(&refused).ends_with("nothing was sent"), "{refused:?}");
    let mut detour = stage(&service, None, false);
    let refused = detour.run(Action::Route53(flip())).await;
    assert!(failed(&refused).contains("the variable AWS_ENDPOINT_URL_ROUTE_53 leads away from AWS"), "{refused:?}");
    assert_eq!(service.service.posts(), 0);
}

#[test]
fn no_credentials_and_endpoints_of_the_environment_are_told() {
    apart("none_and_a_detour", |_| String::new(), ("AWS_ENDPOINT_URL_ROUTE_53", "http://127.0.0.1:1"));
}
