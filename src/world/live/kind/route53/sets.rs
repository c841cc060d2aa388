//! Record sets as the API of Route 53 has them, and as runbooks write them.
//!
//! The API writes other bytes than printable ASCII as `\ooo` with three octal digits, in names (`*` is `\052`) as in TXT
//! values. Master files and runbooks have decimal digits there.

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget as ApiAlias, ResourceRecord, ResourceRecordSet, ResourceRecordSetFailover, RrType,
};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::TXT;

use crate::core::hosted::{AliasTarget, FailoverRole, HostedRecordSet};
use crate::core::record::RecordType;
use crate::record_data::{self, octal};
use crate::world::live::foreign;
use crate::world::live::net::aws::{AwsCaller, CallFailure, Tries};

/// Pages of record sets with one name and type: there are at most 100 of them, and a page has as many.
const MOST_PAGES: usize = 10;
/// Record sets on a page.
const PAGE: i32 = 100;

/// A record set of the API.
#[derive(Clone, Debug)]
pub(super) struct ApiSet {
    /// As a runbook would write it, with values in their one form.
    pub(super) set: HostedRecordSet,
    /// Something about it that no runbook can write, so that it is none of those that are written.
    pub(super) strange: Option<&'static str>,
    /// As it came: what is deleted exactly like this cannot be anything else.
    pub(super) raw: ResourceRecordSet,
}

impl ApiSet {
    /// All of it in one line. Clean.
    pub(super) fn line(&self) -> String {
        let strange = self.strange.map_or_else(String::new, |what| format!(" ({what})"));
        foreign::brief(&format!("{}{strange}", self.set.line()), 300)
    }

    /// Whether it is exactly what a runbook writes.
    pub(super) fn is(&self, written: &HostedRecordSet, of: RecordType) -> bool {
        self.strange.is_none() && self.set == in_one_form(written, of)
    }
}

/// A record set of a runbook in the form in which those of the API are compared with it.
pub(super) fn in_one_form(written: &HostedRecordSet, of: RecordType) -> HostedRecordSet {
    let one_form = |value: &String| record_data::canonical(of, value).unwrap_or_else(|_| value.trim().to_owned());
    let mut values: Vec<String> = written.values.iter().map(one_form).collect();
    values.sort();
    values.dedup();
    let alias = written.alias.as_ref().map(|alias| AliasTarget { name: plain_name(&alias.name), ..alias.clone() });
    HostedRecordSet { values, alias, ..written.clone() }
}

/// A name of the API or of a runbook in the one form in which names are compared: without octal digits and the last dot, in lower case.
pub(super) fn plain_name(name: &str) -> String {
    let bytes = without_octal(name.as_bytes());
    String::from_utf8_lossy(&bytes).trim_end_matches('.').to_ascii_lowercase()
}

/// The same bytes with each `\ooo` replaced by the byte of that octal number.
fn without_octal(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..3).filter(|_| *first == b'\\').and_then(octal::byte);
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    bytes
}

/// A byte by its decimal number.
fn decimal(byte: u8) -> [char; 4] {
    let digit = |digit: u8| char::from(b'0' + digit);
    ['\\', digit(byte / 100), digit(byte / 10 % 10), digit(byte % 10)]
}

