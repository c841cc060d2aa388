//! The lab, driven from outside as an operator's tools would: through its vars, its ports and its signals.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use gonogo::lab::{self, CustomersReport, Lab, LabError, LabOptions, MissingReport};
use hickory_net::DnsHandle;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_proto::op::update_message::compare_and_swap;
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

const LIMIT: Duration = Duration::from_mins(1);

/// A lab of its own for one test, gone with it also when the test panics.
struct World {
    state: TempDir,
    lab: Lab,
    runtime: Runtime,
    provider: TokioRuntimeProvider,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = lab::stop(self.state.path()) {
            eprintln!("cannot stop the lab: {error}");
        }
    }
}

fn options(state: &Path) -> LabOptions {
    let mut options = LabOptions::new(state);
    options.program = Some(env!("CARGO_BIN_EXE_gonogo").into());
    options.ttl_seconds = 3;
    options
}

fn world(change: impl FnOnce(&mut LabOptions)) -> World {
    let state = tempfile::tempdir().unwrap();
    let mut options = options(state.path());
    change(&mut options);
    let lab = lab::start(&options, &mut |line| eprintln!("{line}")).unwrap();
    World { state, lab, runtime: Runtime::new().unwrap(), provider: TokioRuntimeProvider::new() }
}

/// Waits for something to become so.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    fn var(&self, name: &str) -> &str {
        &self.lab.vars[name]
    }

    fn http<T: DeserializeOwned>(&self, method: &str, address: &str, path: &str) -> T {
        let body = self.body(method, address, path);
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"))
    }

    fn body(&self, method: &str, address: &str, path: &str) -> Bytes {
        self.runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", address)
                .body(Empty::<Bytes>::new())
                .unwrap();
            sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        })
    }

    fn customers(&self) -> CustomersReport {
        self.http("GET", self.var("control"), "/customers")
    }

    fn missing(&self) -> MissingReport {
        self.http("GET", self.var("control"), "/missing")
    }

    /// Points a web service (`old`, `new`) at a database.
    fn use_database(&self, web: &str, database: &str) {
        let address = self.var(&format!("{web}_connect"));
        let said: serde_json::Value = self.http("POST", address, &format!("/admin/database?use={database}"));
        assert_eq!(said, serde_json::json!({ "web": web, "database": database }));
    }

    /// Runs statements as the cockpit would, unfenced; returns the first column of the last row, if any.
    fn sql(&self, database: &str, statements: &str) -> Option<String> {
        let password = fs::read_to_string(Path::new(self.var("secrets_dir")).join("db_password")).unwrap();
        let mut config: tokio_postgres::Config = self.var(database).parse().unwrap();
        config.password(password).options("-c default_transaction_read_only=off");
        self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            let messages = client.simple_query(statements).await.unwrap();
            messages.iter().rev().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        })
    }

    fn ask(&self, server: &str, name: &str) -> DnsResponse {
        let name = Name::from_ascii(name).unwrap();
        self.exchange(
            server,
            None,
            DnsRequest::from_query(Query::query(name, RecordType::A), DnsRequestOptions::default()),
        )
    }

    fn exchange(&self, server: &str, signer: Option<TSigner>, request: DnsRequest) -> DnsResponse {
        let server: SocketAddr = self.var(server).parse().unwrap();
        self.runtime.block_on(async {
            let exchange = UdpClientStream::builder(server, self.provider.clone()).with_signer(signer).exchange();
            exchange.send(request).first_answer().await.unwrap()
        })
    }

    /// Moves the shop's address under the precondition that it is `from`; the answer's signature is checked too.
    fn move_address(&self, from: &str, to: &str) -> ResponseCode {
        let request = DnsRequest::new(replacement(from, to), DnsRequestOptions::default());
        let signer = self.signer(&self.tsig_key());
        self.exchange("dns_authoritative", Some(signer), request).metadata.response_code
    }

    /// The same with any key, and a look at the bare answer: a refusal is not signed.
    fn move_address_with(&self, key: &[u8], from: &str, to: &str) -> ResponseCode {
        let mut message = replacement(from, to);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        message.finalize(&self.signer(key), now).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.send_to(&message.to_vec().unwrap(), self.var("dns_authoritative")).unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).unwrap();
        Message::from_vec(&answer[..length]).unwrap().metadata.response_code
    }

    fn signer(&self, key: &[u8]) -> TSigner {
        let name = Name::from_ascii(self.var("tsig_name")).unwrap();
        TSigner::new(key.to_vec(), TsigAlgorithm::HmacSha256, name, 300).unwrap()
    }

    fn tsig_key(&self) -> Vec<u8> {
        let text = fs::read_to_string(Path::new(self.var("secrets_dir")).join("tsig_key")).unwrap();
        data_encoding::BASE64.decode(text.as_bytes()).unwrap()
    }

    fn remains(&self) -> Remains {
        Remains::read(&self.lab.dir)
    }
}

