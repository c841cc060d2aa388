//! Samples: what the journal keeps besides facts, so that a run's screens can be shown again.
//!
//! They are each reading as it arrived, the board at intervals, and what jobs printed, in the order of arrival. No
//! decision rests on them and they may be lost: facts carry their own evidence.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::core::board::Board;
use crate::core::ids::ProbeId;
use crate::core::job::{JobKey, Stream};
use crate::core::moves::Moves;
use crate::core::reading::{Failure, Reading};
use crate::core::server::Servers;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::history::{Line, OutputTail};
use crate::journal::{JournalError, Reader, Sample};

/// Source of the samples that hold a whole board. No probe has such a name.
pub const BOARD: &str = ">board";

/// Source of the board with which a driver begins: what was measured before it no longer counts.
pub const OPENED: &str = ">opened";

/// Source of the samples that hold what jobs printed.
pub const OUTPUT: &str = ">output";

/// Readings after which the board is stored again, so that a replay needs at most these to know the board at any
/// moment.
const BOARD_EVERY: u32 = 500;

/// Lines that may wait to be kept: as many as are on screen at most.
const LINES_WAITING: usize = OutputTail::KEPT;

/// Lines kept a second while jobs print without end.
const LINES_A_SECOND: u64 = 20;

/// When something arrived, and behind which fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// When it arrived at the driver.
    pub arrived: At,
    /// Number of the newest fact that was durable then; 0 for none.
    pub after: u64,
    /// Whether the decision behind that fact had been made already, without knowing of this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// A reading as the sample log stores it.
#[derive(Serialize)]
struct ReadingRef<'a> {
    #[serde(flatten)]
    reading: &'a Reading,
    #[serde(flatten)]
    arrival: Arrival,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse: Option<u32>,
}

/// A reading with its arrival. Journals of earlier versions have readings without one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct KeptReading {
    probe: ProbeId,
    at: At,
    took: Span,
    #[serde(default)]
    as_of: Option<At>,
    result: Result<Value, Failure>,
    #[serde(default)]
    servers: Servers,
    #[serde(default)]
    moves: Moves,
    /// For one of several readings that stand for the same quiet time: how many more of them follow.
    #[serde(default)]
    pub lapse: Option<u32>,
    /// When it arrived at the driver.
    arrived: Option<At>,
}

impl KeptReading {
    /// When it arrived; for a reading of an earlier version, the end of its measurement.
    fn arrived(&self) -> At {
        self.arrived.unwrap_or_else(|| self.at.plus(self.took))
    }

    /// The reading.
    pub fn reading(self) -> Reading {
        let Self { probe, at, took, as_of, result, servers, moves, .. } = self;
        Reading { probe, at, took, as_of, result, servers, moves }
    }
}

/// The arrival of any sample; for a reading without one, the end of its measurement.
#[derive(Debug, Deserialize)]
struct Placed {
    arrived: Option<At>,
    after: Option<u64>,
    #[serde(default)]
    late: bool,
    at: Option<At>,
    took: Option<Span>,
}

/// Reads when a sample arrived and behind which fact. For a sample of an earlier version the error says when it arrived,
/// as estimated from its measurement.
///
/// # Errors
///
/// When the record does not say behind which fact it arrived.
pub fn arrival_of(sample: &Sample) -> Result<Arrival, At> {
    let Ok(placed) = serde_json::from_str::<Placed>(&sample.body) else { return Err(At(sample.at_ms)) };
    let ended = || placed.at.unwrap_or(At(sample.at_ms)).plus(placed.took.unwrap_or_default());
    let arrived = placed.arrived.unwrap_or_else(ended);
    let late = placed.late;
    placed.after.map(|after| Arrival { arrived, after, late }).ok_or(arrived)
}

/// Reads when a sample arrived.
pub fn arrived(sample: &Sample) -> At {
    arrival_of(sample).map_or_else(|arrived| arrived, |arrival| arrival.arrived)
}

/// Reads a kept reading: when it arrived, the reading, and whether it stands for quiet time. `None` for any other sample.
pub fn reading_of(sample: &Sample) -> Option<(At, Reading, bool)> {
    let kept: KeptReading = serde_json::from_str(&sample.body).ok()?;
    let quiet = kept.lapse.is_some();
    Some((kept.arrived(), kept.reading(), quiet))
}

