//! Targets: the things outside that probes look at and actions change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::aws::{CloudWatchRegion, HostedZone};
use super::ids::TargetId;
use super::resolver_kind::ResolverKind;
use super::simulate::Literal;

/// A database, a DNS zone, a web service, a hosted zone or CloudWatch, named once and used by probes and actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A PostgreSQL database.
    Postgres(Postgres),
    /// A DNS zone with its authoritative servers and the resolvers to watch.
    Dns(Dns),
    /// A web service.
    Http(Http),
    /// A hosted zone of Amazon Route 53.
    Route53(HostedZone),
    /// Amazon CloudWatch in one region.
    Cloudwatch(CloudWatchRegion),
}

impl Target {
    /// The word used for this kind in runbooks and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Postgres(_) => "postgres",
            Target::Dns(_) => "dns",
            Target::Http(_) => "http",
            Target::Route53(_) => "route53",
            Target::Cloudwatch(_) => "cloudwatch",
        }
    }
}

impl Target {
    /// Where it is, for the operator's eyes: `db.example:5432/shop`, `example.com at 192.0.2.53`. User names,
    /// passwords and options are left out; a secret in an address stays `«secret:name»`.
    pub fn address(&self) -> String {
        match self {
            Target::Postgres(postgres) => postgres_address(&postgres.dsn),
            Target::Dns(dns) => match dns.authoritative.first() {
                Some(server) => format!("{} at {server}", dns.zone),
                None => dns.zone.clone(),
            },
            Target::Http(http) => {
                let url = without_user(&http.url);
                let connect = http.connect.iter().map(|connect| format!(" by way of {connect}"));
                let proxy = http.proxy.iter().map(|proxy| format!(" through {}", without_user(&proxy.url)));
                std::iter::once(url).chain(connect).chain(proxy).collect()
            }
            Target::Route53(zone) => zone.address(),
            Target::Cloudwatch(of) => of.address(),
        }
    }
}

impl Postgres {
    /// Host and port, without the database: targets for which it is the same lead to the same server.
    pub fn server(&self) -> String {
        let address = postgres_address(&self.dsn);
        let folder = address.starts_with('/');
        let server = match address.rsplit_once('/') {
            Some((server, _)) if !server.is_empty() && (!folder || self.dsn.contains("dbname")) => server,
            _ => &address,
        };
        if folder || server.contains(':') { server.to_owned() } else { format!("{server}:5432") }
    }
}

/// The `dns` targets through which the records of a target are seen: itself, or those of the same zone as a hosted zone.
pub fn serving<'a>(id: &'a TargetId, targets: &'a BTreeMap<TargetId, Target>) -> Vec<&'a TargetId> {
    let Some(Target::Route53(hosted)) = targets.get(id) else { return vec![id] };
    let zone = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    let is_same = |target: &Target| matches!(target, Target::Dns(dns) if zone(&dns.zone) == zone(&hosted.zone));
    targets.iter().filter(|(_, target)| is_same(target)).map(|(id, _)| id).collect()
}

/// The target's name with where it is: `shop (db.example:5432/shop)`.
pub fn place(id: &TargetId, targets: &BTreeMap<TargetId, Target>) -> String {
    match targets.get(id) {
        Some(target) => format!("{id} ({})", target.address()),
        None => id.to_string(),
    }
}

impl Http {
    /// A service at that address, with defaults for everything else.
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connect: None,
            headers: BTreeMap::new(),
            ca: None,
            client_certificate: None,
            basic_auth: None,
            proxy: None,
            version: None,
        }
    }

    /// Whether it is spoken to over TLS.
    pub fn is_secure(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// Whether what it connects to is a name, which is looked up first.
    pub fn is_looked_up(&self) -> bool {
        let url = match (&self.connect, &self.proxy) {
            (Some(place), _) => format!("http://{place}"),
            (None, Some(proxy)) => proxy.url.clone(),
            (None, None) => self.url.clone(),
        };
        let is_address = |host: Host<&str>| !matches!(host, Host::Domain(_));
        !Url::parse(&url).ok().as_ref().and_then(Url::host).is_some_and(is_address)
    }

    /// The version of HTTP that is spoken; `None` when what is written is none.
    pub fn spoken(&self) -> Option<HttpVersion> {
        let Some(version) = &self.version else { return Some(HttpVersion::default()) };
        match version.to_string().trim_matches('"') {
            "1.1" => Some(HttpVersion::One),
            "2" => Some(HttpVersion::Two),
            "auto" => Some(HttpVersion::Auto),
            _ => None,
        }
    }

    /// The host in its URL, without port and brackets; `None` when there is none.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let host = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => place.split(':').next().unwrap_or(place),
        };
        (!host.is_empty()).then_some(host)
    }
}

/// `https://ana:hunter2@example.com/a` without who and what.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest.get(..authority).and_then(|authority| authority.rfind('@'));
    let host = at.and_then(|at| rest.get(at + 1..)).unwrap_or(rest);
    format!("{scheme}://{host}")
}

/// Host, port and database of a connection string, in either of the two forms libpq knows.
fn postgres_address(dsn: &str) -> String {
    if dsn.starts_with("postgres://") || dsn.starts_with("postgresql://") {
        let url = without_user(dsn);
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        return rest.split(['?', '#']).next().unwrap_or_default().to_owned();
    }
    let pairs = dsn_pairs(dsn);
    let value = |key: &str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let host = value("host").or_else(|| value("hostaddr")).unwrap_or("localhost");
    let port = value("port").map_or_else(String::new, |port| format!(":{port}"));
    let database = value("dbname").map_or_else(String::new, |name| format!("/{name}"));
    format!("{host}{port}{database}")
}

