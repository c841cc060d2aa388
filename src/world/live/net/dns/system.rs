//! The name servers that this machine's own configuration lists.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::system_conf::read_system_conf;

use crate::world::live::foreign;

type Listed = dyn Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync;

/// Where the name servers of this machine are listed.
#[derive(Clone)]
pub struct SystemDns(Arc<Listed>);

impl Default for SystemDns {
    /// The configuration of the operating system, such as `/etc/resolv.conf`.
    fn default() -> Self {
        Self(Arc::new(configured))
    }
}

impl SystemDns {
    /// Another list, which is asked for before every measurement: the servers, or why there are none.
    pub fn of(listed: impl Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(listed))
    }

    /// The servers, each once.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be read or lists none.
    pub(in crate::world::live) async fn servers(&self) -> Result<Vec<SocketAddr>, String> {
        let listed = Arc::clone(&self.0);
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
        if servers.is_empty() { Err("it lists no server".to_owned()) } else { Ok(servers) }
    }
}

impl fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemDns")
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
