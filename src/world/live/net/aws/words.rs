//! What became of a call, and why, in words.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::connector::Dialer;
use crate::world::live::foreign;
use crate::world::live::net::chain;

/// Longest text of the other side that is repeated, in characters.
const LONGEST: usize = 400;

/// Why a call gave no result. Texts are clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::live) enum CallFailure {
    /// Nothing has left this machine.
    Unsent(String),
    /// The service refused it, so nothing was changed.
    Refused(AwsRefusal),
    /// It was sent, and it is not known what became of it.
    Lost(String),
}

/// How the service refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::live) struct AwsRefusal {
    /// The error's name: `Throttling`.
    pub(in crate::world::live) code: String,
    /// What it says.
    pub(in crate::world::live) message: String,
    /// The id under which AWS finds the request.
    pub(in crate::world::live) request: Option<String>,
}

impl AwsRefusal {
    /// Whether the same call may succeed a little later, and has changed nothing.
    pub(in crate::world::live) fn is_too_early(&self) -> bool {
        matches!(
            self.code.as_str(),
            "PriorRequestNotComplete" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "SlowDown"
        )
    }

    /// In one sentence, with what to do where that is known.
    pub(in crate::world::live) fn words(&self) -> String {
        let Self { code, message, request } = self;
        let remedy = match code.as_str() {
            "AccessDenied" | "AccessDeniedException" => " (`gonogo iam RUNBOOK` prints the rights that are needed)",
            "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" => {
                " (the credentials have ended or are of nobody: sign in again)"
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "RequestTimeTooSkewed" | "RequestExpired" => {
                " (a wrong secret key, or the clock of this machine is more than 5 minutes off)"
            }
            "NoSuchHostedZone" => " (look at `id` of the target, and at the account)",
            _ => "",
        };
        let request = request.as_ref().map_or_else(String::new, |id| format!(" [request {id}]"));
        format!("{code}: {message}{remedy}{request}")
    }
}

impl CallFailure {
    /// In one sentence.
    pub(in crate::world::live) fn words(&self) -> String {
        match self {
            CallFailure::Unsent(what) | CallFailure::Lost(what) => what.clone(),
            CallFailure::Refused(refusal) => refusal.words(),
        }
    }

    /// What became of a call that ended with `err`.
    pub(in crate::world::live) fn of<E>(err: &SdkError<E, HttpResponse>, dialer: &Dialer) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let said = || foreign::brief(&chain(err), LONGEST);
        match err {
            SdkError::ServiceError(service) => {
                let raw = service.raw();
                let header = |name| raw.headers().get(name).map(|text: &str| foreign::brief(text, 80));
                let meta = service.err().meta();
                let message = meta.message().map_or_else(
                    // Older errors of Route 53 are in a form that the SDK does not read.
                    || String::from_utf8_lossy(raw.body().bytes().unwrap_or_default()).into_owned(),
                    str::to_owned,
                );
                let status = raw.status().as_u16();
                let refusal = AwsRefusal {
                    code: foreign::brief(meta.code().unwrap_or("error"), 80),
                    message: foreign::brief(message.trim(), LONGEST),
                    request: header("x-amzn-requestid").or_else(|| header("x-amzn-request-id")),
                };
                if status >= 500 && !refusal.is_too_early() {
                    return CallFailure::Lost(format!("HTTP {status}, {}", refusal.words()));
                }
                CallFailure::Refused(refusal)
            }
            _ if !dialer.has_sent() => CallFailure::Unsent(said()),
            SdkError::TimeoutError(_) => CallFailure::Lost("no answer in time".to_owned()),
            _ => CallFailure::Lost(said()),
        }
    }
}
