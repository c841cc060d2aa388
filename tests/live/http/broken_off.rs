//! Answers that break off, and connections that are lost at the moment at which they are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gonogo::core::action::Action;
use gonogo::core::kind::http::probe::Connections;
use gonogo::core::kind::http::{HttpExpect, HttpProbe, Method};
use gonogo::core::probe::ProbeKind;
use gonogo::core::simulate::Literal;
use gonogo::core::target::{Http, Target};
use gonogo::core::value::Value;
use gonogo::world::World as _;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{Server, accepting, call, json, number, target};
use crate::support::{Setting, failed, succeeded, unknown};

/// An HTTP/2 server that announces so many bytes, sends `{"n": 1}` and resets the stream without an error.
async fn resetting(announced: Option<u64>) -> Server {
    accepting(move |stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut head = hyper::Response::builder().status(200);
            if let Some(announced) = announced {
                head = head.header("content-length", announced);
            }
            let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
            let document = Bytes::from_static(b"{\"n\": 1}");
            body.send_data(document, announced == Some(8)).unwrap();
            if announced != Some(8) {
                // What was sent is to be on its way before the reset drops it.
                let flush = std::future::poll_fn(|context| {
                    let _ = connection.poll_closed(context);
                    std::task::Poll::Ready(())
                });
                flush.await;
                body.send_reset(h2::Reason::NO_ERROR);
            }
        }
    })
    .await
}

fn two(server: &Server) -> Target {
    let Target::Http(http) = target(server.address) else { unreachable!() };
    Target::Http(Http { version: Some(Literal::Int(2)), ..http })
}

fn probe(expect: HttpExpect, connections: Connections, method: Method) -> ProbeKind {
    let sides = [("shop".to_owned(), "shop".into())];
    ProbeKind::Http(HttpProbe { expect, connections, method, ..HttpProbe::of(sides) })
}

async fn after_some(server: Target, probe: ProbeKind) -> Value {
    let mut stage = Setting::default().target("shop", server).probe_every("web", probe, 20, 2_000).stage();
    stage.world.watch();
    stage.value("web", |value| number(value, "shop.samples") >= 5.0).await
}

/// A reading after some requests whose newest failure says this. On a busy machine some are not measured, which says something else.
async fn failing(server: Target, probe: ProbeKind, why: &str) -> Value {
    let mut stage = Setting::default().target("shop", server).probe_every("web", probe, 20, 2_000).stage();
    stage.world.watch();
    stage.value("web", |value| number(value, "shop.samples") >= 5.0 && text(value, "shop.failure").contains(why)).await
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.at(path).and_then(Value::text).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

#[tokio::test]
async fn an_answer_that_is_cut_short_over_http_2_is_no_answer() {
    for (announced, words) in [(Some(1_000), "broke its answer off after 8 of 1000 bytes"), (None, "after 8 bytes")] {
        let server = resetting(announced).await;
        let seen = after_some(two(&server), probe(HttpExpect::default(), Connections::Fresh, Method::Get)).await;
        assert_eq!(seen.at("shop.errors"), Some(&Value::Float(1.0)), "{seen:?}");
        assert_eq!(text(&seen, "shop.common_failure"), "closed");
        assert!(text(&seen, "shop.failure").contains(words), "{seen:?}");

        let mut stage = Setting::default().target("api", two(&server)).probe("document", json("api", "/")).stage();
        stage.world.watch();
        assert!(stage.failure("document").await.contains(words));
        let outcome = stage.run(Action::Http(call(Method::Post, "/switch"))).await;
        assert!(unknown(&outcome).contains(words), "{outcome:?}");
        let outcome = stage.run(Action::Http(call(Method::Get, "/state"))).await;
        assert!(failed(&outcome).contains(words), "{outcome:?}");
    }
    let whole = resetting(Some(8)).await;
    let mut stage = Setting::default().target("api", two(&whole)).stage();
    succeeded(&stage.run(Action::Http(call(Method::Post, "/switch"))).await);
}

#[tokio::test]
async fn an_action_whose_answer_is_shorter_than_announced_is_in_doubt() {
    let half = accepting(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        let _ = stream.shutdown().await;
    })
    .await;
    let mut stage = Setting::default().target("api", target(half.address)).stage();
    let outcome = stage.run(Action::Http(call(Method::Post, "/switch"))).await;
    assert!(unknown(&outcome).contains("may have been carried out"), "{outcome:?}");
    let outcome = stage.run(Action::Http(call(Method::Get, "/state"))).await;
    assert!(failed(&outcome).contains("GET /state"), "{outcome:?}");
}

/// What a server does with the second request on a connection.
#[derive(Clone, Copy)]
enum Second {
    Closes,
    Resets,
    /// It works on it for a while, and closes.
    GivesUp,
    /// It begins to answer, and closes.
    BreaksOff,
}

/// A server that answers the first request of each connection, and loses the second. It counts requests and connections.
async fn losing(second: Second) -> (Server, Arc<[AtomicU64; 2]>) {
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counted = Arc::clone(&counts);
    let server = accepting(move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            counted[1].fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            counted[0].fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                counted[0].fetch_add(1, Ordering::Relaxed);
                match second {
                    Second::Closes => {}
                    Second::GivesUp => tokio::time::sleep(Duration::from_millis(400)).await,
                    Second::Resets => stream.set_zero_linger().unwrap(),
                    Second::BreaksOff => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").await.unwrap(),
                }
            }
        }
    })
    .await;
    (server, counts)
}

