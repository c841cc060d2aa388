//! The record sets of one hosted zone, and what Route 53 demands of a batch of changes. Pure: no sockets, no clock.
//!
//! A batch is carried out in order on a copy, which replaces the zone only when all of it held.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::xml::Element;
use crate::record_data::octal;

/// Most values of one batch; those of UPSERT count twice.
const MOST_VALUES: usize = 1_000;
/// Longest string of a TXT value, bytes.
const LONGEST_STRING: usize = 255;

/// A refusal: HTTP status, code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    pub(super) fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 404, ..Self::new(code, message) }
    }
}

/// What an alias leads to: zone, name, and whether its health counts.
pub(super) type Alias = (String, String, bool);

/// A record set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ApiRecordSet {
    pub(super) name: String,
    pub(super) of: String,
    pub(super) set_id: Option<String>,
    pub(super) ttl: Option<i64>,
    pub(super) values: Vec<String>,
    pub(super) alias: Option<Alias>,
    pub(super) weight: Option<i64>,
    pub(super) failover: Option<String>,
    pub(super) multivalue: Option<bool>,
    pub(super) health_check: Option<String>,
}

/// What is done with a record set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiAction {
    Create,
    Delete,
    Upsert,
}

impl ApiAction {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Upsert => "UPSERT",
        }
    }

    /// What it costs of the bucket of changes.
    pub(super) fn cost(self) -> u32 {
        match self {
            Self::Create | Self::Delete => 1,
            Self::Upsert => 2,
        }
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiChange {
    pub(super) action: ApiAction,
    pub(super) set: ApiRecordSet,
}

/// A name as the API writes it: lower case, with the last dot, and with `\ooo` for what is no letter, digit, `-` or `_`.
pub(super) fn api_name(name: &str) -> String {
    format!("{}.", octal::name(name))
}

/// By labels from the right, as lists are sorted.
pub(super) fn reversed(name: &str) -> String {
    let mut labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    labels.reverse();
    labels.join(".") + "."
}

impl ApiRecordSet {
    /// The record set of a request; `Err` says which input is wrong.
    pub(super) fn of(element: &Element) -> Result<Self, ApiError> {
        let text = |name| element.text_of(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let number = |name| match text(name) {
            None => Ok(None),
            Some(number) => number
                .parse::<i64>()
                .map(Some)
                .map_err(|_| ApiError::new("InvalidInput", format!("Invalid {name} value: {number}"))),
        };
        let malformed =
            || ApiError::new("MalformedInput", "ChangeBatch is not valid, expected ChangeResourceRecordSetsRequest");
        let records = element.child("ResourceRecords").map(|records| {
            let values = records.children.iter().filter_map(|record| record.text_of("Value"));
            values.map(str::to_owned).collect()
        });
        let alias = element.child("AliasTarget").map(|alias| {
            let of = |name| alias.text_of(name).unwrap_or_default().to_owned();
            (of("HostedZoneId"), api_name(&of("DNSName")), of("EvaluateTargetHealth") == "true")
        });
        Ok(Self {
            name: text("Name").map(|name| api_name(&name)).ok_or_else(malformed)?,
            of: text("Type").ok_or_else(malformed)?,
            set_id: text("SetIdentifier"),
            ttl: number("TTL")?,
            values: records.unwrap_or_default(),
            alias,
            weight: number("Weight")?,
            failover: text("Failover"),
            multivalue: text("MultiValueAnswer").map(|text| text == "true"),
            health_check: text("HealthCheckId"),
        })
    }

    fn key(&self) -> (String, String, String, Option<String>) {
        (reversed(&self.name), self.name.clone(), self.of.clone(), self.set_id.clone())
    }

    fn words(&self) -> String {
        let id = self.set_id.as_ref().map_or_else(String::new, |id| format!(", set-identifier='{id}'"));
        format!("[name='{}', type='{}'{id}]", self.name, self.of)
    }

    fn policy(&self) -> &'static str {
        match self {
            Self { weight: Some(_), .. } => "weighted",
            Self { failover: Some(_), .. } => "failover",
            Self { multivalue: Some(true), .. } => "multivalue answer",
            _ => "simple",
        }
    }

    /// Whether the one that a DELETE gives is this one. What it does not give is not compared, except values and TTL.
    fn is_given_by(&self, given: &Self) -> bool {
        let sorted = |values: &[String]| {
            let mut values = values.to_vec();
            values.sort();
            values
        };
        let optional = |mine: &Option<String>, given: &Option<String>| given.is_none() || mine == given;
        sorted(&self.values) == sorted(&given.values)
            && self.ttl == given.ttl
            && self.alias == given.alias
            && (given.weight.is_none() || self.weight == given.weight)
            && optional(&self.failover, &given.failover)
            && (given.multivalue.is_none() || self.multivalue == given.multivalue)
            && optional(&self.health_check, &given.health_check)
    }

    /// What is wrong with it by itself.
    fn wrong(&self, action: ApiAction) -> Result<(), ApiError> {
        let has_records = self.ttl.is_some() && !self.values.is_empty();
        let found = match (&self.alias, has_records) {
            (Some(_), _) if self.ttl.is_some() || !self.values.is_empty() => Some("more than one"),
            (None, false) => Some("none"),
            _ => None,
        };
        if let Some(found) = found {
            let (action, name, of) = (action.word(), &self.name, &self.of);
            let id = self.set_id.as_deref().unwrap_or("null");
            return Err(ApiError::new(
                "InvalidInput",
                format!(
                    "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
                     TrafficPolicyInstanceId], but found {found} in Change with [Action={action}, Name={name}, Type={of}, \
                     SetIdentifier={id}]"
                ),
            ));
        }
        let policies = [self.weight.is_some(), self.failover.is_some(), self.multivalue == Some(true)];
        let policies = policies.iter().filter(|is| **is).count();
        if policies > 1 || (policies == 1) != self.set_id.is_some() {
            let message = "Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, \
                           CidrRoutingConfig] with a SetIdentifier";
            return Err(ApiError::new("InvalidInput", message));
        }
        if self.weight.is_some_and(|weight| !(0..=255).contains(&weight)) {
            return Err(ApiError::new("InvalidInput", "Invalid request: Weight must be between 0 and 255"));
        }
        if self.ttl.is_some_and(|ttl| !(0..=2_147_483_647).contains(&ttl)) {
            return Err(ApiError::new("InvalidInput", "Invalid request: TTL must be between 0 and 2147483647"));
        }
        Ok(())
    }

    /// What is wrong with its values, in the words of the service.
    fn wrong_value(&self) -> Option<String> {
        let fatal = |what: &str, value: &str| {
            Some(format!("Invalid Resource Record: 'FATAL problem: {what} encountered with '{value}''"))
        };
        self.values.iter().find_map(|value| match self.of.as_str() {
            "A" if value.parse::<Ipv4Addr>().is_err() => {
                fatal("ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)", value)
            }
            "AAAA" if value.parse::<Ipv6Addr>().is_err() => {
                fatal("AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)", value)
            }
            "TXT" | "SPF" => {
                let strings = strings(value);
                match strings {
                    None => fatal("InvalidCharacterString (Value should be enclosed in quotation marks)", value),
                    Some(strings) if strings.iter().any(|length| *length > LONGEST_STRING) => {
                        fatal("CharacterStringTooLong (Value is too long)", value)
                    }
                    Some(_) => None,
                }
            }
            _ => None,
        })
    }
}

