//! `baseline`: latencies recorded on a quiet day, shown and compared.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use jiff::ZonedDateTime;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::check::read_without_baselines;
use super::drive::{holder, only_looks, own_path, runtime};
use super::{CliError, Outcome, RunbookArgs, say, say_error};
use crate::clock::Clock;
use crate::core::ids::ProbeId;
use crate::core::kind::spec::AskedRequests;
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::latency::file::MOST_REQUESTS;
use crate::latency::judge::is_failing;
use crate::latency::{
    BaselineFile, BaselineRecording, BaselineRequest, BaselineSubject, Judgement, LatencySamples, LatencyVerdict,
    can_pass, fewest_to_pass, judge_fixed, nearest_recording,
};
use crate::runbook::{baseline_subject, baseline_text};
use crate::term::ColorChoice;
use crate::text::clean;
use crate::words;
use crate::world::World as _;
use crate::world::live::{LiveOptions, MeasuredOutcome, MeasuredRequest, SystemDns, Watching};

/// How often it is told how far a recording is.
const PROGRESS: Duration = Duration::from_secs(10);
/// How soon an interruption is seen.
const TICK: Duration = Duration::from_millis(100);

/// What to do with baselines.
#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// Measure with an `http` probe of a runbook and write, or add to, the file of its baseline; nothing else is done
    #[command(
        after_help = "Ctrl-C ends it early and writes what is there. Record at several times of day: the runbook is \
        judged against the recording of the nearest hour."
    )]
    Record(RecordArgs),
    /// Judge the recordings of one file against those of another
    #[command(
        after_help = "Each recording of MEASURED is judged against the recording of BASELINE that was made at the \
        nearest time of day.\n\nExit status: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 a file cannot be used."
    )]
    Compare {
        /// The file that it is judged against
        baseline: PathBuf,
        /// The file that is judged
        measured: PathBuf,
    },
    /// Print what a file holds
    Show {
        /// The file
        baseline: PathBuf,
    },
}

/// What to record, and how.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    runbook: RunbookArgs,
    /// How long, such as `10m` or `1h`
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    lasting: Span,
    /// The `http` probe; may be left out when there is only one
    #[arg(long, value_name = "PROBE")]
    probe: Option<String>,
    /// The side that is the baseline; may be left out when the probe has only one
    #[arg(long, value_name = "SIDE")]
    side: Option<String>,
    /// Also record a probe that acts on its targets, such as one that sends POST
    #[arg(long)]
    acting_probes: bool,
    /// The file [default: the one that the probe names as its `baseline`, else PROBE.baseline.json beside the runbook; with a profile
    /// that does not name one of its own, PROBE.PROFILE.baseline.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn baseline(command: &BaselineCommand, color: ColorChoice) -> Outcome {
    match command {
        BaselineCommand::Record(args) => record(args, color),
        BaselineCommand::Compare { baseline, measured } => compare(baseline, measured),
        BaselineCommand::Show { baseline } => show(baseline),
    }
}

/// Names in a sentence, or that there is none.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", clean(name))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The probe that was asked for, or the only one.
fn chosen<'p>(plan: &'p Plan, asked: Option<&str>) -> Result<(&'p ProbeId, AskedRequests<'p>), CliError> {
    let probes: Vec<_> = plan.probes.iter().filter_map(|(id, probe)| Some((id, probe.kind.requests()?))).collect();
    let names = listed(probes.iter().map(|(id, _)| id.as_str()));
    match (asked, probes.len()) {
        (Some(asked), _) => probes.into_iter().find(|(id, _)| id.as_str() == asked).ok_or_else(|| {
            CliError::usage(format!("there is no `http` probe `{}` in the runbook; it has: {names}", clean(asked)))
        }),
        (None, 1) => probes.into_iter().next().ok_or_else(|| CliError::usage("there is no `http` probe")),
        (None, 0) => Err(CliError::usage("the runbook has no `http` probe, and nothing else measures latencies")),
        (None, _) => Err(CliError::usage(format!("say with --probe which one is to be recorded: {names}"))),
    }
}

