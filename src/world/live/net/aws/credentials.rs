//! Credentials: found, kept while they are good, and asked whose they are. All of it takes at most [`LIMIT`], so that a
//! program or a server that hangs is told from an AWS that does not answer.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_route53::config::Region;
use aws_types::os_shim_internal::{Env, Fs};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::connector::{Dialer, Reach};
use crate::core::aws::AwsAccess;
use crate::world::live::files::read_in_thread;
use crate::world::live::foreign;
use crate::world::live::net::chain;
use crate::world::live::programs::{self, Printed, Unusable};
use crate::world::live::secrets::Secrets;

/// How long it may take to find credentials.
pub(super) const LIMIT: Duration = Duration::from_secs(3);
/// Credentials that end within this are looked for anew.
const ABOUT_TO_END: Duration = Duration::from_secs(30);
/// Those that say nothing of an end are looked for anew after this.
const ENDLESS_LAST: Duration = Duration::from_mins(15);
/// What the files are called.
const CONFIGURATION: &str = "the AWS configuration files";
/// Largest answer of a credential process, bytes.
const LARGEST: u64 = 64 * 1024;

/// Credentials with what is known of them.
#[derive(Clone)]
pub(in crate::world::live) struct Found {
    pub(super) credentials: Credentials,
    since: SystemTime,
}

impl Found {
    /// Time until they end; `None` when they do not.
    pub(in crate::world::live) fn left(&self) -> Option<Duration> {
        let end = self.credentials.expiry()?;
        Some(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Whether they can be used for a while.
    pub(super) fn is_good(&self) -> bool {
        let age = self.since.elapsed().unwrap_or(Duration::MAX);
        self.left().map_or(age < ENDLESS_LAST, |left| left > ABOUT_TO_END)
    }
}

/// Finds credentials.
///
/// # Errors
///
/// Where they were looked for, why there are none, and what to do.
pub(super) async fn find(access: &AwsAccess, secrets: &Secrets, reach: Reach) -> Result<Found, String> {
    let found = tokio::time::timeout(LIMIT, Box::pin(look(access, secrets, reach)));
    let where_looked = || match &access.profile {
        Some(profile) => format!("the profile `{profile}`"),
        None => "the environment, the configuration files, the container and the machine".to_owned(),
    };
    let credentials = match found.await {
        Ok(Ok(credentials)) => credentials,
        Ok(Err(why)) => return Err(format!("no AWS credentials from {}: {why}", where_looked())),
        Err(_) => return Err(format!("no AWS credentials from {} within {} s", where_looked(), LIMIT.as_secs())),
    };
    Ok(Found { credentials, since: SystemTime::now() })
}

async fn look(access: &AwsAccess, secrets: &Secrets, reach: Reach) -> Result<Credentials, String> {
    if let Some(keys) = &access.keys {
        let (id, secret) = (secrets.reveal(&keys.id).await?, secrets.reveal(&keys.secret).await?);
        return Ok(Credentials::new(id, secret, None, None, "keys of the runbook"));
    }
    let name = access.profile.as_deref();
    // The SDK never ends a credential process that hangs, and each further try would start another.
    let in_environment = name.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
    if !in_environment && let Some(process) = process_of(&profiles(name).await?, name)? {
        return run(&process).await;
    }
    let region = super::region(access);
    let (profile, runtime) = (access.profile.clone(), Handle::current());
    // The SDK reads files as if none of them could keep it waiting.
    read_in_thread("AWS credentials", move || runtime.block_on(provided(profile, region, reach))).await
}

/// Credentials by the ways of the SDK.
async fn provided(profile: Option<String>, region: String, reach: Reach) -> Result<Credentials, String> {
    let config = ProviderConfig::without_region()
        .with_region(Some(Region::new(region)))
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(Dialer::new(reach));
    let provided = match &profile {
        Some(name) => {
            let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build();
            provider.provide_credentials().await
        }
        None => DefaultCredentialsChain::builder().configure(config).build().await.provide_credentials().await,
    };
    provided.map_err(|err| {
        let why = foreign::brief(&chain(&err), 300);
        let is_sso = why.to_ascii_lowercase().contains("sso");
        let profile = profile.map_or_else(String::new, |name| format!(" --profile {name}"));
        if is_sso { format!("{why} (sign in with `aws sso login{profile}`)") } else { why }
    })
}

/// The profiles in the configuration files.
pub(super) async fn profiles(name: Option<&str>) -> Result<ProfileSet, String> {
    let selected = name.map(|name| Cow::Owned(name.to_owned()));
    let read = move || {
        let (fs, env, files) = (Fs::real(), Env::real(), EnvConfigFiles::default());
        // It only reads files, and is through when it returns.
        let found = aws_config::profile::load(&fs, &env, &files, selected).now_or_never();
        let found = found.ok_or_else(|| "they are not read at once".to_owned())?;
        found.map_err(|err| foreign::brief(&chain(&err), 300))
    };
    let found = read_in_thread(CONFIGURATION, read).await;
    found.map_err(|why| format!("{CONFIGURATION} cannot be used: {why}"))
}

/// The credential process of the selected profile, when its credentials come from there and from nowhere else.
fn process_of(profiles: &ProfileSet, name: Option<&str>) -> Result<Option<String>, String> {
    let Some(profile) = profiles.get_profile(profiles.selected_profile()) else {
        return match name {
            Some(name) => Err(format!("there is no profile `{name}` in the AWS configuration files")),
            None => Ok(None),
        };
    };
    let has = |key: &str| profile.get(key).is_some();
    let comes_first = ["role_arn", "sso_session", "sso_account_id", "web_identity_token_file", "aws_access_key_id"];
    if comes_first.into_iter().any(has) {
        return Ok(None);
    }
    Ok(profile.get("credential_process").map(str::to_owned))
}

/// What a credential process prints (AWS SDKs and Tools Reference Guide, "Process credential provider").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printout {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<Timestamp>,
}

async fn run(process: &str) -> Result<Credentials, String> {
    let mut command = programs::command("sh");
    command.args(["-c", process]);
    let printed = programs::run(command, LARGEST).await.map_err(|err| match err {
        Unusable::Unstarted(err) | Unusable::Lost(err) => format!("the credential process does not start: {err}"),
        Unusable::TooMuch => format!("the credential process printed more than {LARGEST} bytes"),
    })?;
    let Printed { status, out, err } = printed;
    if !status.success() {
        let said = foreign::brief(String::from_utf8_lossy(&err).trim(), 200);
        return Err(format!("the credential process ended with {status}: {said}"));
    }
    // What it printed is secret, so no part of it is repeated.
    let printout: Printout = serde_json::from_slice(&out)
        .map_err(|err| format!("the credential process printed no credentials (line {})", err.line()))?;
    if printout.version != 1 {
        return Err(format!("the credential process speaks version {}, and 1 is known", printout.version));
    }
    let Printout { access_key_id, secret_access_key, session_token, expiration, .. } = printout;
    let expiry =
        expiration.map(|end| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(end.as_second()).unwrap_or(0)));
    Ok(Credentials::new(access_key_id, secret_access_key, session_token, expiry, "credential process"))
}
