//! Values of DNS records: parses the text of a runbook to data, and writes data as the one text by which values are
//! compared.

mod character_string;
pub mod octal;
pub mod resolver_address;

use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::rdata::{CNAME, NS, PTR, TXT};
use hickory_proto::rr::{Name, RData, RecordType as Type};
use hickory_proto::serialize::binary::BinEncodable as _;

use crate::core::record::RecordType;

/// A TXT record is made of strings of at most so many bytes (RFC 1035 §3.3.14).
const TXT_PART: usize = 255;

/// The type on the wire.
pub fn wire_type(of: RecordType) -> Type {
    match of {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Txt => Type::TXT,
        RecordType::Mx => Type::MX,
        RecordType::Ns => Type::NS,
        RecordType::Srv => Type::SRV,
        RecordType::Caa => Type::CAA,
        RecordType::Https => Type::HTTPS,
        RecordType::Svcb => Type::SVCB,
        RecordType::Ds => Type::DS,
        RecordType::Ptr => Type::PTR,
        RecordType::Soa => Type::SOA,
    }
}

/// An absolute name: `app.example.com` or `app.example.com.`.
///
/// # Errors
///
/// When it is no name, with the reason.
pub fn name(text: &str) -> Result<Name, String> {
    // The library takes the empty text for the root, and a blank for a part of a label.
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it has a blank in it".to_owned());
    }
    if text != "." && (text.starts_with('.') || text.contains("..")) {
        return Err("there is nothing between two dots, or before the first".to_owned());
    }
    let mut name = Name::from_str_relaxed(text).map_err(|err| err.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

/// A value in presentation format as data. A TXT record may be written without quotes; then all of it is its text.
///
/// # Errors
///
/// When it is no value of that type, with the reason.
pub fn parse(of: RecordType, text: &str) -> Result<RData, String> {
    let text = text.trim();
    Ok(match of {
        RecordType::A => RData::A(text.parse::<std::net::Ipv4Addr>().map_err(|err| err.to_string())?.into()),
        RecordType::Aaaa => RData::AAAA(text.parse::<std::net::Ipv6Addr>().map_err(|err| err.to_string())?.into()),
        RecordType::Cname => RData::CNAME(CNAME(name(text)?)),
        RecordType::Ns => RData::NS(NS(name(text)?)),
        RecordType::Ptr => RData::PTR(PTR(name(text)?)),
        RecordType::Txt if !text.starts_with('"') => {
            RData::TXT(TXT::from_bytes(text.as_bytes().chunks(TXT_PART).collect()))
        }
        RecordType::Txt => {
            let parts = character_string::parse(text)?;
            if let Some(long) = parts.iter().find(|part| part.len() > TXT_PART) {
                return Err(format!("one of its strings has {} bytes, and {TXT_PART} is the most", long.len()));
            }
            RData::TXT(TXT::from_bytes(parts.iter().map(Vec::as_slice).collect()))
        }
        RecordType::Caa => caa(text)?,
        RecordType::Https | RecordType::Svcb => {
            ordered(RData::try_from_str(wire_type(of), text).map_err(|err| err.to_string())?)
        }
        RecordType::Soa => return Err("a SOA record is compared by its serial only".to_owned()),
        _ => RData::try_from_str(wire_type(of), text).map_err(|err| err.to_string())?,
    })
}

/// The parameters of a service in the order in which they are sent, which is the only one (RFC 9460 §2.2 and §8).
fn ordered(mut data: RData) -> RData {
    let params = match &mut data {
        RData::SVCB(svcb) => &mut svcb.svc_params,
        RData::HTTPS(https) => &mut https.0.svc_params,
        _ => return data,
    };
    params.sort_by_key(|(key, _)| u16::from(*key));
    for (_, value) in params {
        if let SvcParamValue::Mandatory(mandatory) = value {
            mandatory.0.sort_by_key(|key| u16::from(*key));
        }
    }
    data
}

/// A CAA record, whose value may be any bytes.
fn caa(text: &str) -> Result<RData, String> {
    let read = |text: &str| RData::try_from_str(Type::CAA, text).map_err(|err| err.to_string());
    let Some((head, value)) = text.find('"').map(|at| text.split_at(at)) else { return read(text) };
    let value = character_string::parse(value)?.concat();
    let mut data = read(&format!("{head}\"x\""))?;
    if let RData::CAA(caa) = &mut data {
        caa.value = value;
    }
    Ok(data)
}

/// A value of the runbook in the form of [`text`]. For a SOA record it is the serial.
///
/// # Errors
///
/// When it is no value of that type, with the reason.
pub fn canonical(of: RecordType, value: &str) -> Result<String, String> {
    if of == RecordType::Soa {
        let serial = value.trim().parse::<u32>().map_err(|err| err.to_string())?;
        return Ok(serial.to_string());
    }
    parse(of, value).map(|data| text(&data))
}

/// Data as text that is equal just when the data are: host names in lower case without the last dot, the strings of a TXT
/// record as one, in quotes with `\DDD` where they are not plain text, of a SOA record the serial.
pub fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            match std::str::from_utf8(&bytes) {
                Ok(text) if character_string::is_plain(&bytes) => text.to_owned(),
                _ => character_string::quote(&bytes),
            }
        }
        RData::SOA(soa) => soa.serial.to_string(),
        // Its value may be case-sensitive (RFC 8659 §4.1).
        RData::CAA(caa) => format!("{} {} {}", caa.flags(), caa.tag, character_string::quote(&caa.value)),
        other => {
            let text = other.to_string().to_ascii_lowercase();
            if text.contains(char::REPLACEMENT_CHARACTER) {
                return unknown(other);
            }
            let bare = |word: &str| word.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(word).to_owned();
            text.split_whitespace().map(bare).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Data with bytes for which there is no text, in the form of RFC 3597 §5.
fn unknown(data: &RData) -> String {
    let bytes = data.to_bytes().unwrap_or_default();
    format!("\\# {} {}", bytes.len(), data_encoding::HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(of: RecordType, one: &str, other: &str) {
        assert_eq!(canonical(of, one).unwrap(), canonical(of, other).unwrap());
    }

    #[test]
    fn values_are_compared_in_one_form() {
        same(RecordType::Cname, "WWW.Example.com.", "www.example.com");
        same(RecordType::Aaaa, "2001:DB8:0::1", "2001:db8::1");
        same(RecordType::Txt, "\"Hello\"", "Hello");
        same(RecordType::Txt, "\"Hello \" \"World\"", "Hello World");
        same(RecordType::Mx, "10 MAIL.example.com.", "10 mail.example.com");
        same(RecordType::Ns, "ns1.example.com.", "NS1.example.com");
        same(RecordType::Ptr, "a.example.com.", "a.example.com");
        same(RecordType::Srv, "0 5 5060 sip.example.com.", "0  5 5060 SIP.example.com");
        same(RecordType::Soa, "2024010101", " 2024010101");
        same(RecordType::Txt, "größer", r#""gr\195\182\195\159er""#);
        same(RecordType::Txt, r#""\000\255 \\ \"""#, r#""\000" "\255 \092 \034""#);
        for of in [RecordType::Txt, RecordType::Caa] {
            let value =
                |bytes: &str| canonical(of, &format!("{}{bytes}", if of == RecordType::Caa { "0 issue " } else { "" }));
            assert_ne!(value(r#""\255""#).unwrap(), value(r#""\254""#).unwrap(), "bytes are not made alike");
            assert!(value(r#""\256""#).is_err());
        }
        assert_ne!(canonical(RecordType::Txt, "hello").unwrap(), canonical(RecordType::Txt, "Hello").unwrap());
        assert_eq!(canonical(RecordType::Caa, "0 issue \"letsencrypt.org\"").unwrap(), "0 issue \"letsencrypt.org\"");
        let digest = "60485 5 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A";
        same(RecordType::Ds, digest, &digest.to_lowercase());
        for of in [RecordType::Https, RecordType::Svcb] {
            same(of, "1 svc.example.com. alpn=\"h2\"", "1 SVC.example.com. alpn=\"h2\"");
            let sent = "1 svc.example.com. mandatory=\"alpn,port\" alpn=\"h2\" port=8443";
            same(of, "1 svc.example.com. port=8443 mandatory=\"port,alpn\" alpn=\"h2\"", sent);
        }
    }

    #[test]
    fn bytes_of_other_types_are_not_made_alike() {
        use hickory_proto::rr::rdata::SVCB;
        use hickory_proto::rr::rdata::svcb::{SvcParamKey, SvcParamValue, Unknown};
        let data = |byte| {
            let unknown = SvcParamValue::Unknown(Unknown(vec![byte]));
            text(&RData::SVCB(SVCB::new(1, name("a.test").unwrap(), vec![(SvcParamKey::Unknown(4_711), unknown)])))
        };
        assert_ne!(data(0xfe), data(0xff));
    }

    #[test]
    fn a_value_of_another_type_is_none() {
        for (of, value) in [
            (RecordType::A, "203.0.113.300"),
            (RecordType::A, "2001:db8::1"),
            (RecordType::Aaaa, "203.0.113.3"),
            (RecordType::Mx, "mail.example.com"),
            (RecordType::Srv, "0 5 sip.example.com"),
            (RecordType::Soa, "ns.example.com"),
            (RecordType::Cname, "a..b"),
            (RecordType::Cname, "a b"),
            (RecordType::Cname, ""),
            (RecordType::Ns, "apex..t.test"),
            (RecordType::Ds, "nothing"),
            (RecordType::Caa, "issue"),
        ] {
            assert!(canonical(of, value).is_err(), "{value} as {}", of.as_str());
        }
    }
}
