//! Bodies that are packed: by the sender (RFC 9110 §8.4) or for the way only (RFC 9112 §7).

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use hyper::{HeaderMap, header};

use super::{HttpAnswer, LARGEST_BODY};

/// Why a body cannot be read. The text is the coding as the other side gives it, foreign.
pub(in crate::world::live) enum Packed {
    /// In a way that is not known here.
    Unknown(String),
    /// It is not what it is said to be, or breaks off.
    Broken(String),
    /// It is longer than [`LARGEST_BODY`] once it is unpacked.
    TooLong(String),
}

/// The body without its content coding. Nobody asks for one, but some servers use one all the same.
pub(in crate::world::live) fn unpacked(answer: &HttpAnswer) -> Result<Cow<'_, [u8]>, Packed> {
    let coding = codings(&answer.headers, &header::CONTENT_ENCODING);
    let body = answer.body.as_slice();
    // The answer to HEAD tells of a body that it does not have.
    if body.is_empty() || matches!(coding.as_str(), "" | "identity") {
        return Ok(body.into());
    }
    let reader: Box<dyn Read + '_> = match coding.as_str() {
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(body)),
        "deflate" => Box::new(ZlibDecoder::new(body)),
        _ => return Err(Packed::Unknown(coding)),
    };
    let mut plain = Vec::new();
    let read = reader.take(LARGEST_BODY as u64 + 1).read_to_end(&mut plain);
    if plain.len() > LARGEST_BODY {
        return Err(Packed::TooLong(coding));
    }
    read.map_or(Err(Packed::Broken(coding)), |_| Ok(plain.into()))
}

/// The codings that were put around an answer for its way, when there are others than `chunked`: these belong to a connection whose
/// sides agreed on them (RFC 9110 §10.1.4), and nobody here does.
pub(super) fn packed_for_the_way(headers: &HeaderMap) -> Option<String> {
    let codings = codings(headers, &header::TRANSFER_ENCODING);
    let is_plain = |word: &str| matches!(word.trim(), "" | "chunked" | "identity");
    (!codings.split(',').all(is_plain)).then_some(codings)
}

/// All values of a header as one list, in small letters.
fn codings(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    values.collect::<Vec<_>>().join(", ").trim().to_ascii_lowercase()
}