/// The lengths of the strings of a TXT value, each of which stands in quotes.
fn strings(value: &str) -> Option<Vec<usize>> {
    let mut lengths = Vec::new();
    let mut rest = value.trim();
    while let Some(inner) = rest.strip_prefix('"') {
        let (mut length, mut bytes) = (0, inner.bytes().enumerate());
        let end = loop {
            let (at, byte) = bytes.next()?;
            match byte {
                b'"' => break at,
                b'\\' => {
                    let (_, escaped) = bytes.next()?;
                    if escaped.is_ascii_digit() {
                        bytes.next()?;
                        bytes.next()?;
                    }
                }
                _ => {}
            }
            length += 1;
        };
        lengths.push(length);
        rest = inner.get(end + 1..)?.trim_start();
    }
    (rest.is_empty() && !lengths.is_empty()).then_some(lengths)
}

/// The changes of a request.
pub(super) fn changes(request: &Element) -> Result<Vec<ApiChange>, ApiError> {
    let malformed =
        || ApiError::new("MalformedInput", "ChangeBatch is not valid, expected ChangeResourceRecordSetsRequest");
    let batch = request.child("ChangeBatch").filter(|_| request.name == "ChangeResourceRecordSetsRequest");
    let changes = batch.and_then(|batch| batch.child("Changes")).ok_or_else(malformed)?;
    let change = |element: &Element| {
        let action = match element.text_of("Action") {
            Some("CREATE") => ApiAction::Create,
            Some("DELETE") => ApiAction::Delete,
            Some("UPSERT") => ApiAction::Upsert,
            _ => return Err(malformed()),
        };
        let set = element.child("ResourceRecordSet").ok_or_else(malformed)?;
        Ok(ApiChange { action, set: ApiRecordSet::of(set)? })
    };
    let changes: Vec<ApiChange> = changes.children.iter().map(change).collect::<Result<_, _>>()?;
    if changes.is_empty() {
        return Err(malformed());
    }
    Ok(changes)
}

