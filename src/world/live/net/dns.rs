//! Questions to single name servers.
//!
//! Servers are asked one by one and directly: a resolver library would merge, cache and repeat questions and
//! hide where an answer came from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_net::DnsHandle as _;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::xfer::FirstAnswer as _;
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};
use tokio::net::UdpSocket;

use crate::core::record::RecordType;
use crate::world::live::foreign;

/// Larger than any answer we say we take.
const LARGEST_DATAGRAM: usize = 4_096;

/// One runtime for all exchanges: dropping the last copy would end those under way.
fn provider() -> TokioRuntimeProvider {
    static PROVIDER: OnceLock<TokioRuntimeProvider> = OnceLock::new();
    PROVIDER.get_or_init(TokioRuntimeProvider::new).clone()
}

/// `address` or `address:port`, port 53 when absent.
pub(in crate::world::live) fn socket(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{}` is not the address of a name server", foreign::brief(text, 80)))
}

/// A name from the runbook.
pub(in crate::world::live) fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_str_relaxed(text)
        .map_err(|err| format!("`{}` is not a DNS name: {err}", foreign::brief(text, 80)))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The type on the wire.
pub(in crate::world::live) fn wire_type(of: RecordType) -> Type {
    match of {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Txt => Type::TXT,
    }
}

/// Asks one server once, over TCP when the answer does not fit. `None` when it says nothing usable in time.
pub(in crate::world::live) async fn ask(
    server: SocketAddr,
    name: &Name,
    of: Type,
    recursive: bool,
    limit: Duration,
) -> Option<Message> {
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = recursive;
    options.use_edns = true; // extended errors come only to those who speak EDNS
    let question = || DnsRequest::from_query(Query::query(name.clone(), of), options);
    let exchange = async {
        let answer = datagram(server, &question().into_parts().0).await.ok()?;
        if !answer.metadata.truncation {
            return Some(answer);
        }
        let tcp = TcpClientStream::exchange(server, None, limit, None, provider()).await.ok()?;
        tcp.send(question()).first_answer().await.ok().map(DnsResponse::into_message)
    };
    tokio::time::timeout(limit, exchange).await.ok().flatten()
}

/// One datagram there and the answer to it. hickory-net's own exchange throws away refusals that do not
/// repeat the question (Unbound's do not) and does not hear that a port is closed.
async fn datagram(server: SocketAddr, question: &Message) -> std::io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A fresh random port each time; connected, so that only this server is heard.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question.to_vec().map_err(std::io::Error::other)?).await?;
    let mut bytes = [0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut bytes).await?;
        let Ok(answer) = Message::from_vec(bytes.get(..length).unwrap_or_default()) else { continue };
        let refusal = answer.queries.is_empty() && answer.metadata.response_code != ResponseCode::NoError;
        if answer.metadata.id == question.metadata.id
            && answer.metadata.message_type == MessageType::Response
            && (refusal || answer.queries == question.queries)
        {
            return Ok(answer);
        }
    }
}

/// The values of a record set as text that can be compared: host names in lower case without the last dot.
pub(in crate::world::live) fn values(answers: &[Record], of: Type) -> BTreeSet<String> {
    answers.iter().filter(|record| record.record_type() == of).map(|record| text(&record.data)).collect()
}

fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            foreign::clean(&String::from_utf8_lossy(&bytes))
        }
        RData::CNAME(name) => foreign::clean(&host(&name.0.to_ascii())),
        other => foreign::clean(&other.to_string()),
    }
}

fn host(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Values of the runbook in the form of [`values`].
pub(in crate::world::live) fn expected(values: &[String], of: RecordType) -> BTreeSet<String> {
    let normal = |value: &String| {
        let value = value.trim();
        match of {
            RecordType::A | RecordType::Aaaa => {
                value.parse::<IpAddr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string())
            }
            RecordType::Cname => host(value),
            RecordType::Txt => {
                foreign::clean(value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value))
            }
        }
    };
    values.iter().map(normal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_port() {
        assert_eq!(socket("127.0.0.1").unwrap().to_string(), "127.0.0.1:53");
        assert_eq!(socket("127.0.0.1:5300").unwrap().to_string(), "127.0.0.1:5300");
        assert_eq!(socket("2001:db8::1").unwrap().to_string(), "[2001:db8::1]:53");
        assert_eq!(socket("[2001:db8::1]:54").unwrap().to_string(), "[2001:db8::1]:54");
        assert!(socket("ns1.example.com").is_err());
    }

    #[test]
    fn values_are_compared_in_one_form() {
        let set = |values: &[&str], of| expected(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), of);
        assert_eq!(set(&["WWW.Example.com."], RecordType::Cname), set(&["www.example.com"], RecordType::Cname));
        assert_eq!(set(&["2001:DB8:0::1"], RecordType::Aaaa), set(&["2001:db8::1"], RecordType::Aaaa));
        assert_eq!(set(&["\"Hello\""], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_ne!(set(&["hello"], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_eq!(set(&["1.1.1.1", "2.2.2.2"], RecordType::A), set(&["2.2.2.2", "1.1.1.1"], RecordType::A));
    }
}