/// An update that replaces the address of the shop if it is exactly `from`.
fn replacement(from: &str, to: &str) -> Message {
    let set = |address: &str, ttl| {
        let name = Name::from_ascii("app.shop.test.").unwrap();
        RecordSet::from(Record::from_rdata(name, ttl, RData::A(address.parse().unwrap())))
    };
    compare_and_swap(set(from, 0), set(to, 3), Name::from_ascii("shop.test.").unwrap(), false)
}

/// What must be gone after a lab.
struct Remains {
    supervisor: Pid,
    servers: Vec<Pid>,
    dirs: Vec<PathBuf>,
}

impl Remains {
    /// From the state file in the lab's directory.
    fn read(dir: &Path) -> Self {
        let state: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(dir.join("lab.json")).unwrap()).unwrap();
        let pid = |value: &serde_json::Value| Pid::from_raw(i32::try_from(value.as_i64()?).unwrap());
        let clusters = state["clusters"].as_array().unwrap();
        Self {
            supervisor: pid(&state["pid"]).unwrap(),
            servers: clusters.iter().filter_map(|cluster| pid(&cluster["pid"])).collect(),
            dirs: vec![dir.to_path_buf(), state["run_dir"].as_str().unwrap().into()],
        }
    }

    fn assert_there(&self) {
        assert!(test_kill_process(self.supervisor).is_ok());
        assert_eq!(self.servers.len(), 2);
        assert!(self.servers.iter().all(|pid| test_kill_process(*pid).is_ok()));
        assert!(self.dirs.iter().all(|dir| dir.is_dir()));
    }

    fn servers_gone(&self) -> Option<()> {
        self.servers.iter().all(|pid| is_gone(*pid)).then_some(())
    }

    fn assert_gone(&self) {
        for dir in &self.dirs {
            assert!(!dir.exists(), "{} is still there", dir.display());
        }
        // The kernel may take a moment to reap what has already ended.
        eventually("the supervisor's end", || is_gone(self.supervisor).then_some(()));
        eventually("the servers' end", || self.servers_gone());
    }
}

fn is_gone(pid: Pid) -> bool {
    // An orphan may stay a zombie where nobody reaps, as in many containers.
    test_kill_process(pid).is_err()
        || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| stat.contains(") Z "))
}

