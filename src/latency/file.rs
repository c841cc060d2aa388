//! The file of a baseline: recordings of one probe's requests that a reviewer can read and a judge can use.
//!
//! It is JSON. Beside each histogram (`HdrHistogram` V2, compressed, base64, microseconds) stand the figures that a
//! reviewer reads; they must agree with it. A checksum over the recordings tells damage; the name of the runbook stands
//! outside it, so that a runbook may get another title without an hour of measuring.

use std::collections::BTreeMap;
use std::io::Read;

use data_encoding::BASE64;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::samples::{LatencySamples, QUANTILES, float};
use crate::core::time::Span;

/// What the file says it is.
const FORMAT: &str = "gonogo latency baseline";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Largest file in bytes: a recording of one request takes a few kilobytes.
pub const LARGEST_BASELINE: u64 = 4 * 1024 * 1024;
/// Largest histogram in bytes, unpacked: three digits up to the longest time there is take far less.
const LARGEST_HISTOGRAM: u64 = 1024 * 1024;
/// Most requests of one kind in one recording: at a hundred a second, more than a day. The judge counts through them.
pub const MOST_REQUESTS: u64 = 10_000_000;
/// Significant digits of a histogram.
const DIGITS: u8 = 3;
/// The cookie and the length before a compressed histogram, and before the counts of the one within.
const HEAD: usize = 8;
const INNER_HEAD: usize = 40;

/// A baseline: recordings of the requests of one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineFile {
    format: String,
    version: u32,
    /// Title of the runbook that it was recorded with.
    pub runbook: String,
    /// The probe that measured it.
    pub probe: String,
    /// What the probe asked for, for the reader.
    pub asks: Vec<String>,
    /// SHA-256 over everything the probe asks for, in hexadecimal: a probe that asks for something else has another.
    pub asks_digest: String,
    /// The recordings, the oldest first.
    pub recordings: Vec<BaselineRecording>,
    /// SHA-256 over `asks_digest` and the recordings, in hexadecimal.
    checksum: String,
}

/// One recording: all requests of one side over one stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineRecording {
    /// The side that was measured.
    pub side: String,
    /// When it began: RFC 3339 with the offset of the zone there.
    pub began: String,
    /// The name of that zone.
    pub zone: String,
    /// How long it lasted, in seconds.
    pub seconds: u64,
    /// Milliseconds from one request to the next.
    pub every_ms: u64,
    /// Milliseconds after which a request was given up.
    pub limit_ms: u64,
    /// The machine that measured.
    pub from: String,
    /// Each kind of request by its name.
    pub requests: BTreeMap<String, BaselineRequest>,
}

/// What was measured of one kind of request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineRequest {
    /// How many requests ended.
    pub total: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Percentiles of the successes in milliseconds; null when there is none.
    pub p50_ms: Option<f64>,
    /// The 95th.
    pub p95_ms: Option<f64>,
    /// The 99th.
    pub p99_ms: Option<f64>,
    /// How far slow requests come in clusters, for p50, p95 and p99: so many in a row tell as much as one.
    pub clustering: [f64; 3],
    /// The successes' times in microseconds: `HdrHistogram` V2, compressed, in base64.
    pub histogram: String,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no JSON, or not of this form.
    #[error("this is no baseline that this program reads: {0}")]
    Unreadable(String),
    /// It is some other JSON.
    #[error("this is no latency baseline: `format` is not \"{FORMAT}\"")]
    Foreign,
    /// A later or earlier version of the format.
    #[error("this baseline is of version {0}, and this program reads version {VERSION}: record it anew")]
    Version(u64),
    /// It is too long.
    #[error("a baseline has at most {} MiB", LARGEST_BASELINE / 1024 / 1024)]
    TooLarge,
    /// Something in it was changed or cut off.
    #[error("the baseline is damaged: {0}")]
    Damaged(String),
    /// There is nothing in it to compare with.
    #[error("the baseline is empty: {0}")]
    Empty(String),
    /// It was recorded with another runbook.
    #[error("the baseline was recorded with the runbook \"{recorded}\", and this one is \"{present}\"")]
    OtherRunbook {
        /// The title in the file.
        recorded: String,
        /// The title of the runbook that names it.
        present: String,
    },
    /// It was recorded with another probe.
    #[error("the baseline was recorded by the probe `{recorded}`, and this one is `{present}`")]
    OtherProbe {
        /// The probe in the file.
        recorded: String,
        /// The probe that names it.
        present: String,
    },
    /// Its probe asked for something else.
    #[error("the baseline was recorded with other requests: {recorded}; this probe asks: {present}")]
    OtherRequests {
        /// What was asked for then.
        recorded: String,
        /// What is asked for now.
        present: String,
    },
    /// Requests were given up earlier or later then.
    #[error(
        "the baseline has a recording in which requests were given up after {recorded}, and this probe gives up after {present} (`limit`): what is slow in one is a failure in the other"
    )]
    OtherLimit {
        /// The limit of a recording.
        recorded: Span,
        /// The limit of the probe.
        present: Span,
    },
}

