//! A web service of the shop: a page, recent orders, taking orders, and the switch of its database.
//!
//! When its database is fenced or gone it holds the request and tries again against whichever database it is
//! configured for *now*, on a fresh connection, for up to [`PATIENCE`]: customers feel a pause and not an error, as
//! behind a connection pooler that is paused during a cutover.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};
use uuid::Uuid;

use super::http::{self, Reply};
use super::{LabSide, shop};

/// How long a request is held while the database refuses.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Connections kept open for the next request.
const IDLE_CONNECTIONS: usize = 16;

/// Takes an order in one statement, hence in one transaction. A customer who asks again with the same UUID, because
/// the first answer was lost, gets the same order and not a second one.
const TAKE_ORDER: &str = "
with receipt as (
  insert into ledger (id, web) values ($1, $2) on conflict (id) do nothing returning id),
placed as (
  insert into orders (customer_id) select $3 from receipt returning id)
insert into order_lines (order_id, product_id, quantity) select id, $4, $5 from placed";

/// One web service.
pub(super) struct WebService {
    name: LabSide,
    old: Config,
    new: Config,
    state: Mutex<LabState>,
    slowness: Arc<Slowness>,
}

/// How much later a web service answers than it could. It may change at any time.
#[derive(Debug)]
pub(super) struct Slowness(watch::Sender<Duration>);

impl Slowness {
    pub(super) fn new(by: Duration) -> Self {
        Self(watch::Sender::new(by))
    }

    /// Sets how much later requests are answered that come from now on.
    pub(super) fn set(&self, by: Duration) {
        self.0.send_replace(by);
    }

    fn get(&self) -> Duration {
        *self.0.borrow()
    }
}

struct LabState {
    database: LabSide,
    /// Idle connections, all of them to `database`.
    idle: Vec<Client>,
}

/// The body of `POST /orders`, as JSON or as a form.
#[derive(Debug, Deserialize)]
struct Order {
    id: Uuid,
    #[serde(default = "one")]
    customer: i64,
    #[serde(default = "one")]
    product: i64,
    #[serde(default = "one_piece")]
    quantity: i32,
}

fn one() -> i64 {
    1
}

fn one_piece() -> i32 {
    1
}

#[derive(Serialize)]
struct Configured {
    web: LabSide,
    database: LabSide,
}

/// Why a request did not get its answer from the database.
enum Failure {
    /// It refused for longer than [`PATIENCE`].
    Unavailable(String),
    /// Trying again would not help.
    Final(tokio_postgres::Error),
}

impl WebService {
    /// A service named `name` that starts on the database of the same side.
    pub(super) fn new(name: LabSide, old: Config, new: Config, slowness: Arc<Slowness>) -> Self {
        Self { name, old, new, state: Mutex::new(LabState { database: name, idle: Vec::new() }), slowness }
    }

