//! The world as an operator can see it without the cockpit: databases, DNS, the customers' records.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gonogo::lab::{self, CustomersReport, Lab, MissingReport};
use hickory_net::DnsHandle;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

/// Waits for something to become so.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub struct World {
    lab: Lab,
    runtime: Runtime,
}

impl World {
    /// The running lab of a state directory.
    pub fn of(state: &Path) -> Self {
        let lab = eventually("a running lab", Duration::from_secs(5), || lab::find(state));
        Self { lab, runtime: Runtime::new().expect("a runtime") }
    }

    pub fn var(&self, name: &str) -> &str {
        &self.lab.vars[name]
    }

    fn get<T: DeserializeOwned>(&self, address: &str, path: &str) -> T {
        self.ask("GET", address, path)
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, address: &str, path: &str) -> T {
        let body = self.runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
            tokio::spawn(connection);
            let request =
                hyper::Request::builder().method(method).uri(path).header("host", address).body(Empty::<Bytes>::new());
            let response = sender.send_request(request.expect("a request")).await.expect("an answer");
            response.into_body().collect().await.expect("a whole answer").to_bytes()
        });
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"))
    }

    pub fn customers(&self) -> CustomersReport {
        self.get(self.var("control"), "/customers")
    }

    pub fn missing(&self) -> MissingReport {
        self.get(self.var("control"), "/missing")
    }

    /// Begins to count the customers' failures and pauses anew.
    pub fn reset_customers(&self) {
        let _: CustomersReport = self.ask("POST", self.var("control"), "/customers/reset");
    }

    /// The database that the old web service writes to: `old` or `new`.
    pub fn old_web_database(&self) -> String {
        let said: serde_json::Value = self.get(self.var("old_connect"), "/admin/database");
        said["database"].as_str().expect("a name").to_owned()
    }

    /// First column of the only row of a query on `old_db` or `new_db`.
    pub fn value(&self, database: &str, query: &str) -> String {
        let password = fs::read_to_string(Path::new(self.var("secrets_dir")).join("db_password")).expect("a secret");
        let mut config: tokio_postgres::Config = self.var(database).parse().expect("a connection string");
        config.password(password);
        self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.expect("a session");
            tokio::spawn(connection);
            let messages = client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
            let value = messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                _ => None,
            });
            value.unwrap_or_else(|| panic!("{query}: no row"))
        })
    }

    /// Opens a transaction that holds what `statement` takes until the session is dropped.
    pub fn hold(&self, database: &str, statement: &str) -> tokio_postgres::Client {
        let password = fs::read_to_string(Path::new(self.var("secrets_dir")).join("db_password")).expect("a secret");
        let mut config: tokio_postgres::Config = self.var(database).parse().expect("a connection string");
        config.password(password).options("-c default_transaction_read_only=off");
        self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.expect("a session");
            tokio::spawn(connection);
            client.batch_execute(&format!("begin; {statement}")).await.expect("a lock");
            client
        })
    }

    /// Whether new sessions on a database can only read.
    pub fn is_fenced(&self, database: &str) -> bool {
        self.count(database, "pg_db_role_setting where 'default_transaction_read_only=on' = any (setconfig)") > 0
    }

    /// How many rows of a catalogue meet a condition.
    pub fn count(&self, database: &str, from: &str) -> u64 {
        self.value(database, &format!("select count(*) from {from}")).parse().expect("a number")
    }

    /// Waits until nothing that a killed cockpit had sent is still being worked on.
    pub fn settle(&self) {
        for database in ["old_db", "new_db"] {
            eventually("the end of a killed cockpit's statements", Duration::from_mins(1), || {
                let left = "pg_stat_activity where application_name = 'gonogo act'";
                (self.count(database, left) == 0).then_some(())
            });
        }
    }

    /// Address and TTL of the application's name at the authoritative server.
    pub fn address(&self) -> (String, u32) {
        let server: SocketAddr = self.var("dns_authoritative").parse().expect("an address");
        let name = Name::from_ascii(self.var("app_name")).expect("a name");
        let request = DnsRequest::from_query(Query::query(name, RecordType::A), DnsRequestOptions::default());
        let answer = self.runtime.block_on(async {
            let exchange = UdpClientStream::builder(server, TokioRuntimeProvider::new()).exchange();
            exchange.send(request).first_answer().await.expect("an answer")
        });
        let record = answer.answers.first().expect("a record");
        let RData::A(address) = record.data else { panic!("not an address: {record}") };
        (address.0.to_string(), record.ttl)
    }
}

/// What must be gone after a lab.
pub struct Remains {
    processes: Vec<u64>,
    directories: Vec<PathBuf>,
}

impl Remains {
    /// Of the lab in this state directory, while it is up.
    pub fn of(state: &Path) -> Self {
        let dir = state.join("lab");
        let text = fs::read_to_string(dir.join("lab.json")).expect("the lab is up");
        let state: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let clusters = state["clusters"].as_array().expect("a list");
        let processes =
            clusters.iter().map(|cluster| &cluster["pid"]).chain([&state["pid"]]).filter_map(serde_json::Value::as_u64);
        Self {
            processes: processes.collect(),
            directories: vec![dir, state["run_dir"].as_str().expect("a path").into()],
        }
    }

    pub fn assert_gone(&self) {
        for dir in &self.directories {
            assert!(!dir.exists(), "{} is still there", dir.display());
        }
        for pid in &self.processes {
            eventually("the end of the lab's processes", Duration::from_secs(10), || {
                // An orphan may stay a zombie where nobody reaps, as in many containers.
                let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
                stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
            });
        }
    }
}