fn side<'a>(asked: &AskedRequests<'a>, wanted: Option<&str>) -> Result<&'a str, CliError> {
    let sides = listed(asked.sides.iter().copied());
    let found = match wanted {
        Some(wanted) => asked.sides.iter().copied().find(|side| *side == wanted),
        None if asked.sides.len() == 1 => asked.sides.first().copied(),
        None => return Err(CliError::usage(format!("say with --side which one is the baseline: {sides}"))),
    };
    found.ok_or_else(|| CliError::usage(format!("the probe has no such side; it has: {sides}")))
}

/// Reads a file, or says why it cannot be used.
fn opened(path: &Path) -> Result<BaselineFile, CliError> {
    let text = baseline_text(path).map_err(|why| CliError::outside(clean(&why)))?;
    BaselineFile::read(&text).map_err(|error| CliError::outside(clean(&format!("{}: {error}", path.display()))))
}

fn record(args: &RecordArgs, color: ColorChoice) -> Outcome {
    let mut plan = read_without_baselines(&args.runbook, color)?.plan;
    let (id, asked) = chosen(&plan, args.probe.as_deref())?;
    let side = side(&asked, args.side.as_deref())?.to_owned();
    let folder = args.runbook.path.parent().unwrap_or(Path::new("")).to_owned();
    let names: Vec<String> = asked.names.clone();
    let Some(probe) = plan.probes.get(id).cloned() else { return Err(CliError::usage("there is no such probe")) };
    let subject = baseline_subject(&plan.title, id.as_str(), &asked, probe.limit);
    let out = match (&args.out, &args.runbook.profile) {
        (Some(out), _) => out.clone(),
        (None, None) => folder.join(asked.baseline.map_or_else(|| format!("{id}.baseline.json"), str::to_owned)),
        (None, Some(profile)) => folder.join(of_profile(&args.runbook, profile, id, asked.baseline)),
    };
    let id = id.clone();
    // Before an hour is spent: whether it can be written, and whether there is a file that this cannot be added to.
    let place = Place::of(&out)?;
    let mut file = existing(&out, &subject)?;
    plan.probes.retain(|other, _| *other == id);
    only_looks(&plan, args.acting_probes)?;
    say_error(&format!(
        "recording `{id}`, side `{}`, for {} into {}; Ctrl-C ends it early and writes what is there",
        clean(&side),
        args.lasting,
        clean(&out.display().to_string())
    ));
    let began = ZonedDateTime::now();
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(CliError::outside)?;
    }
    let started = Instant::now();
    let measured = measure(&plan, &side, args.lasting.to_std(), &interrupted)?;
    let lasted = started.elapsed();
    let samples: BTreeMap<String, LatencySamples> = names
        .iter()
        .map(|name| (name.clone(), LatencySamples::in_order(measured.of.get(name).map_or(&[][..], Vec::as_slice))))
        .collect();
    if let Some((name, _)) = samples.iter().find(|(_, samples)| samples.succeeded() == 0) {
        let why = if measured.failure.is_empty() { String::new() } else { format!(": {}", measured.failure) };
        return Err(CliError::outside(format!("no request {} succeeded{why}; nothing was written", clean(name))));
    }
    let mut requests = BTreeMap::new();
    for (name, samples) in &samples {
        requests.insert(name.clone(), BaselineRequest::of(samples).map_err(CliError::outside)?);
    }
    file.recordings.push(BaselineRecording {
        side,
        began: began.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        zone: began.time_zone().iana_name().map_or_else(|| began.strftime("%:z").to_string(), str::to_owned),
        seconds: lasted.as_secs(),
        every_ms: probe.every.0,
        limit_ms: probe.limit.0,
        from: holder("gonogo baseline").host,
        requests,
    });
    place.keep(&file.write().map_err(CliError::outside)?)?;
    let early = if interrupted.load(Ordering::Relaxed) { ", ended early" } else { "" };
    let lasted = words::elapsed(Span::of(lasted));
    say(&format!("{lasted} recorded{early}: {}", clean(&out.display().to_string())));
    if let Some(recording) = file.recordings.iter().max_by_key(|recording| recording.moment()) {
        tell(recording);
    }
    if let Some(line) = measured.answered_by() {
        say(&line);
    }
    for warning in measured.warnings().into_iter().chain(too_few(&samples)) {
        say_error(&format!("warning: {}", clean(&warning)));
    }
    Ok(0)
}