/// The content of one hosted zone.
#[derive(Debug, Clone)]
pub(super) struct ApiZone {
    /// Its name with the last dot.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) private: bool,
    sets: BTreeMap<(String, String, String, Option<String>), ApiRecordSet>,
}

impl ApiZone {
    pub(super) fn new(id: &str, name: &str, private: bool) -> Self {
        let name = api_name(name);
        let mut zone = Self { name: name.clone(), id: id.to_owned(), private, sets: BTreeMap::new() };
        let set = |of: &str, ttl, value: &str| ApiRecordSet {
            name: name.clone(),
            of: of.to_owned(),
            ttl: Some(ttl),
            values: vec![value.to_owned()],
            ..ApiRecordSet::default()
        };
        zone.put(set("NS", 172_800, "ns-1.awsdns-01.com."));
        zone.put(set("SOA", 900, "ns-1.awsdns-01.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"));
        zone
    }

    /// Puts a record set there, whatever was there.
    pub(super) fn put(&mut self, set: ApiRecordSet) {
        self.sets.insert(set.key(), set);
    }

    /// Takes a record set away, if it is there.
    pub(super) fn take_away(&mut self, set: &ApiRecordSet) {
        self.sets.remove(&set.key());
    }

    /// All record sets, sorted, from that name, type and identifier on.
    pub(super) fn from(
        &self,
        name: Option<&str>,
        of: Option<&str>,
        id: Option<&str>,
    ) -> impl Iterator<Item = &ApiRecordSet> {
        let name = name.map(api_name).unwrap_or_default();
        let start = (
            if name.is_empty() { String::new() } else { reversed(&name) },
            name,
            of.unwrap_or_default().to_owned(),
            id.map(str::to_owned),
        );
        self.sets.range(start..).map(|(_, set)| set)
    }

    /// All record sets of that name and type.
    pub(super) fn of(&self, name: &str, of: &str) -> Vec<&ApiRecordSet> {
        let name = api_name(name);
        self.sets.values().filter(|set| set.name == name && set.of == of).collect()
    }

    /// Carries out a batch, all of it or nothing.
    pub(super) fn apply(&mut self, batch: &[ApiChange]) -> Result<(), ApiError> {
        for change in batch {
            change.set.wrong(change.action)?;
        }
        let values = batch.iter().map(|change| change.set.values.len().max(1) * change.action.cost() as usize);
        let count: usize = values.sum();
        if count > MOST_VALUES {
            let message = format!("Number of records limit of {MOST_VALUES} exceeded.");
            return Err(ApiError::new("InvalidChangeBatch", message));
        }
        let mut changed = self.clone();
        let mut faults = Vec::new();
        for change in batch {
            if let Err(fault) = changed.carry_out(change) {
                faults.push(fault);
            }
        }
        faults.extend(changed.uneven_ttl(batch));
        if !faults.is_empty() {
            return Err(ApiError::new("InvalidChangeBatch", format!("[{}]", faults.join(", "))));
        }
        *self = changed;
        Ok(())
    }