/// What a baseline is for: it may only be held against what the same probe of the same runbook asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineSubject {
    /// Title of the runbook.
    pub runbook: String,
    /// The probe.
    pub probe: String,
    /// What it asks for, for the reader.
    pub asks: Vec<String>,
    /// Everything that it asks for, in one text of fixed form.
    pub asked: String,
    /// When it gives a request up.
    pub limit: Span,
}

impl BaselineSubject {
    fn digest(&self) -> String {
        sha256(&self.asked)
    }
}

impl BaselineFile {
    /// A baseline without recordings.
    pub fn new(subject: &BaselineSubject) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            runbook: subject.runbook.clone(),
            probe: subject.probe.clone(),
            asks: subject.asks.clone(),
            asks_digest: subject.digest(),
            recordings: Vec::new(),
            checksum: String::new(),
        }
    }

    /// Reads a file and checks that it is whole.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        if text.len() as u64 > LARGEST_BASELINE {
            return Err(BaselineError::TooLarge);
        }
        let unreadable = |error: serde_json::Error| BaselineError::Unreadable(error.to_string());
        if text.trim().is_empty() {
            return Err(BaselineError::Empty("there is nothing in the file".to_owned()));
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(BaselineError::Foreign);
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version != u64::from(VERSION) {
            return Err(BaselineError::Version(version));
        }
        // From the text, which refuses a key that stands twice.
        let file: Self = serde_json::from_str(text).map_err(unreadable)?;
        if file.checksum != file.sum() {
            return Err(BaselineError::Damaged("its checksum is not that of its recordings".to_owned()));
        }
        if file.recordings.is_empty() {
            return Err(BaselineError::Empty("it has no recordings".to_owned()));
        }
        for recording in &file.recordings {
            let place = format!("the recording of {}", recording.began);
            if recording.moment().is_none() {
                return Err(BaselineError::Damaged(format!("{place}: this is no moment")));
            }
            if recording.requests.is_empty() {
                return Err(BaselineError::Empty(format!("{place} has no requests")));
            }
            for (name, request) in &recording.requests {
                let samples = request.samples().map_err(|why| BaselineError::Damaged(format!("{place}: {why}")))?;
                if samples.succeeded() == 0 {
                    return Err(BaselineError::Empty(format!("in {place} no request {name} succeeded")));
                }
            }
        }
        Ok(file)
    }

    /// Whether it may be held against what this probe measures.
    ///
    /// # Errors
    ///
    /// What differs: what is asked for, also where only its words for the reader do, the limit, the runbook or the probe.
    pub fn check(&self, subject: &BaselineSubject) -> Result<(), BaselineError> {
        if self.asks != subject.asks {
            let [recorded, present] = [&self.asks, &subject.asks].map(|asks| asks.join(", "));
            return Err(BaselineError::OtherRequests { recorded, present });
        }
        if let Some(other) = self.recordings.iter().find(|recording| recording.limit_ms != subject.limit.0) {
            return Err(BaselineError::OtherLimit { recorded: Span(other.limit_ms), present: subject.limit });
        }
        self.check_kept(subject)
    }

    /// The same for the copy that a run has kept, which was accepted when the run began.
    ///
    /// # Errors
    ///
    /// That it is of another runbook, probe or request.
    pub fn check_kept(&self, subject: &BaselineSubject) -> Result<(), BaselineError> {
        if self.asks_digest != subject.digest() {
            let [recorded, present] = [&self.asks, &subject.asks].map(|asks| asks.join(", "));
            return Err(BaselineError::OtherRequests { recorded, present });
        }
        if self.runbook != subject.runbook {
            let (recorded, present) = (self.runbook.clone(), subject.runbook.clone());
            return Err(BaselineError::OtherRunbook { recorded, present });
        }
        if self.probe != subject.probe {
            let (recorded, present) = (self.probe.clone(), subject.probe.clone());
            return Err(BaselineError::OtherProbe { recorded, present });
        }
        Ok(())
    }

    /// The file's text.
    pub fn write(&mut self) -> Result<String, BaselineError> {
        self.recordings.sort_by_key(BaselineRecording::moment);
        self.checksum = self.sum();
        let text = serde_json::to_string_pretty(self).map_err(|error| BaselineError::Unreadable(error.to_string()))?;
        Ok(text + "\n")
    }

    fn sum(&self) -> String {
        // Nothing in a recording fails to be written as JSON.
        sha256(&serde_json::to_string(&(&self.asks_digest, &self.recordings)).unwrap_or_default())
    }
}

