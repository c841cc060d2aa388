//! Values of records as text that can be compared.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::{RData, Record, RecordType as Type};

use crate::core::record::RecordType;
use crate::world::live::foreign;

/// The type on the wire.
pub(in crate::world::live) fn wire_type(of: RecordType) -> Type {
    match of {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Txt => Type::TXT,
    }
}

/// The values of a record set: host names in lower case without the last dot.
pub(in crate::world::live) fn values(answers: &[Record], of: Type) -> BTreeSet<String> {
    answers.iter().filter(|record| record.record_type() == of).map(|record| text(&record.data)).collect()
}

/// One value in the same form.
pub(in crate::world::live) fn text(data: &RData) -> String {
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
    fn values_are_compared_in_one_form() {
        let set = |values: &[&str], of| expected(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), of);
        assert_eq!(set(&["WWW.Example.com."], RecordType::Cname), set(&["www.example.com"], RecordType::Cname));
        assert_eq!(set(&["2001:DB8:0::1"], RecordType::Aaaa), set(&["2001:db8::1"], RecordType::Aaaa));
        assert_eq!(set(&["\"Hello\""], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_ne!(set(&["hello"], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_eq!(set(&["1.1.1.1", "2.2.2.2"], RecordType::A), set(&["2.2.2.2", "1.1.1.1"], RecordType::A));
    }
}