/// A TXT value of the API in the form of master files.
fn txt_of_api(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let byte = after.as_bytes().get(..3).filter(|_| first == '\\').and_then(octal::byte);
        match (byte, after.chars().next()) {
            (Some(byte), _) => {
                text.extend(decimal(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            // `\"` and `\\` are the same in both.
            (None, Some(escaped)) if first == '\\' => {
                text.extend(['\\', escaped]);
                rest = after.get(escaped.len_utf8()..).unwrap_or_default();
            }
            _ => {
                text.push(first);
                rest = after;
            }
        }
    }
    text
}

/// The strings of a TXT record as the API wants them: each in quotes and of at most 255 bytes.
fn txt_for_api(txt: &TXT) -> String {
    let part = |part: &[u8]| {
        let mut text = String::from("\"");
        for byte in part {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => text.push(char::from(*byte)),
                other => text.extend(octal::escape(*other)),
            }
        }
        text.push('"');
        text
    };
    txt.txt_data.iter().map(|bytes| part(bytes)).collect::<Vec<_>>().join(" ")
}

/// A value of a runbook as the API wants it.
fn value_for_api(of: RecordType, value: &str) -> String {
    match record_data::parse(of, value) {
        Ok(RData::TXT(txt)) => txt_for_api(&txt),
        _ => value.trim().to_owned(),
    }
}

/// A value of the API in its one form.
fn value_of_api(of: RecordType, value: &str) -> String {
    let value = if of == RecordType::Txt { txt_of_api(value) } else { value.to_owned() };
    record_data::canonical(of, &value).unwrap_or(value)
}

/// The type in the words of the API.
pub(super) fn api_type(of: RecordType) -> RrType {
    RrType::from(of.as_str())
}

/// The name as the API takes it.
fn api_name(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// A record set of a runbook for the API.
pub(super) fn for_api(name: &str, of: RecordType, set: &HostedRecordSet) -> Result<ResourceRecordSet, BuildError> {
    let mut api = ResourceRecordSet::builder().name(api_name(name)).r#type(api_type(of));
    for value in &set.values {
        api = api.resource_records(ResourceRecord::builder().value(value_for_api(of, value)).build()?);
    }
    if let Some(alias) = &set.alias {
        let alias = ApiAlias::builder()
            .dns_name(api_name(&alias.name))
            .hosted_zone_id(&alias.zone)
            .evaluate_target_health(alias.evaluate_target_health)
            .build()?;
        api = api.alias_target(alias);
    }
    let role = set.failover.map(|role| ResourceRecordSetFailover::from(role.as_str()));
    api.set_ttl(set.ttl.map(i64::from))
        .set_set_identifier(set.set_id.clone())
        .set_weight(set.weight.map(i64::from))
        .set_failover(role)
        .set_multi_value_answer(set.multivalue.then_some(true))
        .set_health_check_id(set.health_check.clone())
        .build()
}

/// A record set of the API as a runbook would write it.
fn of_api(raw: ResourceRecordSet, of: RecordType) -> ApiSet {
    let mut strange = None;
    if raw.region.is_some() {
        strange = Some("by latency");
    }
    if raw.geo_location.is_some() || raw.geo_proximity_location.is_some() {
        strange = Some("by location");
    }
    if raw.cidr_routing_config.is_some() {
        strange = Some("by network");
    }
    if raw.traffic_policy_instance_id.is_some() {
        strange = Some("by a traffic policy");
    }
    let number = |number: Option<i64>, strange: &mut Option<&'static str>| {
        let number = number?;
        let fits = u32::try_from(number).ok();
        if fits.is_none() {
            *strange = Some("with a number that makes no sense");
        }
        fits
    };
    let ttl = number(raw.ttl, &mut strange);
    let weight = number(raw.weight, &mut strange).and_then(|weight| u16::try_from(weight).ok());
    let mut values: Vec<String> =
        raw.resource_records().iter().map(|record| value_of_api(of, record.value())).collect();
    values.sort();
    values.dedup();
    let alias = raw.alias_target().map(|alias| AliasTarget {
        name: plain_name(alias.dns_name()),
        zone: alias.hosted_zone_id().to_owned(),
        evaluate_target_health: alias.evaluate_target_health(),
    });
    let failover = match raw.failover().map(ResourceRecordSetFailover::as_str) {
        None => None,
        Some("PRIMARY") => Some(FailoverRole::Primary),
        Some("SECONDARY") => Some(FailoverRole::Secondary),
        Some(_) => {
            strange = Some("with a failover that is not known");
            None
        }
    };
    let set = HostedRecordSet {
        values,
        ttl,
        alias,
        set_id: raw.set_identifier().map(str::to_owned),
        weight,
        failover,
        multivalue: raw.multi_value_answer == Some(true),
        health_check: raw.health_check_id().map(str::to_owned),
    };
    ApiSet { set, strange, raw }
}

/// All record sets of that name and type, as the API has them now.
pub(super) async fn read(
    asker: &AwsCaller,
    zone: &str,
    name: &str,
    of: RecordType,
) -> Result<Vec<ApiSet>, CallFailure> {
    let (client, dialer) = asker.route53(Tries::Again);
    let (wanted, wanted_type) = (plain_name(name), api_type(of));
    let mut found = Vec::new();
    let mut identifier = None;
    for _ in 0..MOST_PAGES {
        let page = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(api_name(name))
            .start_record_type(wanted_type.clone())
            .set_start_record_identifier(identifier.take())
            .max_items(PAGE)
            .send()
            .await
            .map_err(|err| CallFailure::of(&err, &dialer))?;
        let is_one = |set: &ResourceRecordSet| plain_name(&set.name) == wanted && set.r#type == wanted_type;
        let goes_on = page.is_truncated
            && page.next_record_name().is_some_and(|next| plain_name(next) == wanted)
            && page.next_record_type() == Some(&wanted_type);
        let next = page.next_record_identifier().map(str::to_owned);
        found.extend(page.resource_record_sets.into_iter().filter(is_one).map(|set| of_api(set, of)));
        if !goes_on || next.is_none() {
            return Ok(found);
        }
        identifier = next;
    }
    Err(CallFailure::Lost(format!("{zone} has more record sets of {name} than there can be")))
}

/// The one of several record sets with that identifier, or the only one without any.
pub(super) fn of_id<'a>(sets: &'a [ApiSet], id: Option<&str>) -> Option<&'a ApiSet> {
    sets.iter().find(|found| found.set.set_id.as_deref() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(of: RecordType, set: &HostedRecordSet) -> ApiSet {
        of_api(for_api("app.example.com", of, set).unwrap(), of)
    }

    #[test]
    fn what_is_sent_is_read_as_the_same() {
        let long = "x".repeat(600);
        for (of, values) in [
            (RecordType::A, vec!["192.0.2.10", "192.0.2.9"]),
            (RecordType::Aaaa, vec!["2001:DB8::1"]),
            (RecordType::Cname, vec!["WWW.example.com."]),
            (RecordType::Mx, vec!["10 mail.example.com."]),
            (RecordType::Txt, vec!["v=spf1 -all", r#""two " "parts""#, "größer", r#""\000\255 \" \\""#]),
            (RecordType::Txt, vec![long.as_str()]),
            (RecordType::Caa, vec![r#"0 issue "letsencrypt.org""#]),
        ] {
            let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
            let set = HostedRecordSet { values, ttl: Some(60), ..HostedRecordSet::default() };
            let found = back(of, &set);
            assert!(found.is(&set, of), "{} of {set:?}", found.line());
            let other = HostedRecordSet { ttl: Some(61), ..set };
            assert!(!found.is(&other, of), "a TTL counts");
        }
    }

    #[test]
    fn txt_is_sent_in_quotes_by_255_bytes_and_in_octal() {
        assert_eq!(value_for_api(RecordType::Txt, "v=spf1 -all"), r#""v=spf1 -all""#);
        assert_eq!(value_for_api(RecordType::Txt, "ü"), r#""\303\274""#);
        let long = value_for_api(RecordType::Txt, &"x".repeat(300));
        assert_eq!(long, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
        assert_eq!(
            value_of_api(RecordType::Txt, r#""\303\274""#),
            record_data::canonical(RecordType::Txt, "ü").unwrap()
        );
        assert_eq!(
            value_of_api(RecordType::Txt, r#""a\"b\\c""#),
            record_data::canonical(RecordType::Txt, r#""a\"b\\c""#).unwrap()
        );
    }

    #[test]
    fn names_are_compared_without_octal_digits_dots_and_case() {
        for (api, written) in [
            (r"\052.example.com.", "*.example.com"),
            ("APP.example.com.", "app.Example.com"),
            (r"a\040b.example.com.", "a b.example.com"),
        ] {
            assert_eq!(plain_name(api), plain_name(written));
        }
        assert_ne!(plain_name(r"\053.example.com"), plain_name("*.example.com"));
    }

    #[test]
    fn an_alias_is_compared_by_name_zone_and_health() {
        let alias = |name: &str, health| HostedRecordSet {
            alias: Some(AliasTarget { name: name.to_owned(), zone: "Z35".to_owned(), evaluate_target_health: health }),
            ..HostedRecordSet::default()
        };
        let found = back(RecordType::A, &alias("LB.eu-west-1.elb.amazonaws.com.", true));
        assert!(found.is(&alias("lb.eu-west-1.elb.amazonaws.com", true), RecordType::A));
        assert!(!found.is(&alias("lb.eu-west-1.elb.amazonaws.com", false), RecordType::A));
        assert!(!found.is(&alias("lb2.eu-west-1.elb.amazonaws.com", true), RecordType::A));
    }

    #[test]
    fn what_a_runbook_cannot_write_is_never_what_it_wrote() {
        let set = HostedRecordSet { values: vec!["192.0.2.1".to_owned()], ttl: Some(60), ..HostedRecordSet::default() };
        let mut raw = for_api("app.example.com", RecordType::A, &set).unwrap();
        raw.region = Some("eu-west-1".into());
        assert!(!of_api(raw.clone(), RecordType::A).is(&set, RecordType::A));
        raw.region = None;
        raw.ttl = Some(-1);
        assert!(!of_api(raw, RecordType::A).is(&set, RecordType::A));
    }
}