#[tokio::test]
async fn a_kept_connection_that_is_lost_when_it_is_used_is_no_fault_of_the_service() {
    for (second, method) in
        [(Second::Closes, Method::Get), (Second::Resets, Method::Get), (Second::Resets, Method::Put)]
    {
        let (server, counts) = losing(second).await;
        let seen = after_some(target(server.address), probe(HttpExpect::default(), Connections::Kept, method)).await;
        assert_eq!(seen.at("shop.errors"), Some(&Value::Float(0.0)), "{seen:?}");
        let [requests, connections] = [0, 1].map(|at: usize| counts[at].load(Ordering::Relaxed));
        assert!(requests > connections, "{requests} requests over {connections} connections: none was kept");
    }
    // Whatever may not be sent twice, and whatever the server had begun to work on or to answer, is a failure.
    let (server, _) = losing(Second::GivesUp).await;
    let kept = probe(HttpExpect::default(), Connections::Kept, Method::Get);
    let mut stage = Setting::default().target("shop", target(server.address)).probe("web", kept).stage();
    stage.world.watch();
    let seen = stage.value("web", |value| number(value, "shop.errors") > 0.0).await;
    assert_eq!(text(&seen, "shop.common_failure"), "closed");
    for (second, method) in [(Second::Resets, Method::Post), (Second::BreaksOff, Method::Get)] {
        let (server, _) = losing(second).await;
        let seen = after_some(target(server.address), probe(HttpExpect::default(), Connections::Kept, method)).await;
        assert!(number(&seen, "shop.errors") > 0.0, "{seen:?}");
        assert_eq!(text(&seen, "shop.common_failure"), "closed");
    }
    // And so is a new connection that is lost.
    let rude = accepting(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let seen = after_some(target(rude.address), probe(HttpExpect::default(), Connections::Kept, Method::Get)).await;
    assert_eq!(seen.at("shop.errors"), Some(&Value::Float(1.0)), "{seen:?}");
}

#[tokio::test]
async fn a_header_that_stands_several_times_says_the_same_each_time() {
    let server = accepting(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let head = b"HTTP/1.1 200 OK\r\nX-Backend: new\r\nX-Backend: old\r\nSet-Cookie: a=new\r\nSet-Cookie: b=old\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(head).await;
        let _ = stream.shutdown().await;
    })
    .await;
    for (header, wanted, failure) in [
        ("X-Backend", "new", "the answer of shop has X-Backend several times, once as `old`, without `new`"),
        ("X-Backend", "blue", "the answer of shop has `X-Backend: new`, without `blue`"),
        ("X-Backend", "", ""),
        ("Set-Cookie", "new", ""),
        ("X-Other", "new", "the answer of shop has no header X-Other"),
    ] {
        let expect = HttpExpect { header: [(header.to_owned(), wanted.to_owned())].into(), ..HttpExpect::default() };
        let seen = after_some(target(server.address), probe(expect, Connections::Fresh, Method::Get)).await;
        assert_eq!(text(&seen, "shop.failure"), failure);
    }
}

/// An HTTP/2 server that answers with a head of so many bytes and a body that does not end; counts the bytes of bodies.
async fn flooding(head: usize, sent: &Arc<AtomicU64>) -> Server {
    let sent = Arc::clone(sent);
    accepting(move |stream, _| {
        let sent = Arc::clone(&sent);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut bodies = JoinSet::new();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let head = hyper::Response::builder().status(200).header("x-long", "x".repeat(head));
                let Ok(mut body) = respond.send_response(head.body(()).unwrap(), false) else { continue };
                let sent = Arc::clone(&sent);
                bodies.spawn(async move {
                    body.reserve_capacity(65_536);
                    while let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await {
                        if body.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                            return;
                        }
                        sent.fetch_add(room as u64, Ordering::Relaxed);
                        body.reserve_capacity(65_536);
                    }
                });
            }
        }
    })
    .await
}

#[tokio::test]
async fn over_http_2_frames_without_content_are_not_a_long_head() {
    let server = accepting(|stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut bodies = JoinSet::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let head = hyper::Response::builder().status(200).body(()).unwrap();
            let Ok(mut body) = respond.send_response(head, false) else { continue };
            bodies.spawn(async move {
                let sent = (0..1_000).all(|_| body.send_data(Bytes::new(), false).is_ok());
                if sent {
                    std::future::pending::<()>().await;
                }
            });
        }
    })
    .await;
    let plain = probe(HttpExpect::default(), Connections::Fresh, Method::Get);
    let value = failing(two(&server), plain, "goes on without saying anything").await;
    assert_eq!(text(&value, "shop.common_failure"), "unfinished", "{value:?}");
}

#[tokio::test]
async fn over_http_2_a_body_or_a_head_without_end_is_cut_short_in_words_of_its_own() {
    let sent = Arc::new(AtomicU64::new(0));
    for (head, word, why) in [
        (8, "body_too_long", "the answer of shop is longer than 1 MiB"),
        (400_000, "head_too_long", "the head of its answer is longer than 128 KiB"),
    ] {
        let server = flooding(head, &sent).await;
        let plain = probe(HttpExpect::default(), Connections::Fresh, Method::Get);
        let value = failing(two(&server), plain, why).await;
        assert_eq!(value.at("shop.common_failure"), Some(&Value::Text(word.to_owned())), "{value:?}");
        // Readings are told a moment later than requests end: some more may have begun.
        let asked = ["samples", "in_flight"].map(|field| value.at("shop").unwrap().at(field).unwrap().int().unwrap());
        let asked = u64::try_from(asked.iter().sum::<i64>()).unwrap() + 4;
        let each = sent.swap(0, Ordering::Relaxed) / asked;
        assert!(each < 4 * 1024 * 1024, "{each} bytes were taken for each answer");
    }
}