/// Samples by what they are of and when they were taken, for somebody who asks for few of them at a time, and often.
pub struct SamplesByProbe<'a>(BTreeMap<&'a str, Vec<&'a Sample>>);

impl<'a> SamplesByProbe<'a> {
    /// Sorts samples. Those of one moment stay in their order.
    pub fn new(samples: &'a [Sample]) -> Self {
        let mut sorted: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            sorted.entry(&sample.source).or_default().push(sample);
        }
        for of_probe in sorted.values_mut() {
            of_probe.sort_by_key(|sample| sample.at_ms);
        }
        Self(sorted)
    }

    /// The readings of a probe taken in a range of Unix milliseconds, as [`reading_of`] tells them.
    pub fn readings(&self, probe: &ProbeId, range: Range<i64>) -> Vec<(At, Reading, bool)> {
        let of_probe = self.0.get(probe.as_str()).map(Vec::as_slice).unwrap_or_default();
        let first = of_probe.partition_point(|sample| sample.at_ms < range.start);
        let meant = of_probe.iter().skip(first).take_while(|sample| sample.at_ms < range.end);
        meant.filter_map(|sample| reading_of(sample)).collect()
    }
}

#[derive(Serialize)]
struct BoardRef<'a> {
    #[serde(flatten)]
    arrival: Arrival,
    board: &'a Board,
}

/// A whole board.
#[derive(Debug, Deserialize)]
pub struct KeptBoard {
    /// The board, as [`Board::restored`] takes it.
    pub board: Board,
}

/// Lines of output, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptOutput {
    #[serde(flatten)]
    arrival: Arrival,
    /// Lines left out before these because they came too fast to be kept.
    #[serde(default)]
    pub skipped: u64,
    /// Lines that the cockpit itself had not got to see since the driver came.
    #[serde(default)]
    pub dropped: u64,
    /// Samples that were not kept since the driver came: the disk was too slow.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unkept: u64,
    /// The lines, job by job.
    pub said: Vec<KeptLines>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Lines of one job in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptLines {
    /// Which job.
    pub key: JobKey,
    /// Where.
    pub stream: Stream,
    /// The lines.
    pub lines: Vec<String>,
}

/// Makes samples of what arrives at a driver.
#[derive(Debug)]
pub struct SampleLog {
    after: u64,
    late: bool,
    since_board: u32,
    waiting: VecDeque<Line>,
    skipped: u64,
    dropped: u64,
    dropped_kept: u64,
    unkept: u64,
    unkept_told: u64,
    budget: u64,
    refilled: At,
}

impl SampleLog {
    /// The log of a driver that begins after fact number `after`.
    pub fn new(after: u64, now: At) -> Self {
        Self {
            after,
            late: false,
            since_board: 0,
            waiting: VecDeque::new(),
            skipped: 0,
            dropped: 0,
            dropped_kept: 0,
            unkept: 0,
            unkept_told: 0,
            budget: LINES_WAITING as u64,
            refilled: now,
        }
    }

    /// Notes that a decision was made: what arrives before it is durable comes too late for it.
    pub fn decided(&mut self) {
        self.late = true;
    }

    /// Notes that facts up to this one are durable.
    pub fn durable(&mut self, seq: u64) {
        self.after = seq;
        self.late = false;
    }

    fn arrival(&self, now: At) -> Arrival {
        Arrival { arrived: now, after: self.after, late: self.late }
    }

    /// Makes the sample of a reading. `lapse` for one of several that stand for quiet time: how many more follow.
    pub fn reading(&mut self, now: At, reading: &Reading, lapse: Option<u32>) -> Option<Sample> {
        self.since_board += 1;
        let body = serde_json::to_string(&ReadingRef { reading, arrival: self.arrival(now), lapse }).ok()?;
        Some(Sample { at_ms: reading.at.0, source: reading.probe.to_string(), body })
    }

    /// Makes the sample of the board a driver begins with.
    pub fn opened(&mut self, now: At, board: &Board) -> Option<Sample> {
        self.keep(OPENED, now, board)
    }