/// `key=value` pairs; values may be quoted with `'` and hold `\\'` (libpq, "Keyword/Value Connection Strings").
fn dsn_pairs(dsn: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut chars = dsn.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=') {
            key.push(c);
        }
        if chars.next().is_none() {
            return pairs;
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => value.extend(chars.next()),
                '\'' if quoted => break,
                c if c.is_whitespace() && !quoted => break,
                c => value.push(c),
            }
        }
        pairs.push((key.trim().to_owned(), value));
    }
}

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Postgres {
    /// Connection string without the password, as pairs (`host=db.example port=5432 user=admin dbname=shop`) or as a URL
    /// (`postgresql://admin@db.example:5432/shop`). What libpq takes from `sslrootcert`, `sslmode=verify-full`, a password
    /// file or a service file stands in `ca`, `tls` and `password` here; those files are not read.
    pub dsn: String,
    /// The password, normally `{{ secrets.NAME }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// File with the certificate authority in PEM, when it is not one the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// How a connection is protected. There is no "prefer": a connection is either verified or knowingly plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// TLS; the certificate chain and the host name are verified.
    #[default]
    VerifyFull,
    /// No TLS. Only for loopback and test machines.
    Disable,
}

/// A DNS zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dns {
    /// The zone, for example `example.com`.
    pub zone: String,
    /// Addresses of the authoritative servers, `address` or `address:port`. Each is asked.
    #[schemars(length(min = 1))]
    pub authoritative: Vec<String>,
    /// Recursive resolvers to watch: a name for the screen, and where it is asked: `address`, `address:port`,
    /// `tls://address:port#name` or `system`. With `tls://` it is asked over TLS (port 853 when none is given), and its certificate
    /// has to be good for the name after `#`, or else for the address. `system` stands for the name servers that this machine's
    /// own configuration lists, each asked as any other resolver. What it lists is read again before every measurement.
    #[serde(default)]
    pub resolvers: BTreeMap<String, String>,
    /// Where it is looked up whom the zone is delegated to, so that an incomplete `authoritative` is noticed: `system` (the
    /// name servers of this machine's own configuration), or `address` or `address:port` of a resolver. Without it,
    /// `delegation` and `authoritative_missing` of a `dns` probe are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<String>,
    /// File with the certificate authority in PEM that is trusted in place of those of the system, for resolvers that are asked
    /// over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The key for dynamic updates (RFC 8945).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig: Option<Tsig>,
    /// What a rehearsal needs to know about the resolvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<RehearsedResolvers>,
}

/// What a rehearsal needs to know about the resolvers of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsedResolvers {
    /// How each treats what it remembers, by its name in `resolvers`. Those without a word here differ from rehearsal to
    /// rehearsal.
    #[serde(default)]
    pub resolvers: BTreeMap<String, ResolverKind>,
}

/// The word that stands for the name servers of this machine's own configuration.
pub const SYSTEM: &str = "system";

/// A TSIG key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tsig {
    /// Name of the key, as the server knows it.
    pub name: String,
    /// Algorithm; `hmac-sha256` unless the server wants another.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// The key itself in base64, normally `{{ secrets.NAME }}`.
    pub secret: String,
}

/// Algorithms for TSIG that servers still accept today (RFC 8945 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

/// A web service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Http {
    /// Base address, for example `https://app.example.com`.
    pub url: String,
    /// Connect here (`address:port`) whatever DNS says, keeping the host name of `url` for TLS and `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// File with the certificate authority in PEM that is trusted in place of those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The certificate that is shown when the service asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// User and password that are sent with every request (RFC 7617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// The HTTP proxy that everything goes through: `CONNECT` for https, absolute addresses for http. None is taken from the
    /// environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<HttpProxy>,
    /// The version of HTTP: `1.1`, `2`, or `auto` for what the server prefers (over TLS; plain HTTP is then 1.1). 1.1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Literal>,
}

/// A certificate of one's own, with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCertificate {
    /// File with the certificate in PEM, and after it those that lead to its authority.
    pub certificate: String,
    /// File with its private key in PEM.
    pub key_file: String,
}

/// A user and the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BasicAuth {
    /// The user.
    pub user: String,
    /// The password, normally `{{ secrets.NAME }}`.
    pub password: String,
}

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpProxy {
    /// Its address, for example `http://proxy.example.com:3128`.
    pub url: String,
    /// User and password that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 §3.3).
    Two,
    /// What client and server agree on in the TLS handshake (RFC 7301).
    Auto,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_never_who_or_with_what() {
        for (dsn, address) in [
            (
                "host=db.old.example.com port=25060 user=admin dbname=shop password=hunter2",
                "db.old.example.com:25060/shop",
            ),
            ("postgres://admin:hunter2@db.example:5433/shop?sslmode=require&password=hunter2", "db.example:5433/shop"),
            ("host='/var/run/post gres' dbname = 'it\\'s'", "/var/run/post gres/it's"),
            ("dbname=shop", "localhost/shop"),
            ("host=«secret:host» port=1", "«secret:host»:1"),
            ("", "localhost"),
            ("nonsense", "localhost"),
        ] {
            assert_eq!(postgres_address(dsn), address, "{dsn}");
        }
        assert_eq!(without_user("https://ana:hun@ter2@app.example/a@b"), "https://app.example/a@b");
        assert_eq!(without_user("https://app.example?q=a@b"), "https://app.example?q=a@b");
    }
}
