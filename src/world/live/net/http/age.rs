//! How old an answer is by its own word and that of the caches on its way, and whether a cache gave it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode, header};
use sfv::{BareItem, Item, ListEntry, Parser};
use tokio::time::Instant;

use crate::core::time::Span;

/// The standard header in which caches say what they did (RFC 9211).
const CACHE_STATUS: &str = "cache-status";
/// Words of caches older than the standard for an answer about which nobody else was asked: Squid, Varnish, nginx and most
/// networks of caches. Squid has many that end in `_HIT`.
const HITS: [&str; 5] = ["HIT", "CACHED", "FRESH", "STALE", "UPDATING"];
/// Of those, the one for which the service was asked: it said that what was kept still holds.
const ASKED_HIT: &str = "REFRESH_HIT";
/// Squid's words for an answer that it kept because the service did not answer well.
const FAILED_REFRESHES: [&str; 2] = ["REFRESH_FAIL", "REFRESH_FAIL_OLD"];
/// What stands for yes in a header that asks, such as `X-From-Cache`.
const YES: [&str; 3] = ["TRUE", "YES", "1"];
/// Headers of networks of caches in which any word may be the one.
const NETWORKS: [&str; 4] = ["x-ac", "x-quic-cloud", "x-symfony-cache", "wp-super-cache"];
/// What Traffic Server says in `Via` of an answer that it had, and that was fresh.
const TRAFFIC_SERVER_HIT: &str = "[cH";
/// Words in the name of a header that tells something else than where the answer was: how to keep it, under which name, by whom. Or it is of a
/// cache inside the service, which was asked then.
const OTHER_CACHES: [&str; 47] = [
    "control",
    "tag",
    "tags",
    "key",
    "keys",
    "group",
    "policy",
    "node",
    "server",
    "id",
    "ttl",
    "nocache",
    "db",
    "query",
    "session",
    "redis",
    "memcached",
    "object",
    "fragment",
    "user",
    "token",
    "jwks",
    "dns",
    "tls",
    "opcode",
    "template",
    "contexts",
    "debug",
    "name",
    "rule",
    "info",
    "warmer",
    "cacheable",
    "sql",
    "opcache",
    "data",
    "app",
    "schema",
    "config",
    "auth",
    "feature",
    "geo",
    "price",
    "translation",
    "permissions",
    "ratelimit",
    "apq",
];
/// The warnings of a cache that gives a stale answer (RFC 7234 §5.5.1 and §5.5.2).
const STALE_WARNINGS: [&str; 2] = ["110", "111"];
/// A service dates each answer anew, to the second. One whose date has not moved for longer is kept by somebody.
const DATE_STANDS: Duration = Duration::from_secs(3);

/// A `Date` that is no older than this, and no further ahead, is of now: clocks differ, and it has no fractions of a second.
const DATE_SLACK: Span = Span::secs(10);