    /// Makes a sample of the board when enough readings have come since the last one.
    pub fn board(&mut self, now: At, board: &Board) -> Option<Sample> {
        if self.since_board < BOARD_EVERY { None } else { self.keep(BOARD, now, board) }
    }

    /// Makes a sample of a board that did not come about by readings.
    pub fn board_anew(&mut self, now: At, board: &Board) -> Option<Sample> {
        self.keep(BOARD, now, board)
    }

    fn keep(&mut self, source: &str, now: At, board: &Board) -> Option<Sample> {
        self.since_board = 0;
        let body = serde_json::to_string(&BoardRef { arrival: self.arrival(now), board }).ok()?;
        Some(Sample { at_ms: now.0, source: source.to_owned(), body })
    }

    /// Notes that a job printed a line.
    pub fn line(&mut self, line: &Line) {
        if self.waiting.len() == LINES_WAITING {
            self.waiting.pop_front();
            self.skipped += 1;
        }
        self.waiting.push_back(line.clone());
    }

    /// Notes that lines came faster than the cockpit could look at them.
    pub fn dropped(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
    }

    /// Notes that so many samples in all were not kept since the driver came. The next sample of output says so.
    pub fn unkept(&mut self, samples: u64) {
        self.unkept = samples;
    }

    /// Makes a sample of all lines so far, so that a replay at the fact that follows shows them.
    pub fn output(&mut self, now: At) -> Option<Sample> {
        self.hand_out(now, usize::MAX)
    }

    /// Makes a sample of the lines so far, at most once a second and at a bounded rate.
    pub fn output_in_time(&mut self, now: At) -> Option<Sample> {
        let passed = now.since(self.refilled).0 / 1_000;
        if passed == 0 {
            return None;
        }
        self.refilled = now;
        self.budget = self.budget.saturating_add(passed.saturating_mul(LINES_A_SECOND)).min(LINES_WAITING as u64);
        self.hand_out(now, usize::try_from(self.budget).unwrap_or(usize::MAX))
    }

    fn hand_out(&mut self, now: At, most: usize) -> Option<Sample> {
        let count = self.waiting.len().min(most);
        if count == 0 && self.dropped == self.dropped_kept && self.unkept == self.unkept_told {
            return None;
        }
        self.unkept_told = self.unkept;
        self.budget = self.budget.saturating_sub(count as u64);
        self.dropped_kept = self.dropped;
        let mut said: Vec<KeptLines> = Vec::new();
        for line in self.waiting.drain(..count) {
            match said.last_mut().filter(|said| said.key == line.key && said.stream == line.stream) {
                Some(said) => said.lines.push(line.text),
                None => said.push(KeptLines { key: line.key, stream: line.stream, lines: vec![line.text] }),
            }
        }
        let skipped = std::mem::take(&mut self.skipped);
        let kept = KeptOutput { arrival: self.arrival(now), skipped, dropped: self.dropped, unkept: self.unkept, said };
        let body = serde_json::to_string(&kept).ok()?;
        Some(Sample { at_ms: now.0, source: OUTPUT.to_owned(), body })
    }
}