/// Where a recording in a profile goes: into the file that only this profile names, else into one of its own. What production is
/// judged by holds nothing of a lab unless somebody says so.
fn of_profile(runbook: &RunbookArgs, profile: &str, id: &ProbeId, named: Option<&str>) -> String {
    let without = RunbookArgs { profile: None, ..runbook.clone() };
    let plan = read_without_baselines(&without, ColorChoice::Never).map(|loaded| loaded.plan);
    let of_others = plan.as_ref().ok().and_then(|plan| plan.probes.get(id)?.kind.requests()?.baseline);
    match named {
        Some(named) if plan.is_ok() && of_others != Some(named) => named.to_owned(),
        _ => {
            let own = format!("{id}.{}.baseline.json", profile.replace(['/', '\\'], "_"));
            if let Some(named) = named {
                say_error(&format!(
                    "recorded in the profile `{}`, so not into {}, which is for what is judged without it (`--out` says otherwise)",
                    clean(profile),
                    clean(named)
                ));
            }
            own
        }
    }
}

/// The file that is added to, or an empty one.
fn existing(out: &Path, subject: &BaselineSubject) -> Result<BaselineFile, CliError> {
    if !out.exists() {
        return Ok(BaselineFile::new(subject));
    }
    let file = opened(out)?;
    let said = |error| CliError::outside(clean(&format!("{}: {error}; nothing was measured", out.display())));
    file.check(subject).map_err(said)?;
    Ok(file)
}

/// Where a recording is going to be written. Nobody else records into the same file meanwhile.
struct Place<'o> {
    out: &'o Path,
    part: PathBuf,
    file: File,
}

impl<'o> Place<'o> {
    fn of(out: &'o Path) -> Result<Self, CliError> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = out.with_file_name(name);
        let said = |why: &dyn Display| {
            CliError::outside(clean(&format!("cannot write {}: {why}; nothing was measured", out.display())))
        };
        let file = File::options().create(true).append(true).open(&part).map_err(|error| said(&error))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => said(&"another recording is under way into the same file"),
            TryLockError::Error(error) => said(&error),
        })?;
        Ok(Self { out, part, file })
    }

    /// Puts the text in the place of the file at once: never half of it.
    fn keep(mut self, text: &str) -> Result<(), CliError> {
        let written = self.file.set_len(0).and_then(|()| self.file.write_all(text.as_bytes()));
        let kept = written.and_then(|()| self.file.sync_all()).and_then(|()| fs::rename(&self.part, self.out));
        kept.map_err(|error| CliError::outside(clean(&format!("{}: {error}", self.out.display()))))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // After it was put in its place there is none. Before the lock is given up, it is nobody else's.
        let _ = fs::remove_file(&self.part);
    }
}

