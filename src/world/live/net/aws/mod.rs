//! Amazon Web Services through their SDK: whose rights are used, and clients that are sure to send a request once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_route53::config::Region;
use tokio::time::Instant;

use crate::core::aws::AwsAccess;
use crate::core::ids::TargetId;
use crate::world::live::secrets::Secrets;

mod connector;
mod credentials;
mod words;

pub(in crate::world::live) use connector::Dialer;
pub(in crate::world::live) use words::CallFailure;

use connector::Reach;
pub(in crate::world::live) use credentials::Found;

/// Longest time for one try of a call, and for all tries of it.
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(8);
/// A search for credentials that has failed is not made again within this.
const FAILURE_LASTS: Duration = Duration::from_secs(5);
/// The region whose name stands for the ordinary partition of AWS, where Route 53 is signed for.
const REGION: &str = "us-east-1";

/// Variables of the environment that lead the SDKs elsewhere.
const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ROUTE_53", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL_STS"];

fn region(access: &AwsAccess) -> String {
    access.region.clone().unwrap_or_else(|| REGION.to_owned())
}

/// Everybody who asks AWS.
#[derive(Default)]
pub(in crate::world::live) struct Aws {
    seats: Mutex<BTreeMap<TargetId, Arc<tokio::sync::Mutex<Seat>>>>,
    identities: Mutex<BTreeMap<String, Identity>>,
}

/// What is kept of the credentials of one target.
#[derive(Default)]
struct Seat {
    found: Option<Found>,
    failed: Option<(Instant, String)>,
}

/// Whose credentials they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::live) struct Identity {
    /// The account's twelve digits.
    pub(in crate::world::live) account: String,
    /// The ARN of a user or of a role that was assumed.
    pub(in crate::world::live) arn: String,
}

/// Credentials that were found, whose they are, and where AWS is asked with them.
#[derive(Clone)]
pub(in crate::world::live) struct AwsCaller {
    pub(in crate::world::live) found: Found,
    pub(in crate::world::live) identity: Identity,
    region: String,
    endpoint: Option<String>,
    reach: Reach,
}

/// How often a call may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::live) enum Tries {
    /// Once: it changes something.
    Once,
    /// Again when the first is lost: it only reads.
    Again,
}

impl Aws {
    /// Finds out with whose rights a target is asked.
    ///
    /// # Errors
    ///
    /// When there are no credentials, when they are of another account than the target says, and when the environment leads
    /// elsewhere without the runbook's knowledge. Nothing of the service was asked then.
    pub(in crate::world::live) async fn asker(
        &self,
        target: &TargetId,
        access: &AwsAccess,
        secrets: &Secrets,
    ) -> Result<AwsCaller, String> {
        let endpoint = if let Some(endpoint) = &access.endpoint {
            Some(secrets.reveal(endpoint).await?)
        } else {
            no_detour(access).await?;
            None
        };
        let here = endpoint.as_deref().is_some_and(is_on_this_machine);
        let reach = if here { Reach::ThisMachine } else { Reach::Anywhere };
        let found = self.credentials(target, access, secrets, reach).await?;
        let asker = |identity| AwsCaller { found: found.clone(), identity, region: region(access), endpoint, reach };
        let key = found.credentials.access_key_id().to_owned();
        let known = self.identities.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let asker = if let Some(identity) = known {
            asker(identity)
        } else {
            let unknown = asker(Identity { account: String::new(), arn: String::new() });
            let identity = whose(&unknown).await?;
            let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
            identities.insert(key, identity.clone());
            AwsCaller { identity, ..unknown }
        };
        if let Some(account) = &access.account {
            let (account, is) = (secrets.reveal(account).await?, &asker.identity);
            if *account != is.account {
                return Err(format!(
                    "the credentials are of account {} ({}), and `{target}` is in account {account}",
                    is.account, is.arn
                ));
            }
        }
        Ok(asker)
    }

