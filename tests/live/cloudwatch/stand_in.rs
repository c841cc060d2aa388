//! The stand-in refuses what the real service refuses.

use std::time::{Duration, SystemTime};

use ciborium::Value;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Service;

/// Sends a call as the SDK would, and gives status and document.
async fn call(service: &Service, operation: &str, document: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
    let place = service.endpoint.strip_prefix("http://").unwrap().to_owned();
    let stream = TcpStream::connect(&place).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut body = Vec::new();
    ciborium::into_writer(document, &mut body).unwrap();
    let mut request =
        Request::post(format!("/service/GraniteServiceVersion20100801/operation/{operation}")).header("host", place);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    assert!(answer.headers().contains_key("x-amzn-requestid"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, ciborium::from_reader(body.as_ref()).unwrap())
}

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKIALAB/20261129/eu-central-1/monitoring/aws4_request, SignedHeaders=host, Signature=0";
const SPOKEN: [(&str, &str); 3] =
    [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor"), ("authorization", SIGNED)];

fn map(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn time(ago: u64) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = now.checked_sub(Duration::from_secs(ago)).unwrap();
    Value::Tag(1, Box::new(Value::Float(at.as_secs_f64())))
}

fn stat(metric: &str, period: i64, statistic: &str) -> Value {
    let of = map(vec![("Namespace", "Shop".into()), ("MetricName", metric.into())]);
    map(vec![("Metric", of), ("Period", period.into()), ("Stat", statistic.into())])
}

fn query(id: &str, stat: Value) -> Value {
    map(vec![("Id", id.into()), ("MetricStat", stat)])
}

fn asked(queries: Vec<Value>, (from, to): (u64, u64)) -> Value {
    map(vec![("MetricDataQueries", Value::Array(queries)), ("StartTime", time(from)), ("EndTime", time(to))])
}

/// The code and the message of a refusal.
async fn refused(service: &Service, operation: &str, document: &Value) -> String {
    let (status, answer) = call(service, operation, document, &SPOKEN).await;
    assert_eq!(status, 400, "{answer:?}");
    let text = |name: &str| {
        let entries = answer.as_map().unwrap();
        entries.iter().find(|(key, _)| key.as_text() == Some(name)).unwrap().1.as_text().unwrap().to_owned()
    };
    format!("{}: {}", text("__type").strip_prefix("com.amazonaws.cloudwatch#").unwrap(), text("message"))
}

#[tokio::test]
async fn calls_are_checked_as_the_service_checks_them() {
    let service = Service::new().await;
    let good = || query("m1", stat("Requests", 60, "Sum"));
    let math = |expression: &str| map(vec![("Id", "e1".into()), ("Expression", expression.into())]);
    let get = |queries| asked(queries, (600, 0));
    for (document, words) in [
        (
            asked(vec![good()], (0, 600)),
            "ValidationError: The parameter StartTime must be less than the parameter EndTime.",
        ),
        (get(Vec::new()), "ValidationError: The collection MetricDataQueries must have a size of 1 to 500."),
        (
            get((0..501).map(|at| query(&format!("m{at}"), stat("Requests", 60, "Sum"))).collect()),
            "must have a size of 1 to 500",
        ),
        (get(vec![good(), good()]), "are not unique"),
        (get(vec![query("M1", stat("Requests", 60, "Sum"))]), "^[a-z][a-zA-Z0-9_]*$"),
        (get(vec![query("m1", stat("Requests", 45, "Sum"))]), "The parameter Period must be"),
        (
            get(vec![query("m1", stat("Requests", 60, "Total"))]),
            "The value Total for parameter MetricStat.Stat is invalid.",
        ),
        (get(vec![query("m1", stat("", 60, "Sum"))]), "MissingRequiredParameter"),
        (get(vec![map(vec![("Id", "m1".into())])]), "Exactly one of MetricStat and Expression"),
        (get(vec![good(), math("m1 / m2")]), "Error in expression 'e1'"),
        (
            asked((0..500).map(|at| query(&format!("m{at}"), stat("Requests", 1, "Sum"))).collect(), (3_600, 0)),
            "exceeds the limit of 100800",
        ),
        (map(vec![("MetricDataQueries", Value::Array(vec![good()]))]), "The parameter StartTime is required."),
    ] {
        let why = refused(&service, "GetMetricData", &document).await;
        assert!(why.contains(words), "{words}: {why}");
    }
    assert!(refused(&service, "GetEverything", &map(Vec::new())).await.starts_with("UnknownOperationException"));
}

#[tokio::test]
async fn who_does_not_speak_its_protocol_or_has_no_known_key_is_refused() {
    let service = Service::new().await;
    let document = asked(vec![query("m1", stat("Requests", 60, "Sum"))], (600, 0));
    let without = |name: &str| SPOKEN.into_iter().filter(|(of, _)| *of != name).collect::<Vec<_>>();
    for (headers, status) in [
        (without("smithy-protocol"), 400),
        (without("content-type"), 400),
        (without("authorization"), 403),
        ([without("authorization"), vec![("authorization", "AWS4-HMAC-SHA256 Credential=AKIAOTHER/1")]].concat(), 403),
        (SPOKEN.to_vec(), 200),
    ] {
        let (is, answer) = call(&service, "GetMetricData", &document, &headers).await;
        assert_eq!(is, status, "{headers:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_account_has_fifty_calls_a_second() {
    let service = Service::new().await;
    let document = asked(vec![query("m1", stat("Requests", 60, "Sum"))], (600, 0));
    let mut statuses = Vec::new();
    for _ in 0..300 {
        statuses.push(call(&service, "GetMetricData", &document, &SPOKEN).await.0);
        if statuses.ends_with(&[400]) {
            return;
        }
    }
    panic!("never too many: {statuses:?}");
}

#[tokio::test]
async fn numbers_are_put_and_found_again() {
    let service = Service::new().await;
    let datum =
        |ago, name: &str| map(vec![("MetricName", name.into()), ("Timestamp", time(ago)), ("Value", 2.5.into())]);
    let put = |namespace: &str, datum: Value| {
        map(vec![("Namespace", namespace.into()), ("MetricData", Value::Array(vec![datum]))])
    };
    let (status, _) = call(&service, "PutMetricData", &put("Shop", datum(70, "Requests")), &SPOKEN).await;
    assert_eq!(status, 200);
    let (_, answer) =
        call(&service, "GetMetricData", &asked(vec![query("m1", stat("Requests", 60, "Sum"))], (600, 0)), &SPOKEN)
            .await;
    assert!(format!("{answer:?}").contains("Float(2.5)") && format!("{answer:?}").contains("Complete"), "{answer:?}");
    for (document, words) in [
        (put("AWS/EC2", datum(0, "CPUUtilization")), "it is reserved"),
        (put("Shop", datum(15 * 86_400, "Requests")), "too old or too far ahead"),
        (put("Shop", map(vec![("MetricName", "R".into()), ("Value", f64::NAN.into())])), "must be a number"),
        (map(vec![("MetricData", Value::Array(Vec::new()))]), "The parameter Namespace is required."),
    ] {
        let why = refused(&service, "PutMetricData", &document).await;
        assert!(why.contains(words), "{words}: {why}");
    }
}