/// Kinds of request of which there are too few to compare anything with.
fn too_few(samples: &BTreeMap<String, LatencySamples>) -> Option<String> {
    let short: Vec<String> = samples
        .iter()
        .filter(|(_, samples)| !can_pass(samples))
        .map(|(name, samples)| format!("{} of {name} succeeded", words::count(count(samples.succeeded()), "request")))
        .collect();
    (!short.is_empty()).then(|| {
        format!(
            "only {}, and with fewer than {} (more, where slow ones come in clusters) no verdict is PASS; record for longer",
            short.join(", "),
            fewest_to_pass()
        )
    })
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Requests of one side, as they ended.
#[derive(Default)]
struct Measured {
    of: BTreeMap<String, Vec<Option<u64>>>,
    /// Why the newest failure failed.
    failure: String,
    /// How many requests went to each address.
    addresses: BTreeMap<String, usize>,
    /// From whom to whom it moved meanwhile.
    moves: Vec<String>,
    /// How many requests were not measured, and why the newest was not.
    missed: (u64, String),
}

/// Moves of a name that are told one by one.
const TOLD_MOVES: usize = 3;

impl Measured {
    fn take(&mut self, request: MeasuredRequest) {
        if let Some(address) = request.address {
            *self.addresses.entry(address).or_default() += 1;
        }
        self.moves.extend(request.moved);
        let requests = self.of.entry(request.request).or_default();
        match request.outcome {
            MeasuredOutcome::Took(micros) => requests.push(Some(micros)),
            MeasuredOutcome::Failed(why) => {
                requests.push(None);
                self.failure = why;
            }
            MeasuredOutcome::NotMeasured(more, why) => {
                self.missed = (self.missed.0.saturating_add(more), why);
            }
        }
    }

    /// Whether one kind of request has as many as a recording may have.
    fn is_full(&self) -> bool {
        self.of.values().any(|requests| requests.len() as u64 >= MOST_REQUESTS)
    }

    /// Who answered, when that was not always the same.
    fn answered_by(&self) -> Option<String> {
        let all = self.addresses.values().sum::<usize>();
        (self.addresses.len() > 1).then(|| {
            let shares = self.addresses.iter().map(|(address, requests)| {
                #[allow(clippy::cast_precision_loss)] // counts of requests
                let share = *requests as f64 * 100.0 / all as f64;
                format!("{} {share:.1} %", clean(address))
            });
            format!("    answered by {}", shares.collect::<Vec<_>>().join(", "))
        })
    }

    /// What somebody who trusts this must know: what is in a baseline is what is normal from then on.
    fn warnings(&self) -> Vec<String> {
        let all = self.of.values().flatten();
        let (total, failed) = (all.clone().count(), all.filter(|micros| micros.is_none()).count());
        let mut found = Vec::new();
        if is_failing(total as u64, failed as u64) {
            let total = words::count(total, "request");
            found.push(format!(
                "{failed} of {total} failed, and what fails as often later counts as normal; record it again while the service is well"
            ));
        }
        if !self.moves.is_empty() {
            let more = self.moves.len().saturating_sub(TOLD_MOVES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let moves = self.moves.iter().take(TOLD_MOVES).cloned().collect::<Vec<_>>().join(", ");
            found.push(format!(
                "somebody else answered meanwhile ({moves}{more}), so this recording mixes servers; record it again while one answers"
            ));
        }
        let (missed, why) = &self.missed;
        if *missed > 0 {
            let missed = words::count(count(*missed), "request");
            found.push(format!("{missed} not measured, and not in the recording: {why}"));
        }
        found
    }

    /// How far it is, in one line.
    fn told(&self) -> String {
        let all = self.of.values().flatten();
        let (total, failed) = (all.clone().count(), all.filter(|micros| micros.is_none()).count());
        let why = if self.failure.is_empty() { String::new() } else { format!(" ({})", clean(&self.failure)) };
        format!("{}, {failed} failed{why}", words::count(total, "request"))
    }
}

/// Measures one side until the time is over or the operator has had enough. The world it does this with has no actions.
fn measure(plan: &Plan, side: &str, lasting: Duration, interrupted: &AtomicBool) -> Result<Measured, CliError> {
    let live = LiveOptions {
        // Only actions write, and this world has none.
        run_dir: std::env::temp_dir(),
        run_id: "baseline".to_owned(),
        epoch: 0,
        clock: Clock::start(At(0)),
        exe: own_path()?,
        system_dns: SystemDns::default(),
    };
    let runtime = runtime()?;
    let measured = runtime.block_on(async {
        let (mut world, mut requests) = Watching::measuring(plan, live).map_err(CliError::outside)?;
        world.watch();
        let (begun, mut told) = (Instant::now(), Instant::now());
        let mut measured = Measured::default();
        let mut tick = tokio::time::interval(TICK);
        while begun.elapsed() < lasting && !interrupted.load(Ordering::Relaxed) && !measured.is_full() {
            tokio::select! {
                Some(request) = requests.recv() => {
                    if request.side == side {
                        measured.take(request);
                    }
                }
                // Readings are not wanted, and must not pile up.
                _ = world.next() => {}
                _ = tick.tick() => {}
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let (gone, all) = (Span::of(begun.elapsed()), Span::of(lasting));
                say_error(&format!("{} of {}: {}", words::elapsed(gone), words::elapsed(all), measured.told()));
            }
        }
        Ok(measured)
    });
    runtime.shutdown_background();
    measured
}

/// One recording, request by request.
fn tell(recording: &BaselineRecording) {
    let lasted = words::elapsed(Span::secs(recording.seconds));
    say(&format!("  {}, side `{}`, {lasted}", clean(&recording.told()), clean(&recording.side)));
    let shown = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), words::millis);
    for (name, of) in &recording.requests {
        say(&format!(
            "    {}: p50 {} ms, p95 {} ms, p99 {} ms, {} of {} failed",
            clean(name),
            shown(of.p50_ms),
            shown(of.p95_ms),
            shown(of.p99_ms),
            of.failed,
            words::count(usize::try_from(of.total).unwrap_or(usize::MAX), "request")
        ));
    }
}

