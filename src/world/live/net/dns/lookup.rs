//! Names looked up through a resolver, as any program of this machine does it: for facts about a zone, never for the record
//! that a probe watches, since such a library caches, merges and repeats questions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::{DnsError, NetError};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType as Type};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::{Resolver, TokioResolver};

use crate::world::live::{foreign, shortage};

/// Looks names up through some resolvers.
pub(in crate::world::live) struct HostLookup {
    resolver: TokioResolver,
}

impl HostLookup {
    /// Asks `through` one after the other; each question is given up after `limit`.
    ///
    /// # Errors
    ///
    /// When the library cannot be set up.
    pub(in crate::world::live) fn new(through: &[SocketAddr], limit: Duration) -> Result<Self, String> {
        let connection = |at: &SocketAddr, mut connection: ConnectionConfig| {
            connection.port = at.port();
            connection
        };
        let server = |at: &SocketAddr| {
            let connections = vec![connection(at, ConnectionConfig::udp()), connection(at, ConnectionConfig::tcp())];
            NameServerConfig::new(at.ip(), true, connections)
        };
        let config = ResolverConfig::from_name_servers(through.iter().map(server).collect());
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.attempts = 1;
        options.timeout = limit;
        let resolver = builder.build().map_err(|err| foreign::brief(&err.to_string(), 200))?;
        Ok(Self { resolver })
    }

    /// The names of a zone's servers; empty when there is no such zone.
    ///
    /// # Errors
    ///
    /// When nobody says.
    pub(in crate::world::live) async fn name_servers(&self, zone: &Name) -> Result<Vec<Name>, String> {
        let found = self.records(zone, Type::NS).await?;
        Ok(found
            .into_iter()
            .filter_map(|data| if let RData::NS(server) = data { Some(server.0) } else { None })
            .collect())
    }

    /// Every address of a host, IPv4 first; empty when it has none.
    ///
    /// # Errors
    ///
    /// When nobody says, even if only about one kind of address.
    pub(in crate::world::live) async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, String> {
        let (four, six) = tokio::join!(self.records(host, Type::A), self.records(host, Type::AAAA));
        let address = |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        Ok(four?.into_iter().chain(six?).filter_map(address).collect())
    }

    async fn records(&self, name: &Name, of: Type) -> Result<Vec<RData>, String> {
        match self.resolver.lookup(name.clone(), of).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                Ok(Vec::new())
            }
            Err(err) => {
                let missing = if let NetError::Io(err) = &err { shortage::of(err) } else { None };
                let why = missing.unwrap_or_else(|| foreign::brief(&err.to_string(), 120));
                Err(format!("{name} {of} was not found out: {why}"))
            }
        }
    }
}
