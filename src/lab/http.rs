//! The few lines of HTTP/1.1 that the web services and the control server share.

use std::future::Future;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

/// Largest request body read, bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// An answer with its whole body in memory.
pub(super) type Reply = Response<Full<Bytes>>;

/// Answers connections for ever, each in its own task.
pub(super) async fn serve<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    serve_or_break(listener, move |request| {
        let reply = handler(request);
        async move { Some(reply.await) }
    })
    .await;
}

/// The same; the connection breaks where there is no answer.
pub(super) async fn serve_or_break<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: asking again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let reply = handler(request);
                async move { reply.await.ok_or(Unanswered) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
}

/// A request that gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was to break here")]
struct Unanswered;

/// The request's body, or `None` when it is too long or breaks off.
pub(super) async fn body(request: Request<Incoming>) -> Option<Bytes> {
    body_up_to(request, BODY_LIMIT).await
}

/// The same with another limit, bytes.
pub(super) async fn body_up_to(request: Request<Incoming>, limit: usize) -> Option<Bytes> {
    Limited::new(request.into_body(), limit).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

/// An answer of some content type.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => reply(status, "application/json", body),
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

/// An error in JSON: `{"error": …}`.
pub(super) fn error(status: StatusCode, message: impl Into<String>) -> Reply {
    json(status, &serde_json::json!({ "error": message.into() }))
}