    /// Serves for ever.
    pub(super) async fn serve(self, listener: TcpListener) {
        let web = Arc::new(self);
        http::serve(listener, move |request| {
            let web = Arc::clone(&web);
            async move {
                let mut reply = web.answer(request).await;
                reply.headers_mut().insert("x-shop-web", HeaderValue::from_static(web.name.as_str()));
                reply
            }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        // What is slow is the service of customers, not the switch of those who run it.
        if !path.starts_with("/admin/") {
            tokio::time::sleep(self.slowness.get()).await;
        }
        match (request.method(), path.as_str()) {
            (&Method::GET, "/") => self.page().await,
            (&Method::GET, "/orders/recent") => self.recent_orders().await,
            (&Method::GET, "/api/catalogue") => self.catalogue().await,
            (&Method::POST, "/orders") => self.take_order(request).await,
            (&Method::GET, "/healthz") => self.health().await,
            (&Method::GET, "/admin/database") => self.configured(),
            (&Method::POST, "/admin/database") => self.switch(request.uri().query().unwrap_or_default()),
            (_, "/" | "/orders/recent" | "/api/catalogue" | "/orders" | "/healthz" | "/admin/database") => {
                http::error(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not work on {path}", request.method()))
            }
            _ => http::error(StatusCode::NOT_FOUND, format!("there is nothing at {path}")),
        }
    }

    /// Names neither the service nor its database: the same data must give the same bytes on both.
    async fn page(&self) -> Reply {
        let rows = self.query("select name, price_cents from products order by id", &[]);
        match rows.await {
            Ok((_, rows)) => {
                use std::fmt::Write;
                let mut page =
                    format!("<!doctype html>\n<title>Shop</title>\n<h1>{} products</h1>\n<ul>\n", rows.len());
                for row in rows {
                    let (name, cents): (String, i64) = (row.get(0), row.get(1));
                    // Writing to a String cannot fail.
                    let _ = writeln!(page, "<li>{name} {}.{:02}</li>", cents / 100, cents % 100);
                }
                page.push_str("</ul>\n");
                http::reply(StatusCode::OK, "text/html; charset=utf-8", page)
            }
            Err(failure) => failure.reply(),
        }
    }

    async fn recent_orders(&self) -> Reply {
        let rows = self.query("select id, customer_id from orders order by id desc limit 10", &[]);
        match rows.await {
            Ok((_, rows)) => {
                let orders: Vec<_> = rows
                    .iter()
                    .map(|row| serde_json::json!({ "id": row.get::<_, i64>(0), "customer": row.get::<_, i64>(1) }))
                    .collect();
                http::json(StatusCode::OK, &orders)
            }
            Err(failure) => failure.reply(),
        }
    }

    /// Count and checksum of what is for sale: equal on both sides exactly when the products are.
    async fn catalogue(&self) -> Reply {
        const CATALOGUE: &str = "
            select count(*), md5(coalesce(string_agg(concat_ws(',', id, name, price_cents), ';' order by id), ''))
            from products";
        match self.query(CATALOGUE, &[]).await {
            Ok((_, rows)) => {
                let found = rows.first().map(|row| (row.get::<_, i64>(0), row.get::<_, String>(1)));
                let (products, checksum) = found.unwrap_or_default();
                http::json(StatusCode::OK, &serde_json::json!({ "products": products, "checksum": checksum }))
            }
            Err(failure) => failure.reply(),
        }
    }

    async fn take_order(&self, request: Request<Incoming>) -> Reply {
        let is_form = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let Some(body) = http::body(request).await else {
            return http::error(StatusCode::BAD_REQUEST, "the body is too long or broke off");
        };
        let order = match parse_order(&body, is_form) {
            Ok(order) => order,
            Err(message) => return http::error(StatusCode::BAD_REQUEST, message),
        };
        let Order { id, customer, product, quantity } = &order;
        match self.query(TAKE_ORDER, &[id, &self.name.as_str(), customer, product, quantity]).await {
            Ok((database, _)) => {
                http::json(StatusCode::CREATED, &serde_json::json!({ "id": order.id, "database": database }))
            }
            Err(failure) => failure.reply(),
        }
    }

    async fn health(&self) -> Reply {
        match self.query("select 1", &[]).await {
            Ok(_) => self.configured(),
            Err(failure) => failure.reply(),
        }
    }

    fn configured(&self) -> Reply {
        let database = self.state.lock().unwrap_or_else(PoisonError::into_inner).database;
        http::json(StatusCode::OK, &Configured { web: self.name, database })
    }

    /// Points this service at one of the databases. Requests that are held go there with their next try.
    fn switch(&self, query: &str) -> Reply {
        let wanted = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "use");
        let database = match wanted.as_ref().map(|(_, value)| value.as_ref()) {
            Some("old") => LabSide::Old,
            Some("new") => LabSide::New,
            _ => return http::error(StatusCode::BAD_REQUEST, "say which: ?use=old or ?use=new"),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.database != database {
            state.database = database;
            state.idle.clear();
        }
        drop(state);
        self.configured()
    }

    /// Runs a statement on the configured database, held and tried again while that one refuses. Says which answered.
    async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(LabSide, Vec<Row>), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut kept = true;
        let mut reason = String::from("no answer");
        loop {
            let (database, client) = self.take(kept);
            let attempt = async {
                let client = match client {
                    Some(client) => client,
                    None => shop::connect(self.config(database)).await?,
                };
                let rows = client.query(sql, values).await?;
                Ok::<_, tokio_postgres::Error>((rows, client))
            };
            match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok((rows, client))) => {
                    self.keep(database, client);
                    return Ok((database, rows));
                }
                Ok(Err(error)) if !is_passing(&error) => return Err(Failure::Final(error)),
                Ok(Err(error)) => {
                    tracing::debug!(web = %self.name, %database, "held: {}", super::database_message(&error));
                    reason = super::database_message(&error);
                }
                Err(_) => return Err(Failure::Unavailable(reason)),
            }
            // What one idle connection suffered, the others did too.
            kept = false;
            if Instant::now() + RETRY_INTERVAL >= deadline {
                return Err(Failure::Unavailable(reason));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    fn config(&self, database: LabSide) -> &Config {
        match database {
            LabSide::Old => &self.old,
            LabSide::New => &self.new,
        }
    }

    fn take(&self, kept: bool) -> (LabSide, Option<Client>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept {
            state.idle.clear();
        }
        let client = std::iter::from_fn(|| state.idle.pop()).find(|client| !client.is_closed());
        (state.database, client)
    }

    fn keep(&self, database: LabSide, client: Client) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.database == database && state.idle.len() < IDLE_CONNECTIONS {
            state.idle.push(client);
        }
    }
}

impl Failure {
    fn reply(self) -> Reply {
        match self {
            Self::Unavailable(reason) => http::error(StatusCode::SERVICE_UNAVAILABLE, reason),
            Self::Final(error) => http::error(StatusCode::INTERNAL_SERVER_ERROR, super::database_message(&error)),
        }
    }
}

fn parse_order(body: &Bytes, is_form: bool) -> Result<Order, String> {
    if !is_form {
        return serde_json::from_slice(body).map_err(|error| error.to_string());
    }
    let field = |name: &str| {
        url::form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let id = field("id").ok_or("the field id is missing")?;
    Ok(Order {
        id: id.parse().map_err(|_| format!("{id} is not a UUID"))?,
        customer: one(),
        product: one(),
        quantity: one_piece(),
    })
}

/// Whether an error is what a fence, a restart or a lost connection looks like: worth another try.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
        ]
        .contains(code);
    }
    let io_failed = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<io::Error>);
    error.is_closed() || io_failed
}