/// How long ago the origin server made the answer, or said that it still holds (RFC 9111 §5.1): the oldest, where several
/// caches say so.
///
/// # Errors
///
/// An age that cannot be read comes back, as `Age: TEXT`. Foreign.
pub(in crate::world::live) fn cache_age(headers: &HeaderMap) -> Result<Option<Span>, String> {
    let ages = headers.get_all(header::AGE).iter().flat_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        value.split(',').map(|age| age.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut oldest = None;
    for age in ages {
        let seconds: u32 = age.parse().map_err(|_| format!("Age: {age}"))?;
        oldest = oldest.max(Some(Span::secs(seconds.into())));
    }
    Ok(oldest)
}

/// The header in which a cache says that it gave the answer without asking the service, or although the service answered otherwise, as
/// `Cache-Status: TEXT`; `None` when no one says so. That an answer passed through a proxy (`Via`) is no such word. Foreign.
pub(in crate::world::live) fn cache_hit(headers: &HeaderMap, answered: StatusCode) -> Option<String> {
    let lines = |name: &str| {
        let lines = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        lines.collect::<Vec<_>>().join(", ")
    };
    let status = lines(CACHE_STATUS);
    if items(&status).iter().any(|cache| gave_it(cache, answered)) {
        return Some(format!("Cache-Status: {status}"));
    }
    let timing = lines("server-timing");
    if items(&timing).iter().any(is_hit_metric) {
        return Some(format!("Server-Timing: {timing}"));
    }
    let first = |said: &str| said.split_whitespace().next().unwrap_or_default().to_owned();
    let warning = lines("warning");
    if warning.split(',').any(|said| STALE_WARNINGS.contains(&first(said).as_str())) {
        return Some(format!("Warning: {warning}"));
    }
    // Varnish names the request that it answers and, of what it has kept, the one that fetched it.
    let varnish = lines("x-varnish");
    if varnish.split(',').any(|said| said.split_whitespace().count() > 1) {
        return Some(format!("X-Varnish: {varnish}"));
    }
    let via = lines("via");
    if via.contains(TRAFFIC_SERVER_HIT) {
        return Some(format!("Via: {via}"));
    }
    // Each network of caches has a header of its own (`X-Cache`, `CF-Cache-Status`, `X-FastCGI-Cache`).
    let names = headers.keys().map(header::HeaderName::as_str).filter(|name| *name != CACHE_STATUS);
    names.filter(|name| names_cache(name) || NETWORKS.contains(name)).find_map(|name| {
        let said = lines(name);
        let asks = ["hit", "from-cache", "cached"].iter().any(|end| name.ends_with(end));
        let is_hit = |said: &str| match () {
            () if name.ends_with("cache-hits") => is_count(&first(said)),
            () if NETWORKS.contains(&name) => {
                said.split_whitespace().any(|word| is_hit_word(word) || word == "supercache")
            }
            () => {
                let yes = asks && YES.contains(&first(said).to_ascii_uppercase().as_str());
                yes || is_hit_word(&first(said)) || said.to_ascii_lowercase().contains("from cache")
            }
        };
        said.split(',').any(is_hit).then(|| format!("{name}: {said}"))
    })
}

/// The items of a list, also where parameters are written in capitals. One that cannot be read is as if it were not there (RFC 9651 §4.2).
fn items(list: &str) -> Vec<Item> {
    let read = |list: &str| Parser::new(list).parse::<sfv::List>();
    let entries = read(list).or_else(|_| read(&list.to_ascii_lowercase())).unwrap_or_default();
    entries.into_iter().filter_map(|entry| if let ListEntry::Item(item) = entry { Some(item) } else { None }).collect()
}

/// Whether a cache says in `Cache-Status` that it gave the answer: it asked nobody, or whom it asked answered with another status. 304
/// says that what was kept still holds.
fn gave_it(cache: &Item, answered: StatusCode) -> bool {
    let number = |status: StatusCode| Some(i64::from(status.as_u16()));
    let of_the_next = match cache.params.get("fwd-status") {
        Some(BareItem::Integer(status)) => Some(i64::from(*status)),
        // Not as the standard has it, and clear all the same.
        Some(item) => text_of(item).and_then(|status| status.parse().ok()),
        None => None,
    };
    let other = of_the_next.is_some() && ![number(answered), number(StatusCode::NOT_MODIFIED)].contains(&of_the_next);
    // nginx is often told to write its own word there, in place of the name of a cache.
    let own_word = cache.params.is_empty() && text_of(&cache.bare_item).is_some_and(|said| is_hit_word(&said));
    other || own_word || cache.params.get("hit") == Some(&BareItem::Boolean(true))
}

/// Whether a metric of `Server-Timing` is the word of a cache, as `cdn-cache; desc=HIT`.
fn is_hit_metric(metric: &Item) -> bool {
    let name = text_of(&metric.bare_item).unwrap_or_default().to_ascii_lowercase();
    let says = metric.params.get("desc").and_then(text_of).is_some_and(|said| is_hit_word(&said));
    // CloudFront has a metric for it.
    names_cache(&name) && (says || name == "cdn-cache-hit")
}

/// The text of an item, where it is one.
fn text_of(item: &BareItem) -> Option<String> {
    match item {
        BareItem::Token(token) => Some(token.as_str().to_owned()),
        BareItem::String(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Whether a name in small letters is that of a cache in front of the service.
fn names_cache(name: &str) -> bool {
    name.contains("cache") && !name.split(['-', '_']).any(|word| OTHER_CACHES.contains(&word))
}

/// Whether a word of a cache, as `HIT`, `TCP_MEM_HIT` or `HIT:1`, says that it asked nobody.
fn is_hit_word(said: &str) -> bool {
    let upper = said.to_ascii_uppercase();
    let word = upper
        .trim_start_matches('"')
        .split(|at: char| !at.is_ascii_alphanumeric() && at != '_')
        .next()
        .unwrap_or_default();
    HITS.contains(&word)
        || word.ends_with("_HIT") && !word.ends_with(ASKED_HIT)
        || FAILED_REFRESHES.iter().any(|end| word.ends_with(end))
}

/// Whether a cache has given this answer more than no times.
fn is_count(said: &str) -> bool {
    said.parse().is_ok_and(|hits: u64| hits > 0)
}

/// Watches the `Date` of the answers to one kind of request: a cache that says nothing of itself leaves it as it was.
#[derive(Debug, Default)]
pub(in crate::world::live) struct DateWatch(Mutex<Option<(HeaderValue, Instant)>>);

impl DateWatch {
    /// For how long the date of an answer has stood still, where that is longer than a service leaves it.
    pub(in crate::world::live) fn stands_still(&self, headers: &HeaderMap, now: Instant) -> Option<Duration> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let date = headers.get(header::DATE)?;
        let since = match &*newest {
            Some((known, since)) if known == date => *since,
            _ => {
                *newest = Some((date.clone(), now));
                now
            }
        };
        let stood = now.saturating_duration_since(since);
        (stood > DATE_STANDS).then_some(stood)
    }
}

/// What the `Date` of an answer says (RFC 9110 §6.6.1, in any of the three forms of §5.6.7).
pub(in crate::world::live) enum Dated {
    /// It was made now, as far as clocks agree, or there is no date.
    Now,
    /// It was made so long ago: the oldest, where there are several. A cache that tells no age still leaves the date as it was.
    Ago(Span),
    /// It is dated so far ahead, so how old it is cannot be told: the clocks differ.
    Ahead(Span),
}

/// Reads the `Date` of an answer.
///
/// # Errors
///
/// A date that cannot be read comes back, as `Date: TEXT`. Foreign.
pub(in crate::world::live) fn dated(headers: &HeaderMap) -> Result<Dated, String> {
    let now = SystemTime::now();
    let (mut oldest, mut furthest) = (Span::ZERO, Span::ZERO);
    for date in headers.get_all(header::DATE) {
        let text = String::from_utf8_lossy(date.as_bytes());
        let made = httpdate::parse_http_date(text.trim()).map_err(|_| format!("Date: {text}"))?;
        oldest = oldest.max(Span::of(now.duration_since(made).unwrap_or_default()));
        furthest = furthest.max(Span::of(made.duration_since(now).unwrap_or_default()));
    }
    Ok(match (oldest, furthest) {
        (_, ahead) if ahead > DATE_SLACK => Dated::Ahead(ahead),
        (ago, _) if ago > DATE_SLACK => Dated::Ago(ago),
        _ => Dated::Now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)));
        cache_hit(&headers.collect(), StatusCode::OK)
    }

    #[test]
    fn a_cache_that_says_so_is_believed_and_a_proxy_is_no_cache() {
        for (name, value) in [
            ("cache-status", "ExampleCache; hit"),
            ("cache-status", "Origin; fwd=uri-miss, \"CDN, Inc.\"; hit; ttl=30"),
            ("cache-status", "Cache; hit=?1; detail=\"a;b\""),
            ("x-cache", "HIT"),
            ("x-cache", "MISS, HIT"),
            ("x-cache", "Hit from cloudfront"),
            ("x-cache", "TCP_MEM_HIT from a"),
            ("x-cache-status", "STALE"),
            ("cf-cache-status", "HIT"),
            ("x-proxy-cache", "hit"),
            ("x-cache", "TCP_IMS_HIT"),
            ("x-cache", "TCP_REMOTE_HIT from b"),
            ("x-cache", "HIT-CLUSTER"),
            ("cache-status", "edge; fwd=stale; fwd-status=503"),
            ("cache-status", "edge; fwd=request; fwd-status=504"),
            ("cache-status", "STALE"),
            ("cache-status", "edge; HIT"),
            ("cache-status", "edge; fwd=stale; fwd-status=\"503\""),
            ("x-cache-status", "\"HIT\""),
            ("server-timing", "cdn-cache-hit, cdn-pop; desc=FRA"),
            ("x-symfony-cache", "GET /: fresh"),
            ("wp-super-cache", "Served supercache file from PHP"),
            ("via", "http/1.1 ats (ApacheTrafficServer/9.2 [cHs f ])"),
            ("server-timing", "cdn-cache; desc=HIT, edge; dur=1"),
            ("server-timing", "cfCacheStatus;desc=\"HIT\""),
            ("server-timing", "cache;desc=\"hit-front\""),
            ("x-cache", "TCP_REFRESH_FAIL"),
            ("x-cache", "TCP_REFRESH_FAIL_OLD"),
            ("x-cache-hit", "true"),
            ("x-from-cache", "1"),
            ("x-served-from-cache", "true"),
            ("x-cached", "true"),
            ("x-wp-cache", "Served from cache"),
            ("x-quic-cloud", "hit"),
            ("x-ac", "3.ams _dca STALE"),
            ("x-cache", "HIT:1"),
            ("x-cache", "cached"),
            ("x-fastcgi-cache", "STALE"),
            ("x-vercel-cache", "HIT"),
            ("cdn-cache", "HIT"),
            ("x-cache-hits", "0, 3"),
            ("x-varnish", "32770 3"),
            ("warning", "110 anderson/1.3.37 \"Response is stale\""),
            ("warning", "214 a \"changed\", 111 - \"Revalidation failed\""),
        ] {
            assert!(said(&[(name, value)]).is_some_and(|said| said.ends_with(value)), "{name}: {value}");
        }
        for (name, value) in [
            ("cache-status", "Cache; fwd=miss; detail=\"hit\""),
            ("cache-status", "hit; fwd=miss"),
            ("cache-status", "edge; fwd=stale; fwd-status=304"),
            ("cache-status", "edge; fwd=uri-miss; fwd-status=200; stored"),
            ("server-timing", "db-cache; desc=hit, cache; desc=miss"),
            ("server-timing", "cdn-cache; desc=MISS"),
            ("x-query-cache", "hit"),
            ("x-redis-cache", "HIT"),
            ("x-dns-cache", "hit"),
            ("cache-tag", "hit-list,home"),
            ("edge-cache-tag", "fresh,hit"),
            ("x-cache-node", "hit-1"),
            ("x-cache-server", "stale-01"),
            ("x-cache-group", "fresh"),
            ("x-cache-policy", "cached"),
            ("x-fragment-cache", "HIT"),
            ("x-nocache", "hit"),
            ("x-auth-cache-hits", "3"),
            ("x-cacheable", "cached"),
            ("x-cache-debug", "hit=0"),
            ("server-timing", "app-cache; desc=hit"),
            ("x-from-cache", "0"),
            ("cache-status", "Cache; hit=?0"),
            ("cache-status", "Cache; hit, ,"),
            ("x-cache", "MISS"),
            ("x-cache", "RefreshHit from cloudfront"),
            ("cf-cache-status", "DYNAMIC"),
            ("x-cache", "TCP_REFRESH_HIT"),
            ("x-cache", "TCP_MISS"),
            ("x-cache-hits", "0"),
            ("x-cache-key", "/hits"),
            ("cache-control", "stale-while-revalidate=30"),
            ("cdn-cache-control", "fresh"),
            ("x-varnish", "32770"),
            ("warning", "299 - \"110 things\""),
            ("via", "1.1 varnish"),
            ("via", "http/1.1 ats (ApacheTrafficServer/9.2 [cMsSf ])"),
            ("cache-status", "MISS"),
        ] {
            assert_eq!(said(&[(name, value)]), None, "{name}: {value}");
        }
        assert!(said(&[("cache-status", "A; fwd=miss"), ("cache-status", "B; hit")]).is_some());
    }
}
