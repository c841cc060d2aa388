//! The authoritative DNS server: queries for anybody, updates for the holder of the TSIG key (RFC 2136, RFC 8945).
//!
//! Owns sockets and signatures; what the records are and what an update means is in `zone`. hickory-server's own
//! updatable store needs a second copy of SQLite, so this is a request handler of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_net::DnsHandle;
use hickory_net::NetError;
use hickory_net::runtime::{Time, TokioRuntimeProvider};
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_proto::ProtoError;
use hickory_proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, Query,
    ResponseCode,
};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{Name, Record, RecordType, TSigResponseContext, TSigner};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, UpdateRequest};
use tokio::net::{TcpListener, UdpSocket};

use super::zone::{Lookup, Zone};

/// Largest UDP answer offered (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// How far a signature's clock may be off, seconds (RFC 8945 section 10 recommends 300).
const TSIG_FUDGE: u16 = 300;
/// How long a DNS exchange may take.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(2);

/// The same port for UDP and TCP on 127.0.0.1.
#[derive(Debug)]
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    pub(super) address: SocketAddr,
}

impl Sockets {
    /// Binds a port that is free for both; a few are tried, since the system picks by UDP alone.
    pub(super) async fn bind() -> io::Result<Self> {
        let mut last = None;
        for _ in 0..20 {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = udp.local_addr()?;
            match TcpListener::bind(address).await {
                Ok(tcp) => return Ok(Self { udp, tcp, address }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    /// Serves until the returned server is dropped.
    pub(super) fn serve<H: RequestHandler>(self, handler: H) -> Server<H> {
        let mut server = Server::new(handler);
        server.register_socket(self.udp);
        server.register_listener(self.tcp, Duration::from_secs(10), 32);
        server
    }
}

/// Answers for one zone.
pub(super) struct Authority {
    zone: Arc<Mutex<Zone>>,
    key: TSigner,
}

impl Authority {
    /// `key` is the shared secret of HMAC-SHA-256 under the name `key_name`. Others may change the zone, too.
    pub(super) fn new(zone: Arc<Mutex<Zone>>, key_name: Name, key: Vec<u8>) -> Result<Self, ProtoError> {
        let key = TSigner::new(key, TsigAlgorithm::HmacSha256, key_name, TSIG_FUDGE)
            .map_err(|error| ProtoError::from(error.to_string()))?;
        Ok(Self { zone, key })
    }

    fn query(&self, request: &Request) -> ZoneAnswer {
        let Ok(info) = request.request_info() else {
            return ZoneAnswer::code(ResponseCode::FormErr);
        };
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let found = zone.find(info.query.name(), info.query.query_type(), rand::random());
        drop(zone);
        let mut answer = ZoneAnswer { authoritative: true, ..ZoneAnswer::code(ResponseCode::NoError) };
        match found {
            Lookup::Records(records) => answer.answers = records,
            Lookup::NoData(soa) => answer.authorities = soa,
            Lookup::NoName(soa) => {
                answer.code = ResponseCode::NXDomain;
                answer.authorities = soa;
            }
            Lookup::NotHere => return ZoneAnswer::code(ResponseCode::Refused),
        }
        answer
    }

    /// Who asks is settled first: without the key, not even a prerequisite is answered.
    fn update(&self, request: &Request, now: u64) -> ZoneAnswer {
        let Some(signature) = request.signature() else {
            return ZoneAnswer::code(ResponseCode::Refused);
        };
        let (id, key) = (request.metadata.id, &self.key);
        if signature.name != *key.signer_name() {
            let context = TSigResponseContext::unknown_key(id, now, signature.name.clone());
            return ZoneAnswer::signed(ResponseCode::NotAuth, context);
        }
        let Ok((_, _, valid)) = key.verify_message_byte(request.as_slice(), None, true) else {
            return ZoneAnswer::signed(ResponseCode::NotAuth, TSigResponseContext::bad_signature(id, now, key.clone()));
        };
        let error = (!valid.contains(&now)).then_some(TsigError::BadTime);
        let code = if error.is_some() {
            ResponseCode::NotAuth
        } else {
            self.change(request).err().unwrap_or(ResponseCode::NoError)
        };
        ZoneAnswer::signed(code, TSigResponseContext::new(id, now, key.clone(), signature.data.mac.clone(), error))
    }

    fn change(&self, request: &Request) -> Result<(), ResponseCode> {
        let info = request.request_info().map_err(|_| ResponseCode::FormErr)?;
        if info.query.query_type() != RecordType::SOA {
            return Err(ResponseCode::FormErr);
        }
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        if !zone.is_origin(info.query.name()) {
            return Err(ResponseCode::NotAuth);
        }
        zone.update(request.prerequisites(), request.updates())
    }
}

#[async_trait::async_trait]
impl RequestHandler for Authority {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, handle: R) -> ResponseInfo {
        let answer = match request.metadata.op_code {
            OpCode::Query => self.query(request),
            OpCode::Update => self.update(request, T::current_time()),
            _ => ZoneAnswer::code(ResponseCode::NotImp),
        };
        answer.send(request, handle).await
    }
}

/// An answer on its way out.
pub(super) struct ZoneAnswer {
    code: ResponseCode,
    authoritative: bool,
    recursive: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    option: Option<EdnsOption>,
    signature: Option<TSigResponseContext>,
}

impl ZoneAnswer {
    /// Nothing but a code.
    pub(super) fn code(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            recursive: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            option: None,
            signature: None,
        }
    }

    /// The answer of a server that resolves for others.
    pub(super) fn resolved(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Self {
        Self { recursive: true, answers, authorities, ..Self::code(code) }
    }

    /// The same with an EDNS option, for those who ask with EDNS.
    pub(super) fn with_option(self, option: EdnsOption) -> Self {
        Self { option: Some(option), ..self }
    }

    fn signed(code: ResponseCode, context: TSigResponseContext) -> Self {
        Self { signature: Some(context), ..Self::code(code) }
    }

    /// Sends it as the answer to `request`.
    pub(super) async fn send<R: ResponseHandler>(mut self, request: &Request, mut handle: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.message_type = MessageType::Response;
        metadata.response_code = self.code;
        metadata.authoritative = self.authoritative;
        metadata.recursion_available = self.recursive;
        let option = self.option.take();
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD);
            if let Some(option) = option {
                edns.options_mut().insert(option);
            }
            edns
        });
        let context = self.signature.take();
        let build = || {
            let mut builder = MessageResponseBuilder::from_message_request(request);
            if let Some(edns) = &edns {
                builder.edns(edns);
            }
            builder.build(metadata, &self.answers, &self.authorities, [], [])
        };
        let mut response = build();
        if let Some(context) = context {
            // The signature is over the very bytes that are sent, so they are encoded once without it.
            let mut unsigned = Vec::with_capacity(512);
            let signature =
                build().destructive_emit(&mut BinEncoder::new(&mut unsigned)).and_then(|_| context.sign(&unsigned));
            match signature {
                Ok(signature) => response.set_signature(signature),
                Err(error) => tracing::error!(%error, "cannot sign a DNS answer"),
            }
        }
        match handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!(%error, "cannot send a DNS answer");
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}

/// Asks one server one question over UDP.
pub(super) async fn ask(
    provider: &TokioRuntimeProvider,
    server: SocketAddr,
    name: Name,
    record_type: RecordType,
    recursion: bool,
) -> Result<DnsResponse, NetError> {
    let exchange = UdpClientStream::builder(server, provider.clone())
        .with_timeout(Some(EXCHANGE_LIMIT))
        .with_os_port_selection(true)
        .exchange();
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = recursion;
    exchange.send(DnsRequest::from_query(Query::query(name, record_type), options)).first_answer().await
}