    fn carry_out(&mut self, ApiChange { action, set }: &ApiChange) -> Result<(), String> {
        let ApiRecordSet { name, of, .. } = set;
        let inside = *name == self.name || name.ends_with(&format!(".{}", self.name));
        if !inside {
            return Err(format!("RRSet with DNS name {name} is not permitted in zone {}", self.name));
        }
        let present = self.sets.get(&set.key());
        if *action == ApiAction::Delete {
            let tried = format!("Tried to delete resource record set {}", set.words());
            match present {
                None => return Err(format!("{tried} but it was not found")),
                Some(present) if !present.is_given_by(set) => {
                    return Err(format!("{tried} but the values provided do not match the current values"));
                }
                Some(_) => {}
            }
            if *name == self.name && matches!(of.as_str(), "NS" | "SOA") {
                return Err(format!("A HostedZone must contain exactly one {of} record."));
            }
            self.sets.remove(&set.key());
            return Ok(());
        }
        if *action == ApiAction::Create && present.is_some() {
            return Err(format!("Tried to create resource record set {} but it already exists", set.words()));
        }
        if let Some(wrong) = set.wrong_value() {
            return Err(wrong);
        }
        if of == "CNAME" && *name == self.name {
            return Err(format!(
                "RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {}",
                self.name
            ));
        }
        let beside = |test: &dyn Fn(&ApiRecordSet) -> bool| {
            self.sets.values().find(|other| other.name == *name && test(other)).map(|other| other.of.clone())
        };
        if let Some(other) = beside(&|other| (other.of == "CNAME") != (of == "CNAME")) {
            return Err(format!(
                "RRSet of type {of} with DNS name {name} is not permitted because a conflicting RRSet of type {other} with the \
                 same DNS name already exists in zone {}",
                self.name
            ));
        }
        let other_policy = |other: &ApiRecordSet| other.of == *of && other.policy() != set.policy();
        if beside(&other_policy).is_some() {
            let id = set.set_id.as_deref().unwrap_or("null");
            return Err(format!(
                "RRSet with DNS name {name}, type {of}, SetIdentifier {id} cannot be created because there are RRSets with another \
                 routing policy"
            ));
        }
        if let Some((zone, target, _)) = &set.alias
            && *zone == self.id
            && !self.sets.values().any(|other| other.name == *target && other.of == *of)
        {
            return Err(format!(
                "Tried to create an alias that targets {target}, type {of} in zone {zone}, but that target was not found"
            ));
        }
        self.put(set.clone());
        Ok(())
    }

