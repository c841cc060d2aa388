//! Old samples, packed: a day of readings of twenty probes is some 2.3 GiB as it comes and some 150 MiB packed.
//!
//! Samples are written as rows, one each, since they come one by one and are soon read again. In quiet moments the
//! oldest rows are replaced by packs: of [`WINDOW`] samples in a row, those of one source are one pack. Readings of one
//! probe differ in a few numbers, which is what makes them small. A pack is gzip over one JSON array of three arrays:
//! numbers, times (Unix milliseconds) and bodies, so that anyone can read it with `sqlite3`, `gunzip` and `jq`.

use std::io::{Read, Write};
use std::ops::Range;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use rusqlite::{Connection, OptionalExtension, Transaction, params, types::Type};

use super::{Sample, reader::numbered};

/// Samples that are packed at a time. More would make packs a little smaller, and a decision that comes meanwhile wait
/// longer (measured: some 10 ms for 1,024).
const WINDOW: i64 = 1_024;

/// Most bytes of bodies that are packed at a time.
const WINDOW_BYTES: i64 = 8 << 20;

/// Most bytes that a pack is unpacked to. Nothing larger is ever written; the file may come from somebody else.
const UNPACKED: u64 = 256 << 20;

type Rows = Vec<(i64, Sample)>;

/// Whether enough rows have come together to be packed. The newest [`WINDOW`] always stay rows: they are what is asked
/// for most, and numbers of samples go on from the last of them.
pub(super) fn due(conn: &Connection) -> rusqlite::Result<bool> {
    let rows: Option<i64> = conn
        .prepare_cached(
            "SELECT (SELECT id FROM samples ORDER BY id DESC LIMIT 1) - (SELECT id FROM samples ORDER BY id LIMIT 1)",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(rows.is_some_and(|rows| rows >= 2 * WINDOW))
}

/// Packs the oldest window of rows.
pub(super) fn pack(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut rows: Rows = tx
        .prepare_cached("SELECT id, at_ms, source, body FROM samples ORDER BY id LIMIT ?1")?
        .query_map([WINDOW], numbered)?
        .collect::<rusqlite::Result<_>>()?;
    let mut bytes = 0;
    let fit = rows.iter().position(|(_, sample)| {
        bytes += i64::try_from(sample.body.len()).unwrap_or(i64::MAX);
        bytes > WINDOW_BYTES
    });
    rows.truncate(fit.unwrap_or(rows.len()).max(1));
    let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { return Ok(()) };
    let (first, last) = (*first, *last);
    rows.sort_by(|(id, sample), (other, another)| (&sample.source, id).cmp(&(&another.source, other)));
    let mut insert = tx.prepare_cached(
        "INSERT INTO sample_packs (first, last, source, first_ms, last_ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for of_source in rows.chunk_by(|(_, sample), (_, next)| sample.source == next.source) {
        let times = || of_source.iter().map(|(_, sample)| sample.at_ms);
        let (Some((_, sample)), Some(from), Some(to)) = (of_source.first(), times().min(), times().max()) else {
            continue;
        };
        let body = packed(of_source).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
        insert.execute(params![first, last, sample.source, from, to, body])?;
    }
    tx.prepare_cached("DELETE FROM samples WHERE id <= ?1")?.execute([last])?;
    Ok(())
}

fn packed(rows: &[(i64, Sample)]) -> std::io::Result<Vec<u8>> {
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let times: Vec<i64> = rows.iter().map(|(_, sample)| sample.at_ms).collect();
    let bodies: Vec<&str> = rows.iter().map(|(_, sample)| sample.body.as_str()).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&serde_json::to_vec(&(ids, times, bodies))?)?;
    encoder.finish()
}