/// Processes named `sh` whose parent is `parent`.
fn shells_of(parent: Pid) -> Vec<Pid> {
    let wanted = format!("PPid:\t{}\n", parent.as_raw_nonzero());
    let is_child = |pid: &Pid| {
        fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
            .is_ok_and(|status| status.starts_with("Name:\tsh\n") && status.contains(&wanted))
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(is_child)
        .collect()
}

#[test]
fn orders_the_customers_were_told_are_saved_arrive_in_the_new_database() {
    let world = world(|_| {});
    let seen = eventually("20 acknowledged orders", || Some(world.customers()).filter(|seen| seen.acknowledged >= 20));
    assert_eq!(seen.failed, 0);
    assert!(seen.old_web > 0 && seen.new_web == 0);
    eventually("all orders in new", || {
        let missing = world.missing();
        assert_eq!(missing.missing_in_old, 0);
        (missing.acknowledged >= 20 && missing.missing_in_new == 0).then_some(())
    });

    let page = |side, path| world.body("GET", world.var(side), path);
    for path in ["/", "/api/catalogue"] {
        assert_eq!(page("old_connect", path), page("new_connect", path));
    }
    let file = fs::read_to_string(world.lab.dir.join("acknowledged")).unwrap();
    assert!(file.lines().count() >= 20);
}

#[test]
fn an_update_needs_the_key_and_the_old_value_and_moves_the_customers_within_the_ttl() {
    let world = world(|_| {});
    assert!(world.var("new_connect").starts_with("127.0.10.2:"));
    an_update_moves_the_customers(&world);
}

#[test]
fn the_same_where_only_one_address_exists() {
    let world = world(|options| options.one_address = true);
    for (name, value) in world.lab.vars.iter().filter(|(name, _)| !name.ends_with("_address")) {
        assert!(!value.contains("127.0.10."), "{name}: {value}");
    }
    assert_ne!(world.var("old_connect"), world.var("new_connect"));
    an_update_moves_the_customers(&world);
}

fn an_update_moves_the_customers(world: &World) {
    let (old, new) = (world.var("old_address").to_owned(), world.var("new_address").to_owned());
    // Only the web services move in this test, not the database.
    world.use_database("new", "old");
    let address = |server| match world.ask(server, "app.shop.test.").answers.first().unwrap().data {
        RData::A(address) => address.to_string(),
        ref other => panic!("not an address: {other}"),
    };

    assert_eq!(world.move_address_with(b"0123456789abcdef0123456789abcdef", &old, &new), ResponseCode::NotAuth);
    assert_eq!(world.move_address("127.0.10.99", &new), ResponseCode::NXRRSet);
    assert_eq!(address("dns_authoritative"), old);
    eventually("customers at old", || (world.customers().old_web > 20).then_some(()));

    assert_eq!(world.move_address(&old, &new), ResponseCode::NoError);
    assert_eq!(address("dns_authoritative"), new);
    for resolver in ["resolver_a", "resolver_b", "resolver_c"] {
        // Cached answers only grow older, so they expire within the TTL.
        let mut promised = 3;
        eventually("the resolvers' move", || {
            let answer = world.ask(resolver, "app.shop.test.");
            let record = answer.answers.first().unwrap();
            if matches!(record.data, RData::A(address) if address.to_string() == new) {
                assert!(record.ttl <= 3, "{resolver} promises {} s of a record that has 3", record.ttl);
                return Some(());
            }
            assert!(record.ttl <= promised, "{resolver} promised {promised} s, then {} s", record.ttl);
            promised = record.ttl;
            None
        });
    }
    let seen = eventually("all customers at new", || {
        Some(world.customers()).filter(|seen| seen.new_web > 20 && seen.old_web == 0)
    });
    assert_eq!(seen.failed, 0);
}

#[test]
fn resolvers_remember_that_a_name_does_not_exist() {
    let world = world(|_| {});
    let answer = world.ask("resolver_a", "later.shop.test.");
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let ttl = |answer: &DnsResponse| answer.authorities.first().unwrap().ttl;
    let first = ttl(&answer);
    eventually("a negative answer that ages", || {
        (ttl(&world.ask("resolver_a", "later.shop.test.")) < first).then_some(())
    });
    assert_eq!(world.ask("resolver_b", "other.example.").metadata.response_code, ResponseCode::Refused);
}

#[test]
fn a_fence_makes_customers_wait_and_not_fail_when_the_endpoint_is_switched_in_time() {
    let world = world(|_| {});
    eventually("some orders", || (world.customers().acknowledged > 10).then_some(()));
    let _: CustomersReport = world.http("POST", world.var("control"), "/customers/reset");

    world.sql("old_db", "alter database shop set default_transaction_read_only = on");
    world.sql(
        "old_db",
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = 'shop' and usename = 'shop_app' and pid <> pg_backend_pid()",
    );
    eventually("customers who wait", || (world.customers().longest_pause_ms >= 700).then_some(()));

    let marker = world.sql("old_db", "update cutover_heartbeat set n = n + 1 where id = 'fence' returning n").unwrap();
    let there = format!("select 1 from cutover_heartbeat where id = 'fence' and n = {marker}");
    eventually("the fence's marker in new", || world.sql("new_db", &there));
    for table in ["orders", "order_lines"] {
        let last = world.sql("old_db", &format!("select last_value from {table}_id_seq")).unwrap();
        world.sql("new_db", &format!("select setval('{table}_id_seq', {last} + 100)"));
    }
    let acknowledged = world.customers().acknowledged;
    world.use_database("old", "new");

    let seen = eventually("orders after the switch", || {
        Some(world.customers()).filter(|seen| seen.acknowledged > acknowledged + 10)
    });
    assert_eq!(seen.failed, 0);
    assert_eq!(seen.retries, 0, "the web service holds requests, so customers need not ask again");
    assert!(seen.longest_pause_ms >= 700, "{} ms", seen.longest_pause_ms);
    let missing = world.missing();
    assert_eq!(missing.missing_in_new, 0);
    assert!(missing.missing_in_old >= 10, "what was bought after the switch is in new only");
}

#[test]
fn a_fence_for_longer_than_their_patience_is_counted() {
    let world = world(|_| {});
    world.sql("old_db", "revoke insert on all tables in schema public from shop_app");
    let seen = eventually("a failure", || Some(world.customers()).filter(|seen| seen.failed > 0));
    assert!(seen.longest_pause_ms >= 10_000, "{} ms", seen.longest_pause_ms);
}

#[test]
fn stop_leaves_no_process_and_no_directory() {
    let world = world(|_| {});
    let remains = world.remains();
    remains.assert_there();
    assert!(matches!(
        lab::start(&options(world.state.path()), &mut |_| {}),
        Err(LabError::AlreadyRunning { pid: Some(pid), .. }) if pid == world.lab.pid
    ));
    assert_eq!(lab::find(world.state.path()).unwrap().vars, world.lab.vars);

    lab::stop(world.state.path()).unwrap();
    remains.assert_gone();
    assert!(lab::find(world.state.path()).is_none());
    lab::stop(world.state.path()).unwrap();
}

#[test]
fn servers_end_with_a_killed_supervisor_and_clean_removes_its_directories() {
    let world = world(|_| {});
    let remains = world.remains();
    kill_process(remains.supervisor, Signal::KILL).unwrap();
    eventually("the servers' end", || remains.servers_gone());
    assert!(lab::find(world.state.path()).is_none());
    lab::clean(world.state.path()).unwrap();
    remains.assert_gone();
}

#[test]
fn clean_ends_servers_that_nobody_watches() {
    let world = world(|_| {});
    let remains = world.remains();
    let watchdogs = shells_of(remains.supervisor);
    assert_eq!(watchdogs.len(), 1);
    for pid in watchdogs.into_iter().chain([remains.supervisor]) {
        kill_process(pid, Signal::KILL).unwrap();
    }
    eventually("the supervisor's end", || is_gone(remains.supervisor).then_some(()));
    assert!(remains.servers_gone().is_none());
    lab::clean(world.state.path()).unwrap();
    remains.assert_gone();
}

#[test]
fn the_lab_stays_while_somebody_is_attached_and_ends_when_nobody_comes() {
    let world = world(|options| options.linger = Duration::from_secs(2));
    let remains = world.remains();
    let attachment = world.lab.attach().unwrap();
    // Another lab comes up later, lingers as long, and nobody attaches to it: when it has ended, this one is there still.
    let deserted = self::world(|options| options.linger = Duration::from_secs(2));
    let end = deserted.remains();
    eventually("the deserted lab's own end", || (!end.dirs[0].exists()).then_some(()));
    end.assert_gone();
    remains.assert_there();
    drop(attachment);
    eventually("the lab's own end", || (!remains.dirs[0].exists()).then_some(()));
    remains.assert_gone();
}

#[test]
fn signals_during_the_start_leave_nothing() {
    let moments = [("creating", Signal::TERM), ("starting PostgreSQL new", Signal::INT), ("copying", Signal::HUP)];
    for (moment, signal) in moments {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("lab");
        let mut remains = None;
        let started = lab::start(&options(state.path()), &mut |line| {
            if line.starts_with(moment) {
                let found = Remains::read(&dir);
                kill_process(found.supervisor, signal).unwrap();
                remains = Some(found);
            }
        });
        assert!(matches!(started, Err(LabError::Start(_))), "{moment}: {started:?}");
        remains.unwrap().assert_gone();
    }
}

#[test]
fn without_replication_the_new_tables_are_there_and_empty() {
    let world = world(|options| options.replication = false);
    let count = |database, table: &str| world.sql(database, &format!("select count(*) from {table}")).unwrap();
    assert_eq!(count("old_db", "products"), "12");
    assert_eq!(count("new_db", "products"), "0");
    assert_eq!(count("old_db", "pg_publication"), "0");
    assert_eq!(count("new_db", "pg_subscription"), "0");
}

#[test]
fn no_postgresql_is_an_error_that_says_how_to_get_it() {
    let state = tempfile::tempdir().unwrap();
    let mut options = options(state.path());
    options.pg_bin = Some(state.path().join("nothing here"));
    let error = lab::start(&options, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no PostgreSQL") && error.contains("install"), "{error}");
    assert!(!state.path().join("lab").exists());
}

/// The last statement of a step of the bundled runbook whose text has `part`, with the lab's vars.
fn statement(step: &str, part: &str) -> String {
    use gonogo::core::action::Action;
    let options = gonogo::runbook::Options { profile: Some("lab".to_owned()), set: Vec::new() };
    let text = include_str!("../../runbook.yaml").to_owned();
    let plan =
        gonogo::runbook::load_str("runbook.yaml", text, &options).unwrap_or_else(|faults| panic!("{faults}")).plan;
    let jobs = &plan.step(&step.into()).unwrap().work.jobs;
    let statements = jobs.iter().filter_map(|job| match &job.action {
        Action::Sql(sql) => Some(&sql.statements),
        _ => None,
    });
    statements.flatten().rfind(|text| text.contains(part)).unwrap().clone()
}

#[test]
fn what_would_stay_behind_is_named_before_anything_is_published() {
    let world = world(|options| options.replication = false);
    let check = statement("identities", "left_behind");
    assert_eq!(world.sql("old_db", &check).unwrap(), "nothing");
    world.sql(
        "old_db",
        "create schema \"Other Side\";
         create table no_key (n int);
         create table \"Other Side\".nothing (id int primary key);
         alter table \"Other Side\".nothing replica identity nothing;
         create table by_index (id int not null, constraint by_index_key unique (id));
         alter table by_index replica identity using index by_index_key;
         create table everything (n int);
         alter table everything replica identity full;
         create unlogged table lost_on_crash (id int primary key);
         create sequence numbers;
         create table counts (id bigint generated always as identity (increment by -1) primary key);
         select lo_create(0)",
    );
    let told = world.sql("old_db", &check).unwrap();
    let mut named: Vec<&str> = told.split(", ").collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "\"Other Side\".nothing has no replica identity",
            "1 large objects",
            "public.counts_id_seq is a sequence that counts down",
            "public.lost_on_crash is unlogged",
            "public.no_key has no replica identity",
            "public.numbers is a sequence that fills no column",
        ]
    );
}

