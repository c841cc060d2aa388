//! A name server that answers as a test wants it to, also badly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record};

/// A question as the fake sees it.
pub struct Asked {
    pub message: Message,
    pub tcp: bool,
    /// How many questions came before it.
    pub number: usize,
}

impl Asked {
    /// An answer without records.
    pub fn answer(&self, code: ResponseCode) -> Message {
        let mut answer = Message::response(self.message.metadata.id, self.message.metadata.op_code);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.response_code = code;
        answer.metadata.authoritative = true;
        answer.queries.clone_from(&self.message.queries);
        answer
    }

    /// The same answer as an instance of that name gives it (RFC 5001).
    pub fn of_instance(mut answer: Message, name: &str) -> Message {
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(3, name.as_bytes().to_vec()));
        answer.edns = Some(edns);
        answer
    }

    /// An answer with these records.
    pub fn records(&self, records: impl IntoIterator<Item = Record>) -> Message {
        let mut answer = self.answer(ResponseCode::NoError);
        answer.answers.extend(records);
        answer
    }
}

pub fn a(owner: &str, ttl: u32, address: [u8; 4]) -> Record {
    Record::from_rdata(Name::from_ascii(owner).unwrap(), ttl, RData::A(A::from(std::net::Ipv4Addr::from(address))))
}

pub fn alias(owner: &str, ttl: u32, to: &str) -> Record {
    let name = |text| Name::from_ascii(text).unwrap();
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(to))))
}

/// The server, over UDP and TCP on one port. It ends with the test.
pub struct Fake {
    pub address: SocketAddr,
    pub asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Fake {
    /// `answer` gives the bytes of every answer to a question, none for silence.
    pub fn start(answer: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer)
    }

    /// The same at an address of the test's choice.
    pub fn at(address: &str, answer: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind(address).unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (asked, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let answer = Arc::new(answer);
        let patience = Some(Duration::from_millis(50));
        {
            let (asked, over, answer) = (Arc::clone(&asked), Arc::clone(&over), Arc::clone(&answer));
            udp.set_read_timeout(patience).unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 4_096];
                while !over.load(Ordering::Relaxed) {
                    let Ok((length, from)) = udp.recv_from(&mut bytes) else { continue };
                    let message = Message::from_vec(&bytes[..length]).unwrap();
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    for bytes in answer(&Asked { message, tcp: false, number }) {
                        let _ = udp.send_to(&bytes, from);
                    }
                }
            });
        }
        {
            let (asked, over) = (Arc::clone(&asked), Arc::clone(&over));
            tcp.set_nonblocking(true).unwrap();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let Ok((mut stream, _)) = tcp.accept() else {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    };
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                    let mut length = [0; 2];
                    if stream.read_exact(&mut length).is_err() {
                        continue;
                    }
                    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut bytes).unwrap();
                    let message = Message::from_vec(&bytes).unwrap();
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    for bytes in answer(&Asked { message, tcp: true, number }) {
                        let length = u16::try_from(bytes.len()).unwrap();
                        let _ = stream.write_all(&length.to_be_bytes());
                        let _ = stream.write_all(&bytes);
                    }
                }
            });
        }
        Self { address, asked, over }
    }

    /// The same with one well-formed answer each.
    pub fn answering(answer: impl Fn(&Asked) -> Message + Send + Sync + 'static) -> Self {
        Self::start(move |asked| vec![answer(asked).to_vec().unwrap()])
    }
}