impl BaselineRecording {
    /// When it began; none when the file says no moment.
    pub fn moment(&self) -> Option<Timestamp> {
        self.began.parse().ok()
    }

    /// When and where it was made, for sentences: `2026-11-20 09:00 Europe/Berlin on ops1`.
    pub fn told(&self) -> String {
        let minutes = self.began.get(..16).unwrap_or(&self.began).replace('T', " ");
        format!("{minutes} {} on {}", self.zone, self.from)
    }
}

impl BaselineRequest {
    /// What was measured, as a file keeps it.
    pub fn of(samples: &LatencySamples) -> Result<Self, BaselineError> {
        let damaged = |what: String| BaselineError::Damaged(what);
        let mut histogram = Histogram::<u64>::new(DIGITS).map_err(|error| damaged(error.to_string()))?;
        for (micros, times) in samples.counts() {
            histogram.record_n(micros, times).map_err(|error| damaged(error.to_string()))?;
        }
        let mut bytes = Vec::new();
        let packed = V2DeflateSerializer::new().serialize(&histogram, &mut bytes);
        packed.map_err(|error| damaged(error.to_string()))?;
        // Written as they will be read: a histogram keeps three digits.
        let kept = kept(&histogram, samples.failed(), samples.clustering());
        let [p50_ms, p95_ms, p99_ms] = QUANTILES.map(|share| kept.quantile(share).map(millis));
        Ok(Self {
            total: kept.total(),
            failed: kept.failed(),
            p50_ms,
            p95_ms,
            p99_ms,
            clustering: samples.clustering().map(|clustering| (clustering * 100.0).round() / 100.0),
            histogram: BASE64.encode(&bytes),
        })
    }

    /// What was measured; or why the file cannot be right.
    pub fn samples(&self) -> Result<LatencySamples, String> {
        let bytes = BASE64.decode(self.histogram.as_bytes()).map_err(|_| "a histogram is not base64".to_owned())?;
        if self.total > MOST_REQUESTS || self.failed > self.total {
            return Err(format!("a recording cannot have {} requests, {} of them failed", self.total, self.failed));
        }
        let histogram = unpack(&bytes)?;
        let samples = kept(&histogram, self.failed, self.clustering);
        let figures = QUANTILES.map(|share| samples.quantile(share).map(millis));
        if samples.total() != self.total || figures != [self.p50_ms, self.p95_ms, self.p99_ms] {
            return Err("its figures are not those of its histogram".to_owned());
        }
        Ok(samples)
    }
}