/// Counts the samples of a run that were not kept, over all its drivers, as far as they could still say.
///
/// # Errors
///
/// When samples cannot be read.
pub fn unkept(reader: &Reader) -> Result<u64, JournalError> {
    // Each driver counts from zero: its last sample of output has the whole count.
    let (mut unkept, mut before) = (0_u64, i64::MAX);
    loop {
        let opened = reader.newest(OPENED, before, i64::MAX, 1)?.pop().map_or(i64::MIN, |(id, _)| id);
        let last = reader.newest(OUTPUT, before, i64::MAX, 1)?.pop().filter(|(id, _)| *id > opened);
        let told = last.and_then(|(_, sample)| serde_json::from_str::<KeptOutput>(&sample.body).ok());
        unkept = unkept.saturating_add(told.map_or(0, |kept| kept.unkept));
        if opened == i64::MIN {
            return Ok(unkept);
        }
        before = opened;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;
    use crate::core::ids::Attempt;
    use crate::core::job::Direction;
    use crate::core::server::ServerIdentity;

    fn line(text: &str) -> Line {
        let key = JobKey { step: "s".into(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
        Line { key, stream: Stream::Out, text: text.to_owned() }
    }

    #[test]
    fn a_reading_comes_back_with_its_arrival_and_one_without_it_arrived_when_it_ended() {
        let reading = Reading {
            probe: "p".into(),
            at: At(1_000),
            took: Span(7),
            as_of: Some(At(400)),
            result: Ok(Value::map([("x", Value::Float(0.1 + 0.2)), ("n", Value::Float(1.0))])),
            servers: [("db".into(), ServerIdentity::new([("started", Some("then".to_owned()))]))].into(),
            moves: Moves { count: 2, newest: "a → b".to_owned(), addresses: 3, address: "b".to_owned() },
        };
        let mut log = SampleLog::new(4, At(0));
        let sample = log.reading(At(1_009), &reading, Some(2)).unwrap();
        assert_eq!(arrival_of(&sample), Ok(Arrival { arrived: At(1_009), after: 4, late: false }));
        let heard: KeptReading = serde_json::from_str(&sample.body).unwrap();
        assert_eq!((heard.lapse, heard.reading()), (Some(2), reading.clone()));
        let old = Sample { body: serde_json::to_string(&reading).unwrap(), ..sample };
        assert_eq!(arrival_of(&old), Err(At(1_007)));
        assert_eq!(serde_json::from_str::<KeptReading>(&old.body).unwrap().reading(), reading);

        log.decided();
        let late = arrival_of(&log.reading(At(1_009), &reading, None).unwrap()).unwrap();
        log.durable(5);
        let next = arrival_of(&log.reading(At(1_009), &reading, None).unwrap()).unwrap();
        assert_eq!(((late.after, late.late), (next.after, next.late)), ((4, true), (5, false)));
    }

    #[test]
    fn what_was_not_kept_is_counted_over_all_drivers() {
        use crate::journal::{Holder, Ledger as _, NewRun, Store};
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let id = "20261124-0214-7f3a".parse().unwrap();
        let (runbook, labels) = (Vec::new(), std::collections::BTreeMap::new());
        let new = NewRun { created_at: jiff::Timestamp::UNIX_EPOCH, title: "t".to_owned(), runbook, labels };
        let holder = Holder::rehearsing("test", jiff::Timestamp::UNIX_EPOCH);
        let mut journal = store.create_run(&id, &new, &holder).unwrap();
        assert_eq!(unkept(&store.read_run(&id).unwrap()).unwrap(), 0);
        for (session, counts) in [[0, 40, 120], [0, 0, 0], [7, 7, 7]].into_iter().enumerate() {
            let mut now = At(i64::try_from(session).unwrap() * 60_000);
            let mut log = SampleLog::new(0, now);
            let mut samples = vec![log.opened(now, &Board::default()).unwrap()];
            for count in counts {
                now = now.plus(Span::secs(1));
                log.line(&line("x"));
                log.unkept(count);
                samples.extend(log.output_in_time(now));
            }
            journal.append_samples(&samples).unwrap();
        }
        assert_eq!(unkept(&store.read_run(&id).unwrap()).unwrap(), 127);
    }

    #[test]
    fn a_flood_of_output_is_kept_at_a_bounded_rate_and_what_is_left_out_is_counted() {
        let mut log = SampleLog::new(0, At(0));
        let (mut kept, mut skipped) = (0, 0);
        for second in 1..=100_i64 {
            for _ in 0..10_000 {
                log.line(&line("x"));
            }
            let sample = log.output_in_time(At(second * 1_000)).unwrap();
            let output: KeptOutput = serde_json::from_str(&sample.body).unwrap();
            kept += output.said.iter().map(|said| said.lines.len()).sum::<usize>();
            skipped += output.skipped;
        }
        assert!(kept <= LINES_WAITING + 100 * usize::try_from(LINES_A_SECOND).unwrap(), "{kept}");
        let rest: KeptOutput = serde_json::from_str(&log.output(At(100_000)).unwrap().body).unwrap();
        let rest_lines: usize = rest.said.iter().map(|said| said.lines.len()).sum();
        assert_eq!(kept as u64 + rest_lines as u64 + skipped + rest.skipped, 1_000_000);
    }
}
