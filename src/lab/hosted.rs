//! The lab's hosted zone: Route 53 on this machine, which publishes into the zone that the lab's name servers answer for.

use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::route53::{Publication, Route53, Route53Options};
use super::zone::{WeightedRecords, Zone};
use super::{APP_NAME, AWS_KEY, HOSTED_ZONE, OLD_ADDRESS, ZONE};

/// The service with the lab's zone, in which the shop's name has `ttl`.
pub(super) fn service(zone: Arc<Mutex<Zone>>, ttl: u32) -> Arc<Route53> {
    let options = Route53Options { key_id: AWS_KEY.to_owned(), ..Route53Options::default() };
    let service = Route53::new(options, move |publication| {
        if let Some((name, of, sets)) = served(publication) {
            zone.lock().unwrap_or_else(PoisonError::into_inner).publish(&name, of, sets);
        }
    });
    service.add_zone(HOSTED_ZONE, ZONE, false);
    service.put(HOSTED_ZONE, APP_NAME, "A", ttl, &[&A(OLD_ADDRESS).to_string()]);
    Arc::new(service)
}

/// What is published, for the name servers. What they cannot serve stays as it was.
fn served(publication: &Publication) -> Option<(Name, RecordType, Vec<WeightedRecords>)> {
    let name = Name::from_ascii(&publication.name).ok()?;
    let of: RecordType = publication.record_type.parse().ok()?;
    let record =
        |ttl: u32, value: &String| Some(Record::from_rdata(name.clone(), ttl, RData::try_from_str(of, value).ok()?));
    let set = |(weight, ttl, values): &(u32, u32, Vec<String>)| {
        let records = values.iter().map(|value| record(*ttl, value)).collect::<Option<Vec<_>>>()?;
        Some((*weight, records))
    };
    let sets = publication.sets.iter().map(set).collect::<Option<Vec<_>>>()?;
    Some((name, of, sets))
}