/// Unpacks a histogram within bounds: what it says about its own length is believed only as far as it is there.
fn unpack(bytes: &[u8]) -> Result<Histogram<u64>, String> {
    let broken = "a histogram cannot be unpacked";
    let packed = bytes.get(HEAD..).ok_or(broken)?;
    let mut plain = Vec::new();
    ZlibDecoder::new(packed).take(LARGEST_HISTOGRAM).read_to_end(&mut plain).map_err(|_| broken)?;
    let length = plain.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes).ok_or(broken)?;
    if u64::from(length) + INNER_HEAD as u64 != plain.len() as u64 {
        return Err(broken.to_owned());
    }
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut plain.as_slice()).map_err(|_| broken)?;
    if histogram.sigfig() != DIGITS {
        return Err("a histogram has another precision".to_owned());
    }
    Ok(histogram)
}

/// The samples of a histogram.
fn kept(histogram: &Histogram<u64>, failed: u64, clustering: [f64; 3]) -> LatencySamples {
    let counts = histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_since_last_iteration()));
    LatencySamples::of_counts(counts, failed, clustering)
}

fn millis(micros: u64) -> f64 {
    float(micros) / 1_000.0
}

fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> BaselineSubject {
        let text = |text: &str| text.to_owned();
        BaselineSubject {
            runbook: text("Move"),
            probe: text("latency"),
            asks: vec![text("GET /")],
            asked: text("GET /"),
            limit: Span(3_000),
        }
    }

    fn samples() -> LatencySamples {
        let took = (0..1_000u64).map(|at| (at % 50 != 0).then_some(20_000 + at * 37));
        LatencySamples::in_order(&took.collect::<Vec<_>>())
    }

    fn file() -> BaselineFile {
        let mut file = BaselineFile::new(&subject());
        file.recordings.push(BaselineRecording {
            side: "old".to_owned(),
            began: "2026-11-20T09:00:00+01:00".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            seconds: 500,
            every_ms: 500,
            limit_ms: 3_000,
            from: "ops1".to_owned(),
            requests: BTreeMap::from([("/".to_owned(), BaselineRequest::of(&samples()).unwrap())]),
        });
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let mut written = file();
        let read = BaselineFile::read(&written.write().unwrap()).unwrap();
        assert_eq!(read, written);
        read.check(&subject()).unwrap();
        let kept = read.recordings[0].requests["/"].samples().unwrap();
        let exact = samples();
        assert_eq!((kept.total(), kept.failed()), (1_000, 20));
        for share in QUANTILES {
            let (kept, exact) = (kept.quantile(share).unwrap(), exact.quantile(share).unwrap());
            assert!(kept.abs_diff(exact) * 1_000 <= exact, "{kept} for {exact}");
        }
    }

    #[test]
    fn a_reviewer_reads_the_figures() {
        let text = file().write().unwrap();
        for line in ["\"total\": 1000", "\"failed\": 20", "\"began\": \"2026-11-20T09:00:00+01:00\""] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn every_wrong_file_is_refused_in_its_own_words() {
        let good = file().write().unwrap();
        let of = |from: &str, to: &str| {
            assert!(good.contains(from), "{from} in {good}");
            BaselineFile::read(&good.replace(from, to)).unwrap_err().to_string()
        };
        let words = [
            of("\"version\": 1", "\"version\": 2"),
            of(FORMAT, "something else"),
            of("\"failed\": 20", "\"failed\": 2"),
            of("\"side\"", "\"sides\""),
            of("\"runbook\"", "\"side\": 1, \"runbook\""),
            BaselineFile::read("").unwrap_err().to_string(),
            BaselineFile::read(&good[..good.len() / 2]).unwrap_err().to_string(),
            BaselineFile::read(&BaselineFile::new(&subject()).write().unwrap()).unwrap_err().to_string(),
            BaselineFile::read(&" ".repeat(5 << 20)).unwrap_err().to_string(),
        ];
        let expected = [
            "this baseline is of version 2, and this program reads version 1: record it anew",
            "this is no latency baseline: `format` is not \"gonogo latency baseline\"",
            "the baseline is damaged: its checksum is not that of its recordings",
            "this is no baseline that this program reads: unknown field `sides`",
            "this is no baseline that this program reads: unknown field `side`",
            "the baseline is empty: there is nothing in the file",
            "this is no baseline that this program reads: EOF while parsing",
            "the baseline is empty: it has no recordings",
            "a baseline has at most 4 MiB",
        ];
        for (words, expected) in words.iter().zip(expected) {
            assert!(words.starts_with(expected), "{words}");
        }
    }

    #[test]
    fn damage_is_found_even_when_the_checksum_was_made_to_fit() {
        let damaged = |change: &dyn Fn(&mut BaselineRequest)| {
            let mut file = file();
            change(file.recordings[0].requests.get_mut("/").unwrap());
            BaselineFile::read(&file.write().unwrap()).unwrap_err().to_string()
        };
        for (change, why) in [
            (&(|of: &mut BaselineRequest| of.p95_ms = Some(1.0)) as &dyn Fn(&mut _), "not those of its histogram"),
            (&|of: &mut BaselineRequest| of.total = 1_001, "not those of its histogram"),
            (
                &|of: &mut BaselineRequest| (of.total, of.failed) = (u64::MAX, u64::MAX - 980),
                "cannot have 18446744073709551615",
            ),
            (&|of: &mut BaselineRequest| (of.total, of.failed) = (20_000_980, 20_000_000), "cannot have 20000980"),
            (&|of: &mut BaselineRequest| of.histogram.truncate(40), "cannot be unpacked"),
            (&|of: &mut BaselineRequest| of.histogram = "!".to_owned(), "is not base64"),
            (&|of: &mut BaselineRequest| of.histogram.clear(), "cannot be unpacked"),
        ] {
            let words = damaged(change);
            assert!(words.contains("damaged") && words.contains(why), "{words}");
        }
        let mut failed = LatencySamples::in_order(&[None; 20]);
        failed = LatencySamples::of_counts(failed.counts(), 20, [1.0; 3]);
        let words = damaged(&|of| *of = BaselineRequest::of(&failed).unwrap());
        assert!(words.contains("empty") && words.contains("no request / succeeded"), "{words}");
    }

    #[test]
    fn a_histogram_that_lies_about_its_length_costs_nothing() {
        use std::io::Write as _;
        let mut histogram = Histogram::<u64>::new(DIGITS).unwrap();
        histogram.record(5).unwrap();
        let mut plain = Vec::new();
        hdrhistogram::serialization::V2Serializer::new().serialize(&histogram, &mut plain).unwrap();
        plain[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let packed = |plain: &[u8]| {
            let mut packer = flate2::write::ZlibEncoder::new(vec![0; HEAD], flate2::Compression::fast());
            packer.write_all(plain).unwrap();
            packer.finish().unwrap()
        };
        assert!(unpack(&packed(&plain)).is_err());
        assert!(unpack(&packed(&vec![0; 64 << 20])).is_err());
    }

    #[test]
    fn another_probes_baseline_is_refused() {
        let mut file = file();
        file.write().unwrap();
        let with = |change: &dyn Fn(&mut BaselineSubject)| {
            let mut subject = subject();
            change(&mut subject);
            file.check(&subject).unwrap_err().to_string()
        };
        assert!(with(&|of| of.runbook = "Other".to_owned()).contains("with the runbook \"Move\""));
        assert!(with(&|of| of.probe = "other".to_owned()).contains("by the probe `latency`"));
        assert!(with(&|of| of.asked = "GET /cart".to_owned()).contains("with other requests"));
    }
}
