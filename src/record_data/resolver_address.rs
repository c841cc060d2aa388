//! Where a resolver is asked, and how the question gets there.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use url::Url;

/// The port of DNS over UDP and TCP (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// The port of DNS over TLS (RFC 7858 section 3.1).
const TLS_PORT: u16 = 853;

/// Where a resolver is asked, as runbooks write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolverAddress {
    /// Over UDP, and over TCP what does not fit: `9.9.9.9`, `9.9.9.9:53`, `[2620:fe::fe]:53`.
    Plain(SocketAddr),
    /// Over TLS (RFC 7858): `tls://9.9.9.9:853#dns.quad9.net`.
    Tls {
        /// The address that is asked.
        address: SocketAddr,
        /// The name in its certificate; the address itself when none is given.
        name: String,
    },
}

impl ResolverAddress {
    /// The address that is asked.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Plain(address) | Self::Tls { address, .. } => *address,
        }
    }
}

/// Says why the address of a resolver could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not the address of a resolver: write it like 9.9.9.9, [2620:fe::fe]:53 or tls://9.9.9.9#dns.quad9.net"
)]
pub struct BadResolverAddress {
    text: String,
}

impl FromStr for ResolverAddress {
    type Err = BadResolverAddress;

    fn from_str(text: &str) -> Result<Self, BadResolverAddress> {
        let bad = || BadResolverAddress { text: text.to_owned() };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Plain(SocketAddr::new(address, DNS_PORT)));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Plain(address));
        }
        let url = Url::parse(text).map_err(|_| bad())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if url.scheme() != "tls" || !bare || !matches!(url.path(), "" | "/") {
            return Err(bad());
        }
        let host = url.host_str().ok_or_else(bad)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address: IpAddr = host.parse().map_err(|_| bad())?;
        let name = url.fragment().map_or_else(|| address.to_string(), str::to_owned);
        let is_name = |name: &str| {
            name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            })
        };
        if name.parse::<IpAddr>().is_err() && !is_name(&name) {
            return Err(bad());
        }
        Ok(Self::Tls { address: SocketAddr::new(address, url.port().unwrap_or(TLS_PORT)), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_how_and_who_it_is_to_be() {
        let tls = |address: &str, name: &str| {
            Ok(ResolverAddress::Tls { address: address.parse().unwrap(), name: name.to_owned() })
        };
        let plain = |address: &str| Ok(ResolverAddress::Plain(address.parse().unwrap()));
        assert_eq!("127.0.0.1".parse(), plain("127.0.0.1:53"));
        assert_eq!("127.0.0.1:5300".parse(), plain("127.0.0.1:5300"));
        assert_eq!("2001:db8::1".parse(), plain("[2001:db8::1]:53"));
        assert_eq!("[2001:db8::1]:54".parse(), plain("[2001:db8::1]:54"));
        assert_eq!("tls://9.9.9.9#dns.quad9.net".parse(), tls("9.9.9.9:853", "dns.quad9.net"));
        assert_eq!("tls://9.9.9.9:8853/#dns.quad9.net".parse(), tls("9.9.9.9:8853", "dns.quad9.net"));
        assert_eq!("tls://[2620:fe::fe]".parse(), tls("[2620:fe::fe]:853", "2620:fe::fe"));
        for text in [
            "",
            "system",
            "ns1.example.com",
            "tls://dns.quad9.net",
            "tls://9.9.9.9/dns-query",
            "tls://9.9.9.9#",
            "tls://9.9.9.9#a..b",
            "tls://9.9.9.9#a b",
            "tls://me@9.9.9.9",
            "https://9.9.9.9",
            "9.9.9.9#dns.quad9.net",
        ] {
            assert!(text.parse::<ResolverAddress>().is_err(), "{text}");
        }
    }
}