    /// Credentials that are good for a while. Whoever asks meanwhile waits for the same search.
    async fn credentials(
        &self,
        target: &TargetId,
        access: &AwsAccess,
        secrets: &Secrets,
        reach: Reach,
    ) -> Result<Found, String> {
        let seat = {
            let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(seats.entry(target.clone()).or_default())
        };
        let mut seat = seat.lock().await;
        if let Some(found) = seat.found.as_ref().filter(|found| found.is_good()) {
            return Ok(found.clone());
        }
        if let Some((_, why)) = seat.failed.as_ref().filter(|(when, _)| when.elapsed() < FAILURE_LASTS) {
            return Err(why.clone());
        }
        match credentials::find(access, secrets, reach).await {
            Ok(found) => {
                *seat = Seat { found: Some(found.clone()), failed: None };
                Ok(found)
            }
            Err(why) => {
                seat.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }
}

/// Refuses an endpoint that the runbook does not know of: what is asked there is not AWS.
async fn no_detour(access: &AwsAccess) -> Result<(), String> {
    if std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|is| is.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    let told = |from: &str| {
        format!("{from} leads away from AWS: name it as `endpoint` in the target, or take it away; nobody was asked")
    };
    let is_set = |name: &&&str| std::env::var_os(*name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ENDPOINTS.iter().find(is_set) {
        return Err(told(&format!("the variable {name}")));
    }
    let profiles = credentials::profiles(access.profile.as_deref()).await?;
    if ["endpoint_url", "services"].into_iter().any(|key| profiles.get(key).is_some()) {
        return Err(told(&format!("`endpoint_url` or `services` of the profile `{}`", profiles.selected_profile())));
    }
    Ok(())
}

fn is_on_this_machine(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Asks whose credentials they are.
async fn whose(asker: &AwsCaller) -> Result<Identity, String> {
    let dialer = Dialer::new(asker.reach);
    let mut config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(asker.region.clone()))
        .credentials_provider(asker.found.credentials.clone())
        .http_client(dialer.clone())
        .retry_config(retries(Tries::Again))
        .timeout_config(timeouts());
    config.set_endpoint_url(asker.endpoint.clone());
    let asked = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
    let said = asked.map_err(|err| {
        format!("AWS does not say whose the credentials are: {}", CallFailure::of(&err, &dialer).words())
    })?;
    match (said.account, said.arn) {
        (Some(account), Some(arn)) => Ok(Identity { account, arn }),
        _ => Err("AWS does not say whose the credentials are".to_owned()),
    }
}

fn retries(tries: Tries) -> RetryConfig {
    match tries {
        Tries::Once => RetryConfig::disabled(),
        Tries::Again => RetryConfig::standard().with_max_attempts(2),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build()
}

impl AwsCaller {
    /// A client of Route 53, and what notes whether anything has left through it.
    pub(in crate::world::live) fn route53(&self, tries: Tries) -> (aws_sdk_route53::Client, Dialer) {
        let dialer = Dialer::new(self.reach);
        let mut config = aws_sdk_route53::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.found.credentials.clone())
            .http_client(dialer.clone())
            .retry_config(retries(tries))
            .timeout_config(timeouts());
        config.set_endpoint_url(self.endpoint.clone());
        (aws_sdk_route53::Client::from_conf(config.build()), dialer)
    }

    /// A client of CloudWatch, and what notes whether anything has left through it.
    pub(in crate::world::live) fn cloudwatch(&self, tries: Tries) -> (aws_sdk_cloudwatch::Client, Dialer) {
        let dialer = Dialer::new(self.reach);
        let mut config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.found.credentials.clone())
            .http_client(dialer.clone())
            .retry_config(retries(tries))
            .timeout_config(timeouts());
        config.set_endpoint_url(self.endpoint.clone());
        (aws_sdk_cloudwatch::Client::from_conf(config.build()), dialer)
    }
}