/// A pack that cannot be unpacked is an error of its row.
fn unpacked(source: &str, body: &[u8], column: usize) -> rusqlite::Result<Rows> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, cause)
    };
    let mut text = Vec::new();
    GzDecoder::new(body).take(UNPACKED).read_to_end(&mut text).map_err(|cause| failed(cause.into()))?;
    let (ids, times, bodies): (Vec<i64>, Vec<i64>, Vec<String>) =
        serde_json::from_slice(&text).map_err(|cause| failed(cause.into()))?;
    if ids.len() != times.len() || ids.len() != bodies.len() {
        return Err(failed("its three arrays differ in length".into()));
    }
    let samples = times.into_iter().zip(bodies);
    let sample = |(at_ms, body)| Sample { at_ms, source: source.to_owned(), body };
    Ok(ids.into_iter().zip(samples.map(sample)).collect())
}

/// Whether this file can hold packs: one of the first format, opened to be read, cannot.
fn present(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sample_packs')")?
        .query_row([], |row| row.get(0))
}

/// The packed samples of one source taken within `at_ms`, in no order.
pub(super) fn within(conn: &Connection, source: &str, at_ms: &Range<i64>) -> rusqlite::Result<Rows> {
    if !present(conn)? {
        return Ok(Vec::new());
    }
    let mut query =
        conn.prepare_cached("SELECT body FROM sample_packs WHERE source = ?1 AND last_ms >= ?2 AND first_ms < ?3")?;
    let mut packs = query.query(params![source, at_ms.start, at_ms.end])?;
    let mut found = Vec::new();
    while let Some(pack) = packs.next()? {
        let rows = unpacked(source, pack.get_ref(0)?.as_blob()?, 0)?;
        found.extend(rows.into_iter().filter(|(_, sample)| at_ms.contains(&sample.at_ms)));
    }
    Ok(found)
}

/// Packed samples of every source from number `from` on, in the order of their numbers: at least `count` of them, or
/// all that are packed.
pub(super) fn arrived(conn: &Connection, from: i64, count: u32) -> rusqlite::Result<Rows> {
    let mut found = Vec::new();
    if !present(conn)? {
        return Ok(found);
    }
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    // Windows do not overlap: the one in which `from` lies is the first.
    let mut next = from;
    while found.len() < wanted {
        let mut query = conn.prepare_cached(
            "SELECT first, last, source, body FROM sample_packs
             WHERE first = coalesce((SELECT max(first) FROM sample_packs WHERE first <= ?1 AND last >= ?1),
                                    (SELECT min(first) FROM sample_packs WHERE first > ?1))",
        )?;
        let mut packs = query.query([next])?;
        let before = next;
        let mut window = Vec::new();
        while let Some(pack) = packs.next()? {
            let source: String = pack.get(2)?;
            window.extend(unpacked(&source, pack.get_ref(3)?.as_blob()?, 3)?);
            next = pack.get::<_, i64>(1)?.saturating_add(1);
        }
        if next == before {
            break;
        }
        window.retain(|(id, _)| *id >= from);
        window.sort_by_key(|(id, _)| *id);
        found.append(&mut window);
    }
    Ok(found)
}

/// The newest packed samples of one source with a number below `before`, taken no later than `at_ms`: at least the
/// `count` newest by time, in no order.
pub(super) fn newest(conn: &Connection, source: &str, before: i64, at_ms: i64, count: u32) -> rusqlite::Result<Rows> {
    let mut found: Rows = Vec::new();
    if !present(conn)? {
        return Ok(found);
    }
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut query = conn.prepare_cached(
        "SELECT last_ms, body FROM sample_packs
         WHERE source = ?1 AND first < ?2 AND first_ms <= ?3 ORDER BY last_ms DESC",
    )?;
    let mut packs = query.query(params![source, before, at_ms])?;
    while let Some(pack) = packs.next()? {
        // Nothing in this pack or a later one is newer than what there is already.
        let last_ms: i64 = pack.get(0)?;
        if found.iter().filter(|(_, sample)| sample.at_ms > last_ms).count() >= wanted {
            break;
        }
        let rows = unpacked(source, pack.get_ref(1)?.as_blob()?, 1)?;
        found.extend(rows.into_iter().filter(|(id, sample)| *id < before && sample.at_ms <= at_ms));
    }
    Ok(found)
}

/// Number of the first packed sample.
pub(super) fn first(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    if !present(conn)? {
        return Ok(None);
    }
    conn.prepare_cached("SELECT first FROM sample_packs ORDER BY first LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}
