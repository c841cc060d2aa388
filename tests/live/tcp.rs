//! Ports that are open, shut, silent, and those that only look open.

use std::time::Duration;

use gonogo::core::board::Board;
use gonogo::core::expr::Sight;
use gonogo::core::kind::TcpProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::state::Run;
use gonogo::core::time::At;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{Setting, free_port};

/// Keeps what it accepts for as long as the test runs, or does with it as `with` says.
async fn server(with: impl Fn(TcpStream) -> Option<TcpStream> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.extend(with(listener.accept().await.unwrap().0));
        }
    });
    address
}

/// An address whose SYN nobody answers: a listener that accepts nothing and whose queue is full, since Linux then drops
/// what comes. The sockets keep it so.
pub async fn silent(at: &str) -> (String, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(at.parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    while let Ok(client) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
        assert!(clients.len() < 100, "the queue is never full");
        clients.push(client.unwrap());
    }
    (address.to_string(), listener, clients)
}

async fn read(address: String) -> (Reading, Setting) {
    let setting = Setting::default().probe_every("port", ProbeKind::Tcp(TcpProbe { address }), 1_000, 3_000);
    let mut stage = setting.stage();
    stage.world.watch();
    (stage.reading("port", |reading| Some(reading.clone())).await, setting)
}

async fn value(address: String) -> Value {
    read(address).await.0.result.unwrap()
}

fn word(value: &Value) -> (bool, String) {
    (value.at("open").unwrap().bool().unwrap(), value.at("state").unwrap().text().unwrap().to_owned())
}

#[tokio::test]
async fn who_waits_or_speaks_first_is_open_and_says_where_it_is() {
    let greets = |stream: TcpStream| {
        assert!(stream.try_write(b"220 mail.example.com ESMTP\r\n").unwrap() > 0);
        Some(stream)
    };
    for address in [server(Some).await, server(greets).await] {
        let seen = value(address.clone()).await;
        assert_eq!(word(&seen), (true, "open".to_owned()), "{seen:?}");
        assert_eq!(seen.at("address"), Some(&Value::Text(address)));
        assert!(seen.at("connect_ms").unwrap().number().is_some());
    }
}

#[tokio::test]
async fn what_accepts_and_closes_or_resets_at_once_is_not_open() {
    let resets = |stream: TcpStream| {
        stream.set_zero_linger().unwrap();
        None
    };
    let greets_and_closes = |stream: TcpStream| {
        assert!(stream.try_write(b"-ERR no backend\r\n").unwrap() > 0);
        None
    };
    for (address, state, says) in [
        (server(|_| None).await, "closed", "accepts and closes at once"),
        (server(greets_and_closes).await, "closed", "says something and closes at once"),
        (server(resets).await, "reset", "reset"),
        (format!("127.0.0.1:{}", free_port()), "refused", "refused"),
    ] {
        let seen = value(address).await;
        assert_eq!(word(&seen), (false, state.to_owned()), "{seen:?}");
        assert!(seen.at("failure").unwrap().text().unwrap().contains(says), "{seen:?}");
        assert_eq!((seen.at("connect_ms"), seen.at("address")), (Some(&Value::Null), Some(&Value::Null)));
    }
}

#[tokio::test]
async fn a_connection_is_watched_as_long_with_a_short_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(150)).await;
                drop(stream);
            });
        }
    });
    let probe = ProbeKind::Tcp(TcpProbe { address });
    let mut stage = Setting::default().probe_every("port", probe, 1_000, 500).stage();
    stage.world.watch();
    let seen = stage.value("port", |_| true).await;
    assert_eq!(word(&seen), (false, "closed".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn a_port_that_gives_no_answer_is_a_reading_and_a_fresh_one() {
    let (address, _listener, _clients) = silent("127.0.0.1:0").await;
    let (reading, setting) = read(address).await;
    let seen = reading.result.clone().unwrap();
    assert_eq!(word(&seen), (false, "filtered".to_owned()), "{seen:?}");
    assert!(seen.at("failure").unwrap().text().unwrap().contains("gives no answer within 2."), "{seen:?}");

    let plan = setting.plan();
    let mut board = Board::new(&plan, At(0));
    let arrived = reading.at.plus(reading.took);
    board.observe(&plan, &Run::default(), arrived, &reading);
    let sight = board.sight(arrived, &"port".into());
    assert!(matches!(sight, Sight::Fresh { .. }), "{sight:?} after {}", reading.took);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure() {
    let failure = read("nothing.invalid:25".to_owned()).await.0.result.unwrap_err();
    assert!(failure.what.contains("nothing.invalid:25"), "{failure}");
}
