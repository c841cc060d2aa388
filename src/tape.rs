//! What is kept of a run besides its facts, so that its screens can be shown again: each reading as it arrived, the
//! board now and then, and what jobs printed. It lies among the journal's samples, in the order of arrival.
//!
//! It decides nothing and may be lost: facts carry their own evidence.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::core::board::Board;
use crate::core::ids::ProbeId;
use crate::core::job::{JobKey, Stream};
use crate::core::reading::{Failure, Reading};
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::journal::{JournalError, Reader, Sample};
use crate::recent::{Line, OutputTail};

/// Source of the samples that hold a whole board. No probe has such a name.
pub const BOARD: &str = ">board";

/// Source of the board with which a driver begins: whatever was seen before it is forgotten.
pub const OPENED: &str = ">opened";

/// Source of the samples that hold what jobs printed.
pub const OUTPUT: &str = ">output";

/// Readings after which the board is kept again: a replay looks at no more than these to know it at any moment.
const BOARD_EVERY: u32 = 500;

/// Lines that may wait to be kept: as many as are on screen at most.
const LINES_WAITING: usize = OutputTail::KEPT;

/// Lines kept a second while jobs print without end.
const LINES_A_SECOND: u64 = 20;

/// Where something stands in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When it arrived at the driver.
    pub arrived: At,
    /// Number of the newest fact that was durable then; 0 for none.
    pub after: u64,
    /// Whether the decision behind that fact had been made already, without knowing of this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// A reading as it is kept.
#[derive(Serialize)]
struct HeardRef<'a> {
    #[serde(flatten)]
    reading: &'a Reading,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse: Option<u32>,
}

/// A reading with its place. Journals of earlier versions have readings without one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Heard {
    probe: ProbeId,
    at: At,
    took: Span,
    result: Result<Value, Failure>,
    /// For a reading that stands for a quiet time: how many more stand for the same.
    #[serde(default)]
    pub lapse: Option<u32>,
}

impl Heard {
    /// The reading.
    pub fn reading(self) -> Reading {
        Reading { probe: self.probe, at: self.at, took: self.took, result: self.result }
    }
}

/// The place of a kept thing, whatever it is; for a reading without one, when its measurement ended.
#[derive(Debug, Deserialize)]
struct Placed {
    arrived: Option<At>,
    after: Option<u64>,
    #[serde(default)]
    late: bool,
    at: Option<At>,
    took: Option<Span>,
}

/// The place of a sample: exact, or as near as an earlier version's record lets one say. Then the error says when it
/// arrived.
///
/// # Errors
///
/// When the record does not say behind which fact it arrived.
pub fn place_of(sample: &Sample) -> Result<Place, At> {
    let Ok(placed) = serde_json::from_str::<Placed>(&sample.body) else { return Err(At(sample.at_ms)) };
    let ended = || placed.at.unwrap_or(At(sample.at_ms)).plus(placed.took.unwrap_or_default());
    let arrived = placed.arrived.unwrap_or_else(ended);
    let late = placed.late;
    placed.after.map(|after| Place { arrived, after, late }).ok_or(arrived)
}

/// When a sample arrived.
pub fn arrived(sample: &Sample) -> At {
    place_of(sample).map_or_else(|arrived| arrived, |place| place.arrived)
}

/// A kept reading, when it arrived, and whether it stands for a quiet time. `None` for what is no reading.
pub fn heard(sample: &Sample) -> Option<(At, Reading, bool)> {
    let heard: Heard = serde_json::from_str(&sample.body).ok()?;
    let lapsed = heard.lapse.is_some();
    Some((arrived(sample), heard.reading(), lapsed))
}

#[derive(Serialize)]
struct BoardRef<'a> {
    #[serde(flatten)]
    place: Place,
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
    place: Place,
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
    pub said: Vec<Said>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Lines of one job in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Which job.
    pub key: JobKey,
    /// Where.
    pub stream: Stream,
    /// The lines.
    pub lines: Vec<String>,
}

/// Writes down what arrives at a driver.
#[derive(Debug)]
pub struct Tape {
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

impl Tape {
    /// The tape of a driver that comes after that many facts.
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

    /// A decision was made: what arrives before it is durable comes too late for it.
    pub fn decided(&mut self) {
        self.late = true;
    }

    /// Facts up to this one are durable.
    pub fn durable(&mut self, seq: u64) {
        self.after = seq;
        self.late = false;
    }

    fn place(&self, now: At) -> Place {
        Place { arrived: now, after: self.after, late: self.late }
    }

    /// A reading arrived; `lapse` for one of several that stand for a quiet time: how many more do.
    pub fn heard(&mut self, now: At, reading: &Reading, lapse: Option<u32>) -> Option<Sample> {
        self.since_board += 1;
        let body = serde_json::to_string(&HeardRef { reading, place: self.place(now), lapse }).ok()?;
        Some(Sample { at_ms: reading.at.0, source: reading.probe.to_string(), body })
    }

    /// The board a driver begins with.
    pub fn opened(&mut self, now: At, board: &Board) -> Option<Sample> {
        self.keep(OPENED, now, board)
    }

    /// The board, when it is time to keep it.
    pub fn board(&mut self, now: At, board: &Board) -> Option<Sample> {
        if self.since_board < BOARD_EVERY { None } else { self.keep(BOARD, now, board) }
    }