#[test]
fn sequences_go_ahead_of_the_rows_and_never_back() {
    let world = world(|options| options.replication = false);
    let carry = statement("switch-database", "setval");
    let next = |sequence: &str| -> i64 {
        world.sql("new_db", &format!("select nextval('{sequence}')")).unwrap().parse().unwrap()
    };
    world.sql(
        "new_db",
        "create schema \"Other Side\";
         create table \"Other Side\".\"Rows\" (\"Id\" bigint generated always as identity primary key);
         insert into \"Other Side\".\"Rows\" overriding system value values (700);
         create table parts (id bigserial, at int, primary key (id, at)) partition by range (at);
         create table parts_1 partition of parts for values from (0) to (10);
         insert into parts values (50, 1);
         create table small (id smallserial primary key);
         insert into small values (32000);
         create table fives (id bigint generated by default as identity (increment by 5) primary key);
         insert into fives values (20);
         select setval('orders_id_seq', 900000)",
    );
    for _ in 0..2 {
        world.sql("new_db", &carry);
    }
    assert_eq!(next("\"Other Side\".\"Rows_Id_seq\""), 1_701);
    assert_eq!(next("parts_id_seq"), 1_051);
    assert_eq!(next("fives_id_seq"), 5_025, "a thousand of its steps");
    assert_eq!(next("orders_id_seq"), 900_001, "it was further already");
    assert_eq!(next("customers_id_seq"), 1_001, "nothing is in it");
    let last = world.sql("new_db", "select last_value from small_id_seq").unwrap();
    assert_eq!(last, "32767", "as far as it goes");
    // Once more: what it has given since is not given again.
    world.sql("new_db", &carry);
    assert_eq!(next("orders_id_seq"), 900_002);
}