fn show(path: &Path) -> Outcome {
    let file = opened(path)?;
    say(&format!("baseline of the probe `{}` in \"{}\"", clean(&file.probe), clean(&file.runbook)));
    say(&format!("asks: {}", clean(&file.asks.join(", "))));
    for recording in &file.recordings {
        tell(recording);
    }
    Ok(0)
}

fn compare(baseline: &Path, measured: &Path) -> Outcome {
    let (before, now) = (opened(baseline)?, opened(measured)?);
    if before.asks_digest != now.asks_digest {
        let asks = [&before, &now].map(|file| clean(&file.asks.join(", ")).into_owned());
        return Err(CliError::outside(format!(
            "the files cannot be compared: one was recorded with {}, the other with {}; what is asked for differs",
            asks[0], asks[1]
        )));
    }
    let among: usize = now.recordings.iter().map(|recording| recording.requests.len()).sum();
    let among = u32::try_from(among).unwrap_or(u32::MAX);
    let mut worst = LatencyVerdict::Pass;
    for recording in &now.recordings {
        let Some(against) = nearest_recording(&before.recordings, recording) else { continue };
        say(&format!("{}, side `{}`", clean(&recording.told()), clean(&recording.side)));
        say(&format!("  against {}, side `{}`", clean(&against.told()), clean(&against.side)));
        if recording.limit_ms != against.limit_ms {
            let [before, now] = [against, recording].map(|of| Span(of.limit_ms));
            return Err(CliError::outside(format!(
                "these cannot be compared: requests were given up after {before} in one and after {now} in the other, so what is slow in one is a failure in the other"
            )));
        }
        for (name, of) in &recording.requests {
            let measured = of.samples().map_err(CliError::outside)?;
            let baseline = against.requests.get(name).map(BaselineRequest::samples).transpose();
            let baseline = baseline.map_err(CliError::outside)?.unwrap_or_default();
            let judged = judge_fixed(&baseline, &measured, among);
            worst = worst.max(judged.verdict);
            tell_judgement(name, &judged);
        }
    }
    say(worst.as_str());
    Ok(match worst {
        LatencyVerdict::Pass => 0,
        LatencyVerdict::Fail => 1,
        LatencyVerdict::Inconclusive => 2,
    })
}

fn tell_judgement(name: &str, judged: &Judgement) {
    say(&format!(
        "  {}  {} ({} in the baseline, {} measured)",
        judged.verdict.as_str(),
        clean(name),
        judged.baseline_total,
        words::count(usize::try_from(judged.measured_total).unwrap_or(usize::MAX), "request")
    ));
    for percentile in &judged.percentiles {
        say(&format!("    {:<12}  {percentile}", percentile.verdict.as_str()));
    }
    if let Some(errors) = judged.errors {
        let [before, now, most] = [errors.baseline, errors.measured, errors.at_most].map(|share| share * 100.0);
        say(&format!(
            "    {:<12}  {now:.2} % failed (at most {most:.2}), {before:.2} % in the baseline",
            errors.verdict.as_str()
        ));
    }
    if let Some(why) = judged.why().filter(|_| judged.verdict == LatencyVerdict::Inconclusive) {
        say(&format!("    {why}"));
    }
}
