//! AWS on this machine under one address, as the services are asked for under one endpoint.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::cloudwatch::{self, CloudWatch};
use super::http;
use super::route53::Route53;

/// Serves both for ever. Who asks is told by [`Route53`].
pub async fn serve(listener: TcpListener, route53: Arc<Route53>, cloudwatch: Arc<CloudWatch>) {
    http::serve_or_break(listener, move |request| {
        let (route53, cloudwatch) = (Arc::clone(&route53), Arc::clone(&cloudwatch));
        async move {
            if request.uri().path().starts_with(cloudwatch::CALLS) {
                cloudwatch.answer(request).await
            } else {
                route53.answer(request).await
            }
        }
    })
    .await;
}
