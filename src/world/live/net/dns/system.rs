//! The name servers that this machine's own configuration lists.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::system_conf::read_system_conf;

use crate::world::live::foreign;

type Listed = dyn Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync;

/// The port of name servers (RFC 1035 §4.2).
const PORT: u16 = 53;

/// Where the name servers of this machine are listed.
#[derive(Clone)]
pub struct SystemDns {
    listed: Arc<Listed>,
    server_port: u16,
}

impl Default for SystemDns {
    /// The configuration of the operating system, such as `/etc/resolv.conf`.
    fn default() -> Self {
        Self::of(configured)
    }
}

impl SystemDns {
    /// Another list, which is asked for before every measurement: the servers, or why there are none.
    pub fn of(listed: impl Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync + 'static) -> Self {
        Self { listed: Arc::new(listed), server_port: PORT }
    }

    /// The same where name servers are found at another port: the DNS gives only their addresses.
    #[must_use]
    pub fn with_server_port(self, server_port: u16) -> Self {
        Self { server_port, ..self }
    }

    /// The port at which a name server is asked whose address comes from the DNS.
    pub(in crate::world::live) fn server_port(&self) -> u16 {
        self.server_port
    }

    /// The servers, each once; empty when the configuration lists none.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be read.
    pub(in crate::world::live) async fn servers(&self) -> Result<Vec<SocketAddr>, String> {
        let listed = Arc::clone(&self.listed);
        let read = tokio::task::spawn_blocking(move || listed());
        let mut servers =
            read.await.map_err(|err| err.to_string()).flatten().map_err(|why| foreign::brief(&why, 200))?;
        let mut met = Vec::new();
        servers.retain(|server| {
            !met.contains(server) && {
                met.push(*server);
                true
            }
        });
        Ok(servers)
    }
}

impl fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemDns").field("server_port", &self.server_port).finish_non_exhaustive()
    }
}

fn configured() -> Result<Vec<SocketAddr>, String> {
    let (config, _) = read_system_conf().map_err(|err| err.to_string())?;
    let servers = config.name_servers().iter().filter_map(|server| {
        let port = server.connections.first()?.port;
        Some(SocketAddr::new(server.ip, port))
    });
    Ok(servers.collect())
}
