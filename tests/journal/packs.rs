//! Old samples are packed, and nobody who reads them can tell.

use std::cmp::Reverse;

use gonogo::journal::{Journal, Ledger, Reader, Sample, Store};
use proptest::prelude::*;

use super::support::{State, me, new_record, run};

/// More samples than stay as rows.
const MANY: u32 = 3_500;

fn sample(n: u32, source: &str, at_ms: i64) -> Sample {
    Sample { at_ms, source: source.to_owned(), body: format!("{{\"n\":{n},\"text\":\"\u{1b}[2J\\n\u{e9}\"}}") }
}

/// Appends in batches and tidies after each, as the journal's own thread does.
fn append(journal: &mut Journal, samples: &[Sample]) {
    for batch in samples.chunks(200) {
        journal.append_samples(batch).unwrap();
        journal.tidy().unwrap();
    }
}

fn rows_and_packs(state: &State) -> (i64, i64) {
    let count =
        |table: &str| state.raw().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    (count("samples"), count("sample_packs"))
}

fn reader(store: &Store) -> Reader {
    store.read_run(&run()).unwrap()
}

/// Samples of three sources, one of them rare; now and then one comes late.
fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    proptest::collection::vec((0_usize..100, 0_i64..5_000), MANY as usize..MANY as usize + 600).prop_map(|drawn| {
        let source = |of| match of {
            0..60 => "lag",
            60..99 => "dns",
            _ => "certificate",
        };
        let late = |ms: i64| if ms % 50 == 0 { ms } else { ms % 20 };
        (0..).zip(drawn).map(|(n, (of, ms))| sample(n, source(of), 1_000 + i64::from(n) * 10 - late(ms))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn packed_samples_read_as_they_were_written(
        samples in any_samples(),
        asked in proptest::collection::vec((0..i64::from(MANY) + 700, 0_i64..45_000, 1_u32..900), 12),
    ) {
        let state = State::new();
        append(&mut state.create(), &samples);
        let (rows, packs) = rows_and_packs(&state);
        prop_assert!(rows < 2_300 && packs >= 3, "{rows} rows, {packs} packs");
        let reader = reader(&state.store);
        let numbered: Vec<(i64, Sample)> = (1..).zip(samples).collect();
        prop_assert_eq!(reader.sample_numbers().unwrap(), Some((1, i64::try_from(numbered.len()).unwrap())));
        for (number, at_ms, count) in asked {
            let from = |id: &i64| *id >= number;
            let arrived: Vec<_> =
                numbered.iter().filter(|(id, _)| from(id)).take(count as usize).cloned().collect();
            prop_assert_eq!(reader.arrived(number, count).unwrap(), arrived);
            for source in ["lag", "dns", "certificate", "nobody"] {
                let of_source = || numbered.iter().filter(|(_, sample)| sample.source == source);
                let mut newest: Vec<_> =
                    of_source().filter(|(id, sample)| *id < number && sample.at_ms <= at_ms).cloned().collect();
                newest.sort_by_key(|(id, sample)| (Reverse(sample.at_ms), Reverse(*id)));
                newest.truncate(count as usize);
                prop_assert_eq!(reader.newest(source, number, at_ms, count).unwrap(), newest);
                let range = at_ms..at_ms + i64::from(count) * 10;
                let mut within: Vec<_> = of_source().filter(|(_, sample)| range.contains(&sample.at_ms)).collect();
                within.sort_by_key(|(id, sample)| (sample.at_ms, *id));
                let within: Vec<_> = within.into_iter().map(|(_, sample)| sample.clone()).collect();
                prop_assert_eq!(reader.samples(source, range).unwrap(), within);
            }
        }
    }
}

/// What a probe reads each half second: a few numbers change.
fn reading(n: u32) -> Sample {
    let (latency, at) = (f64::from(n * 7_919 % 1_000) / 37.0, 1_795_486_447_000 + i64::from(n) * 25);
    let body = format!(
        r#"{{"probe":"latency{0}","at":{at},"took":"3ms","result":{{"Ok":{{"new":{{"address":"203.0.113.{0}:443","address_changes":0,"baseline":{{"errors":null,"p50":null,"p95":null,"p99":null,"recorded":null,"samples":null}},"errors":0.0,"failure":"","in_flight":0,"last":{latency:.3},"moved":"","needs":null,"next_in":null,"oldest_in_flight":null,"p50":{1:.3},"p95":{2:.3},"p99":{2:.3},"phases":{{"connect":0.236,"dns":null,"first_byte":0.478,"tls":null,"total":{latency:.3}}},"protocol":"HTTP/1.1","samples":{n},"status":200,"total":{{"failed":0,"requests":{n}}},"verdict":null,"why":null}}}}}},"arrived":{at},"after":2}}"#,
        n % 20,
        latency * 0.9,
        latency * 1.4,
    );
    Sample { at_ms: at, source: format!("latency{}", n % 20), body }
}

#[test]
fn a_long_soak_is_small_on_disk() {
    let state = State::new();
    let mut journal = state.create();
    let samples: Vec<Sample> = (0..20_000).map(reading).collect();
    append(&mut journal, &samples);
    drop(journal);
    let (packed, bytes): (u32, u32) = state
        .raw()
        .query_row("SELECT max(last), sum(length(body)) FROM sample_packs", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let raw: u64 = samples.iter().take(packed as usize).map(|sample| sample.body.len() as u64).sum();
    assert!(packed > 17_000 && u64::from(bytes) * 9 < raw, "{bytes} bytes for {raw}, {packed} samples");
    // Room that the rows took is used again.
    let stored = std::fs::metadata(reader(&state.store).dir().journal()).unwrap().len();
    assert!(stored * 3 < raw, "{stored} bytes for {raw}");
}

#[test]
fn a_journal_of_the_first_format_is_packed_when_it_is_driven_on() {
    let state = State::new();
    append(&mut state.create(), &(0..300).map(reading).collect::<Vec<_>>());
    state
        .raw()
        .execute_batch("DROP TABLE sample_packs; DROP INDEX decisions_by_kind; PRAGMA user_version = 1")
        .unwrap();
    let before = reader(&state.store);
    assert_eq!(before.arrived(1, 1_000).unwrap().len(), 300);
    assert!(before.newest("latency3", i64::MAX, i64::MAX, 5).unwrap().len() == 5);
    assert!(!before.has_kind("kind0").unwrap());
    let mut journal = state.store.open_run(&run(), &me()).unwrap();
    append(&mut journal, &(300..MANY).map(reading).collect::<Vec<_>>());
    assert!(rows_and_packs(&state).1 > 0);
    // Who reads along since before the change of format misses nothing.
    assert_eq!(before.arrived(1, u32::MAX).unwrap().len(), MANY as usize);
}

#[test]
fn a_damaged_pack_is_an_error_and_the_run_goes_on() {
    let state = State::new();
    append(&mut state.create(), &(0..MANY).map(reading).collect::<Vec<_>>());
    let damaged = state.raw().execute("UPDATE sample_packs SET body = x'1f8b0800' WHERE first = 1", []).unwrap();
    assert_eq!(damaged, 20);
    let reader = reader(&state.store);
    let error = reader.arrived(1, 1).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("journal.db"), "{error}");
    assert_eq!(reader.arrived(i64::from(MANY), 1).unwrap().len(), 1);
    let mut journal = state.store.open_run(&run(), &me()).unwrap();
    journal.append(&[new_record(1)]).unwrap();
    append(&mut journal, &(0..MANY).map(reading).collect::<Vec<_>>());
}
