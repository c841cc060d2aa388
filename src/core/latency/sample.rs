//! One request as it was measured, and how it ended.

/// One request as it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSample {
    /// When it was meant to be sent, in microseconds.
    pub intended: u64,
    /// Time from then until it was answered in full, or given up, in microseconds.
    pub took: u64,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The time of its parts.
    pub phases: RequestPhases,
    /// `address:port` that it was sent to, when a connection was made.
    pub address: Option<String>,
    /// Every `address:port` that the name stood for. Empty when it was not looked up.
    pub candidates: Vec<String>,
    /// Addresses of the name that were tried before that one and could not be reached, each with why: `192.0.2.1:443 refused`.
    pub unreached: Vec<String>,
    /// The protocol of the answer: `HTTP/1.1`, `HTTP/2`.
    pub protocol: Option<&'static str>,
}

impl RequestSample {
    /// Whether it took longer than `over` microseconds, or nobody knows how long it would have taken.
    pub(super) fn is_slow(&self, over: u64) -> bool {
        self.took > over || self.outcome != RequestOutcome::Success
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The answer was as expected.
    Success,
    /// It was not, or there was none: the kind of failure, and a sentence that is fit to be shown.
    Failure(RequestFailure, String),
    /// It says nothing of the service: this program did not run, or had no file descriptor left, or a cache answered in its
    /// place. Why, in a sentence.
    NotMeasured(String),
}

/// The kinds of failure of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestFailure {
    /// It was not sent, because too many were in flight or something was missing on this machine.
    NotSent,
    /// The name could not be looked up.
    Lookup,
    /// The connection was refused.
    Refused,
    /// No connection was made for another reason.
    Unreachable,
    /// No connection was made in time.
    ConnectTimeout,
    /// The proxy did not lead on to the service.
    Proxy,
    /// TLS failed.
    Tls,
    /// Nothing was answered in time.
    Silent,
    /// An answer had begun and did not end in time.
    Unfinished,
    /// The connection was closed before the answer had ended.
    Closed,
    /// What came was no HTTP.
    NoHttp,
    /// The head of the answer did not end where heads do.
    HeadTooLong,
    /// The body is longer than what is read.
    BodyTooLong,
    /// The body is longer than what is read once it is unpacked.
    CompressionBomb,
    /// The body is packed in a way that cannot be unpacked.
    Encoding,
    /// A status that was not expected.
    Status,
    /// A redirect that was not expected.
    Redirect,
    /// A redirect to somewhere else than expected.
    Location,
    /// A body without the expected text.
    Text,
    /// An answer without the expected header.
    Header,
    /// A body without the expected JSON field.
    Json,
}

impl RequestFailure {
    /// What readings say of failures: the word of one of them, or nothing.
    pub const WORDS: [&str; 22] = [
        "",
        "not_sent",
        "lookup",
        "refused",
        "unreachable",
        "connect_timeout",
        "proxy",
        "tls",
        "timeout",
        "unfinished",
        "closed",
        "no_http",
        "head_too_long",
        "body_too_long",
        "compression_bomb",
        "encoding",
        "status",
        "redirect",
        "location",
        "text",
        "header",
        "json",
    ];

    /// Its word in readings.
    pub fn word(self) -> &'static str {
        match self {
            RequestFailure::NotSent => "not_sent",
            RequestFailure::Lookup => "lookup",
            RequestFailure::Refused => "refused",
            RequestFailure::Unreachable => "unreachable",
            RequestFailure::ConnectTimeout => "connect_timeout",
            RequestFailure::Proxy => "proxy",
            RequestFailure::Tls => "tls",
            RequestFailure::Silent => "timeout",
            RequestFailure::Unfinished => "unfinished",
            RequestFailure::Closed => "closed",
            RequestFailure::NoHttp => "no_http",
            RequestFailure::HeadTooLong => "head_too_long",
            RequestFailure::BodyTooLong => "body_too_long",
            RequestFailure::CompressionBomb => "compression_bomb",
            RequestFailure::Encoding => "encoding",
            RequestFailure::Status => "status",
            RequestFailure::Redirect => "redirect",
            RequestFailure::Location => "location",
            RequestFailure::Text => "text",
            RequestFailure::Header => "header",
            RequestFailure::Json => "json",
        }
    }

    /// Whether it was given up at the limit, so that it took at least that long.
    pub fn is_given_up(self) -> bool {
        matches!(self, RequestFailure::ConnectTimeout | RequestFailure::Silent | RequestFailure::Unfinished)
    }
}

/// The parts of a request, in microseconds. `None` for what did not happen, such as a connection that was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestPhases {
    /// Looking the name up.
    pub dns: Option<u64>,
    /// The TCP handshake.
    pub connect: Option<u64>,
    /// The TLS handshake.
    pub tls: Option<u64>,
    /// From sending the request to the head of the answer.
    pub first_byte: Option<u64>,
}
