//! What a runbook says about Amazon Web Services: hosted zones of Route 53, CloudWatch, and with whose rights they are asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A hosted zone of Amazon Route 53. It is known by its id: several zones may have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostedZone {
    /// The name of the zone, for example `example.com`. It is compared with what Route 53 says of the id.
    pub zone: String,
    /// Its id, for example `Z0123456789ABCDEFGHIJ`.
    pub id: String,
    /// Whether it is private: answered only within the VPCs it belongs to. It is compared with what Route 53 says.
    #[serde(default)]
    pub private: bool,
    /// With whose rights Route 53 is asked. The environment and the default profile decide when absent.
    #[serde(default)]
    pub aws: AwsAccess,
}

/// Amazon CloudWatch in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudWatchRegion {
    /// The region whose metrics they are, for example `eu-central-1`. Content delivery (`AWS/CloudFront`) and `AWS/Route53` have
    /// theirs in `us-east-1`, wherever their customers are.
    pub region: String,
    /// With whose rights CloudWatch is asked. The environment and the default profile decide when absent.
    #[serde(default)]
    pub aws: AwsAccess,
}

impl CloudWatchRegion {
    /// The region, and the account and the place where they are named: `eu-central-1 of account 123456789012`.
    pub fn address(&self) -> String {
        let endpoint = self.aws.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
        let account = self.aws.account.as_ref().map_or_else(String::new, |account| format!(" of account {account}"));
        format!("CloudWatch in {}{account}{endpoint}", self.region)
    }

    /// With whose rights it is asked, in its region.
    pub fn access(&self) -> AwsAccess {
        AwsAccess { region: Some(self.region.clone()), ..self.aws.clone() }
    }
}

/// With whose rights AWS is asked, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwsAccess {
    /// The account that the credentials must belong to: twelve digits in quotes. With others nothing is read and nothing is
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The profile in the AWS configuration files that credentials are taken from. When absent, they come from the
    /// environment, the profile that `AWS_PROFILE` names or `default`, a web identity, the container or the machine, in
    /// this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Where AWS is asked instead of at its own addresses, for example `http://127.0.0.1:4566`. It needs `keys`, so that no
    /// real credentials are sent there. One on this machine never leads to another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region whose partition of AWS is asked, where that is not the ordinary one: `us-gov-west-1`, `cn-northwest-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A fixed pair of keys in place of those that are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<AwsKeys>,
}

/// A fixed pair of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwsKeys {
    /// The id of the access key.
    pub id: String,
    /// The secret access key, normally `{{ secrets.NAME }}`.
    pub secret: String,
}

impl HostedZone {
    /// The zone with its id, and where it is when that is not AWS: `example.com (Z0123)`.
    pub fn address(&self) -> String {
        let private = if self.private { ", private" } else { "" };
        let endpoint = self.aws.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
        let account = self.aws.account.as_ref().map_or_else(String::new, |account| format!(" of account {account}"));
        format!("{} ({}{private}){account}{endpoint}", self.zone, self.id)
    }

    /// Whether `name` lies in the zone.
    pub fn has(&self, name: &str) -> bool {
        super::syntax::is_in_zone(name, &self.zone)
    }
}

/// What is wrong at a place: the keys below the target that lead to it, what is wrong, and what was expected.
pub type AwsMistake = (Vec<&'static str>, String, &'static str);

/// What is wrong with CloudWatch of a region.
pub fn wrong_region(of: &CloudWatchRegion) -> Vec<AwsMistake> {
    let mut found = Vec::new();
    let is_region = |region: &str| {
        let parts: Vec<&str> = region.split('-').collect();
        let is_word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        parts.len() >= 3 && parts.iter().all(is_word) && region.ends_with(|last: char| last.is_ascii_digit())
    };
    if !is_region(&of.region) && !of.region.contains('«') {
        let message = format!("`{}` is not the name of a region", of.region);
        found.push((vec!["region"], message, "expected something like `eu-central-1`"));
    }
    if of.aws.region.is_some() {
        let message = "there are two ways to say which region".to_owned();
        found.push((vec!["aws", "region"], message, "expected `region` of the target alone"));
    }
    found.extend(wrong_access(&of.aws));
    found
}

/// What is wrong with a hosted zone.
pub fn wrong(zone: &HostedZone) -> Vec<AwsMistake> {
    let mut found = Vec::new();
    let is_id = |id: &str| {
        id.len() <= 32 && id.starts_with('Z') && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    if !is_id(&zone.id) && !zone.id.contains('«') {
        let label = "expected something like `Z0123456789ABCDEFGHIJ`, without `/hostedzone/`";
        found.push((vec!["id"], format!("`{}` is not the id of a hosted zone", zone.id), label));
    }
    found.extend(wrong_access(&zone.aws));
    found
}

fn wrong_access(aws: &AwsAccess) -> Vec<AwsMistake> {
    let mut found = Vec::new();
    if let Some(account) = aws.account.as_ref().filter(|account| !account.contains('«'))
        && !(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let label = "expected its twelve digits in quotes";
        found.push((vec!["aws", "account"], format!("`{account}` is not the number of an account"), label));
    }
    if aws.endpoint.is_some() && aws.keys.is_none() {
        let message = "an endpoint would be sent the credentials of this environment".to_owned();
        found.push((vec!["aws", "endpoint"], message, "expected `keys` beside it"));
    }
    if aws.profile.is_some() && aws.keys.is_some() {
        let message = "there are two ways to say who asks".to_owned();
        found.push((vec!["aws", "profile"], message, "expected either `profile` or `keys`"));
    }
    found
}
