//! The control server: what the customers saw, and whether anything they were promised is missing.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_postgres::Config;
use uuid::Uuid;

use super::customers::Memory;
use super::http::{self, Reply};
use super::{database_message, shop};

/// How many missing orders are named.
const EXAMPLES: usize = 5;
/// Asked about in one query.
const CHUNK: usize = 10_000;

/// Which acknowledged orders are missing where, as `GET /missing` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReport {
    /// Orders the customers were told are saved.
    pub acknowledged: u64,
    /// How many of them the new database does not have.
    pub missing_in_new: u64,
    /// How many of them the old database does not have.
    pub missing_in_old: u64,
    /// A few of those missing in the new database.
    pub examples: Vec<Uuid>,
}

/// Answers on the control port.
pub(super) struct Control {
    pub(super) memory: Arc<Memory>,
    pub(super) old: Config,
    pub(super) new: Config,
}

impl Control {
    /// Serves for ever.
    pub(super) async fn serve(self, listener: TcpListener) {
        let control = Arc::new(self);
        http::serve(listener, move |request| {
            let control = Arc::clone(&control);
            async move { control.answer(request).await }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/customers") => http::json(StatusCode::OK, &self.memory.report()),
            (&Method::POST, "/customers/reset") => {
                self.memory.reset();
                http::json(StatusCode::OK, &self.memory.report())
            }
            (&Method::GET, "/missing") => match self.missing().await {
                Ok(report) => http::json(StatusCode::OK, &report),
                Err(error) => http::error(StatusCode::SERVICE_UNAVAILABLE, database_message(&error)),
            },
            (method, path) => http::error(StatusCode::NOT_FOUND, format!("there is no {method} {path}")),
        }
    }

    async fn missing(&self) -> Result<MissingReport, tokio_postgres::Error> {
        let acknowledged = self.memory.acknowledged();
        let in_new = missing_in(&self.new, &acknowledged).await?;
        let in_old = missing_in(&self.old, &acknowledged).await?;
        Ok(MissingReport {
            acknowledged: acknowledged.len() as u64,
            missing_in_new: in_new.len() as u64,
            missing_in_old: in_old.len() as u64,
            examples: in_new.into_iter().take(EXAMPLES).collect(),
        })
    }
}

async fn missing_in(config: &Config, ids: &[Uuid]) -> Result<Vec<Uuid>, tokio_postgres::Error> {
    let client = shop::connect(config).await?;
    let mut missing = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = client
            .query(
                "select id from unnest($1::uuid[]) id where not exists (select from ledger where ledger.id = id.id)",
                &[&chunk],
            )
            .await?;
        missing.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
    }
    Ok(missing)
}