    /// The board, since it did not come about by readings.
    pub fn board_anew(&mut self, now: At, board: &Board) -> Option<Sample> {
        self.keep(BOARD, now, board)
    }

    fn keep(&mut self, source: &str, now: At, board: &Board) -> Option<Sample> {
        self.since_board = 0;
        let body = serde_json::to_string(&BoardRef { place: self.place(now), board }).ok()?;
        Some(Sample { at_ms: now.0, source: source.to_owned(), body })
    }

    /// A job printed a line.
    pub fn said(&mut self, line: &Line) {
        if self.waiting.len() == LINES_WAITING {
            self.waiting.pop_front();
            self.skipped += 1;
        }
        self.waiting.push_back(line.clone());
    }

    /// Lines came faster than the cockpit could look at them.
    pub fn dropped(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
    }

    /// So many samples were not kept since the driver came. That is kept with what is said next.
    pub fn unkept(&mut self, samples: u64) {
        self.unkept = samples;
    }

    /// Everything said so far: whoever looks at the fact that follows sees it.
    pub fn output(&mut self, now: At) -> Option<Sample> {
        self.hand_out(now, usize::MAX)
    }

    /// What was said, at most once a second and no more than there is room for.
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
        let mut said: Vec<Said> = Vec::new();
        for line in self.waiting.drain(..count) {
            match said.last_mut().filter(|said| said.key == line.key && said.stream == line.stream) {
                Some(said) => said.lines.push(line.text),
                None => said.push(Said { key: line.key, stream: line.stream, lines: vec![line.text] }),
            }
        }
        let skipped = std::mem::take(&mut self.skipped);
        let kept = KeptOutput { place: self.place(now), skipped, dropped: self.dropped, unkept: self.unkept, said };
        let body = serde_json::to_string(&kept).ok()?;
        Some(Sample { at_ms: now.0, source: OUTPUT.to_owned(), body })
    }
}

/// How many samples of a run were not kept, by all its drivers, as far as they could still say.
///
/// # Errors
///
/// When samples cannot be read.
pub fn unkept(reader: &Reader) -> Result<u64, JournalError> {
    // Each driver counts anew: the last word before the next one comes is the whole of it.
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

    fn line(text: &str) -> Line {
        let key = JobKey { step: "s".into(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
        Line { key, stream: Stream::Out, text: text.to_owned() }
    }

    #[test]
    fn a_reading_comes_back_with_its_place_and_one_without_place_when_it_ended() {
        let reading = Reading {
            probe: "p".into(),
            at: At(1_000),
            took: Span(7),
            result: Ok(Value::map([("x", Value::Float(0.1 + 0.2)), ("n", Value::Float(1.0))])),
        };
        let mut tape = Tape::new(4, At(0));
        let sample = tape.heard(At(1_009), &reading, Some(2)).unwrap();
        assert_eq!(place_of(&sample), Ok(Place { arrived: At(1_009), after: 4, late: false }));
        let heard: Heard = serde_json::from_str(&sample.body).unwrap();
        assert_eq!((heard.lapse, heard.reading()), (Some(2), reading.clone()));
        let old = Sample { body: serde_json::to_string(&reading).unwrap(), ..sample };
        assert_eq!(place_of(&old), Err(At(1_007)));
        assert_eq!(serde_json::from_str::<Heard>(&old.body).unwrap().reading(), reading);

        tape.decided();
        let late = place_of(&tape.heard(At(1_009), &reading, None).unwrap()).unwrap();
        tape.durable(5);
        let next = place_of(&tape.heard(At(1_009), &reading, None).unwrap()).unwrap();
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
            let mut tape = Tape::new(0, now);
            let mut samples = vec![tape.opened(now, &Board::default()).unwrap()];
            for count in counts {
                now = now.plus(Span::secs(1));
                tape.said(&line("x"));
                tape.unkept(count);
                samples.extend(tape.output_in_time(now));
            }
            journal.append_samples(&samples).unwrap();
        }
        assert_eq!(unkept(&store.read_run(&id).unwrap()).unwrap(), 127);
    }

    #[test]
    fn a_flood_of_output_is_kept_at_a_bounded_rate_and_what_is_left_out_is_counted() {
        let mut tape = Tape::new(0, At(0));
        let (mut kept, mut skipped) = (0, 0);
        for second in 1..=100_i64 {
            for _ in 0..10_000 {
                tape.said(&line("x"));
            }
            let sample = tape.output_in_time(At(second * 1_000)).unwrap();
            let output: KeptOutput = serde_json::from_str(&sample.body).unwrap();
            kept += output.said.iter().map(|said| said.lines.len()).sum::<usize>();
            skipped += output.skipped;
        }
        assert!(kept <= LINES_WAITING + 100 * usize::try_from(LINES_A_SECOND).unwrap(), "{kept}");
        let rest: KeptOutput = serde_json::from_str(&tape.output(At(100_000)).unwrap().body).unwrap();
        let rest_lines: usize = rest.said.iter().map(|said| said.lines.len()).sum();
        assert_eq!(kept as u64 + rest_lines as u64 + skipped + rest.skipped, 1_000_000);
    }
}
