//! How a statement that runs is cancelled.
//!
//! The request goes over a connection of its own, which the server closes when it has taken it in. A pooler that sees our
//! side closed before it has passed the request on drops it, so that the statement would run on, or crashes
//! (`PgBouncer` 1.18 does).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use super::PgSession;
use super::connect::{PgEndpoint, connector};
use crate::core::target::{Postgres, Tls};
use crate::world::live::net::chain;

/// Longest wait for the server to take a request in.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends the request to the address of the session, over the same kind of connection.
pub(super) fn cancel(target: Postgres, session: &PgSession) -> impl Future<Output = ()> + Send + use<> {
    let (token, endpoint, place) = (session.client().cancel_token(), session.endpoint.clone(), session.place.clone());
    async move {
        let sent = timeout(LIMIT, request(&target, &token, &endpoint)).await;
        if let Err(why) = sent.unwrap_or_else(|_| Err("the server does not close the connection".to_owned())) {
            debug!(%place, %why, "not cancelled");
        }
    }
}

async fn request(target: &Postgres, token: &CancelToken, endpoint: &PgEndpoint) -> Result<(), String> {
    let tls = match target.tls {
        Tls::Disable => None,
        Tls::VerifyFull => Some(connector(target).await?),
    };
    let name = match &endpoint.host {
        Some(Host::Tcp(name)) => name.clone(),
        _ => endpoint.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let failed = |err: io::Error| err.to_string();
    match (endpoint.address, &endpoint.host) {
        (Some(address), _) => {
            let stream = TcpStream::connect((address, endpoint.port)).await.map_err(failed)?;
            send(token, stream, tls, &name).await
        }
        (None, Some(Host::Unix(folder))) => {
            let path = folder.join(format!(".s.PGSQL.{}", endpoint.port));
            send(token, UnixStream::connect(path).await.map_err(failed)?, tls, &name).await
        }
        (None, _) => Err("the address is not known".to_owned()),
    }
}

async fn send<S>(token: &CancelToken, stream: S, tls: Option<MakeRustlsConnect>, name: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let sent = match tls {
        None => token.cancel_query_raw(UntilClosed(stream), NoTls).await,
        Some(mut tls) => {
            let tls = MakeTlsConnect::<S>::make_tls_connect(&mut tls, name).map_err(|err| err.to_string())?;
            token.cancel_query_raw(stream, LeavesOpen(tls)).await
        }
    };
    sent.map_err(|err| chain(&err))
}

/// A stream that waits for the other side to close it, instead of closing it.
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The other side sends nothing. One that closes without a word has taken the request in as well.
        let mut bytes = [0; 16];
        loop {
            let mut into = ReadBuf::new(&mut bytes);
            if ready!(Pin::new(&mut self.0).poll_read(context, &mut into)).is_err() || into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilClosed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// The same over TLS.
struct LeavesOpen<T>(T);

impl<S, T: TlsConnect<S>> TlsConnect<S> for LeavesOpen<T>
where
    T::Future: Send,
{
    type Stream = UntilClosed<T::Stream>;
    type Error = T::Error;
    type Future = MapOk<T::Future, fn(T::Stream) -> UntilClosed<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(UntilClosed)
    }
}