    /// Weighted record sets of one name and type have one TTL.
    fn uneven_ttl(&self, batch: &[ApiChange]) -> Option<String> {
        batch.iter().map(|change| &change.set).find_map(|set| {
            let members = self.of(&set.name, &set.of);
            let mut ttls = members.iter().filter(|other| other.weight.is_some()).filter_map(|other| other.ttl);
            let first = ttls.next()?;
            ttls.any(|ttl| ttl != first)
                .then(|| format!("RRSets with DNS name {} and type {} must all have the same TTL", set.name, set.of))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, of: &str, ttl: i64, values: &[&str]) -> ApiRecordSet {
        ApiRecordSet {
            name: api_name(name),
            of: of.to_owned(),
            ttl: Some(ttl),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            ..ApiRecordSet::default()
        }
    }

    fn weighted(id: &str, weight: i64, ttl: i64, value: &str) -> ApiRecordSet {
        ApiRecordSet { set_id: Some(id.to_owned()), weight: Some(weight), ..set("app.shop.test", "A", ttl, &[value]) }
    }

    fn zone() -> ApiZone {
        let mut zone = ApiZone::new("Z1", "shop.test", false);
        zone.put(set("app.shop.test", "A", 60, &["192.0.2.1"]));
        zone
    }

    fn create(set: ApiRecordSet) -> ApiChange {
        ApiChange { action: ApiAction::Create, set }
    }

    fn delete(set: ApiRecordSet) -> ApiChange {
        ApiChange { action: ApiAction::Delete, set }
    }

    fn refused(batch: &[ApiChange]) -> String {
        let mut zone = zone();
        let before = zone.sets.clone();
        let error = zone.apply(batch).unwrap_err();
        assert_eq!(zone.sets, before, "all or nothing");
        format!("{}: {}", error.code, error.message)
    }

    #[test]
    fn a_delete_must_be_exact() {
        let mut good = zone();
        let new = set("app.shop.test", "A", 60, &["192.0.2.2"]);
        good.apply(&[delete(set("app.shop.test", "A", 60, &["192.0.2.1"])), create(new.clone())]).unwrap();
        assert_eq!(good.of("app.shop.test", "A"), [&new]);
        for (ttl, value) in [(61, "192.0.2.1"), (60, "192.0.2.9")] {
            assert_eq!(
                refused(&[delete(set("app.shop.test", "A", ttl, &[value])), create(new.clone())]),
                "InvalidChangeBatch: [Tried to delete resource record set [name='app.shop.test.', type='A'] but the values \
                 provided do not match the current values, Tried to create resource record set [name='app.shop.test.', \
                 type='A'] but it already exists]"
            );
        }
        assert_eq!(
            refused(&[delete(set("api.shop.test", "A", 60, &["192.0.2.1"]))]),
            "InvalidChangeBatch: [Tried to delete resource record set [name='api.shop.test.', type='A'] but it was not found]"
        );
    }

    #[test]
    fn one_bad_change_undoes_the_whole_batch() {
        let good = create(set("b.shop.test", "A", 60, &["192.0.2.2"]));
        let away = create(set("b.other.test", "A", 60, &["192.0.2.2"]));
        assert_eq!(
            refused(&[good, away]),
            "InvalidChangeBatch: [RRSet with DNS name b.other.test. is not permitted in zone shop.test.]"
        );
    }

    #[test]
    fn an_alias_stands_beside_nothing() {
        assert_eq!(
            refused(&[create(set("shop.test", "CNAME", 60, &["a.test"]))]),
            "InvalidChangeBatch: [RRSet of type CNAME with DNS name shop.test. is not permitted at apex in zone shop.test.]"
        );
        assert_eq!(
            refused(&[create(set("app.shop.test", "CNAME", 60, &["a.test"]))]),
            "InvalidChangeBatch: [RRSet of type CNAME with DNS name app.shop.test. is not permitted because a conflicting \
             RRSet of type A with the same DNS name already exists in zone shop.test.]"
        );
    }

    #[test]
    fn an_alias_has_no_ttl_and_its_target_exists() {
        let alias = |zone: &str| ApiRecordSet {
            ttl: None,
            values: Vec::new(),
            alias: Some((zone.to_owned(), "lb.shop.test.".to_owned(), false)),
            ..set("www.shop.test", "A", 60, &[])
        };
        let with_ttl = ApiRecordSet { ttl: Some(60), ..alias("Z9") };
        assert!(refused(&[create(with_ttl)]).starts_with("InvalidInput: Invalid request: Expected exactly one of"));
        assert!(refused(&[create(alias("Z1"))]).contains("but that target was not found"));
        zone().apply(&[create(alias("Z9"))]).unwrap();
    }

    #[test]
    fn weights_have_an_identifier_a_range_and_one_ttl_and_no_simple_set_beside_them() {
        let simple = delete(set("app.shop.test", "A", 60, &["192.0.2.1"]));
        assert!(refused(&[create(weighted("blue", 255, 60, "192.0.2.1"))]).contains("another routing policy"));
        let nameless = ApiRecordSet { set_id: None, ..weighted("blue", 1, 60, "192.0.2.1") };
        assert!(refused(&[simple.clone(), create(nameless)]).starts_with("InvalidInput"));
        assert!(refused(&[simple.clone(), create(weighted("blue", 256, 60, "192.0.2.1"))]).starts_with("InvalidInput"));
        let (blue, green) = (weighted("blue", 255, 60, "192.0.2.1"), weighted("green", 0, 60, "192.0.2.2"));
        let uneven = ApiRecordSet { ttl: Some(30), ..green.clone() };
        assert!(refused(&[simple.clone(), create(blue.clone()), create(uneven)]).contains("the same TTL"));
        let mut good = zone();
        good.apply(&[simple, create(blue.clone()), create(green.clone())]).unwrap();
        assert_eq!(good.of("app.shop.test", "A"), [&blue, &green]);
    }

    #[test]
    fn values_are_checked() {
        let wrong = |of: &str, value: &str| refused(&[create(set("b.shop.test", of, 60, &[value]))]);
        assert!(wrong("A", "not-an-ip").contains("ARRDATAIllegalIPv4Address"));
        assert!(wrong("TXT", "bare").contains("enclosed in quotation marks"));
        assert!(wrong("TXT", &format!("\"{}\"", "x".repeat(256))).contains("CharacterStringTooLong"));
        let parts = format!("\"{}\" \"\\303\\274\"", "x".repeat(255));
        zone().apply(&[create(set("b.shop.test", "TXT", 60, &[&parts]))]).unwrap();
        let many: Vec<String> = (0..1_001).map(|at| format!("192.0.{}.{}", at / 256, at % 256)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(refused(&[create(set("b.shop.test", "A", 60, &many))]).contains("limit of 1000"));
    }

    #[test]
    fn names_are_sorted_by_labels_from_the_right_and_a_star_is_octal() {
        let mut zone = zone();
        for name in ["*.shop.test", "b.app.shop.test", "aaa.shop.test"] {
            zone.put(set(name, "A", 60, &["192.0.2.1"]));
        }
        let names: Vec<&str> = zone.from(None, None, None).map(|set| set.name.as_str()).collect();
        assert_eq!(
            names,
            ["shop.test.", "shop.test.", r"\052.shop.test.", "aaa.shop.test.", "app.shop.test.", "b.app.shop.test."]
        );
        let from: Vec<&str> = zone.from(Some("app.shop.test"), Some("A"), None).map(|set| set.name.as_str()).collect();
        assert_eq!(from, ["app.shop.test.", "b.app.shop.test."]);
    }
}
