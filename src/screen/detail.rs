//! The selected step: what it is, what it will do, what keeps it shut, and the way back.

use super::keys::KeyAction;
use super::naming::name_of;
use super::{Ask, Block, Detail, GateRow, Role, Text, ViewContext, consequences, markdown, steps};
use crate::core::action::{Action, Kept, Wait};
use crate::core::evidence::{Evidence, Verdict, shut_sentence};
use crate::core::job::{Direction, JobKey};
use crate::core::plan::{ConditionId, Job, Reversibility, Step, Work};
use crate::core::poll::gates;
use crate::core::progress::checks;
use crate::core::state::{Running, StepProgress, StepRun};
use crate::core::status::{StepState, step_state, unmet};
use crate::core::time::{At, Span};
use crate::text::clean;
use crate::words;

/// Lines of preview shown before it is cut; the whole is one key away.
const PREVIEW_LINES: usize = 14;

/// Lines of output shown under a step; the rest is one key away.
const OUTPUT_LINES: usize = 6;

pub(super) fn detail(context: &ViewContext, whole: bool) -> Detail {
    let Some(step) = steps::selected(context) else { return Detail::default() };
    let progress = context.run.step(&step.id);
    let state = step_state(context.plan, context.run, context.board, context.now, step);
    let mut blocks = Vec::new();
    let asked = context.ui.prompt.as_ref().map(|prompt| &prompt.ask);
    let confirming = matches!(asked, Some(Ask::Start { .. } | Ask::OverrideReason(_)));
    let taking_back = matches!(asked, Some(Ask::Undo { .. })).then_some(step.undo.as_ref()).flatten();
    // While a question is open, what is being confirmed and its gates come first, shut gates before everything.
    if confirming {
        let over = !matches!(asked, Some(Ask::Start { reason: None, .. }));
        if over {
            boards(context, step, state, &mut blocks);
        }
        blocks.push(will_do(context, step, !step.work.section));
        undo(context, step, false, &mut blocks);
        if !over {
            boards(context, step, state, &mut blocks);
        }
    }
    blocks.extend(
        consequences::of_failure(context, step).map(|left| Block::Lines { heading: String::new(), lines: vec![left] }),
    );
    blocks.extend(consequences::of_skip(context, step));
    if let Some(block) = consequences::of_findings(context, step) {
        // Beside the answers: what the step's own checks say now.
        blocks.push(block);
        boards(context, step, state, &mut blocks);
    }
    if let Some(work) = taking_back {
        blocks.push(will_take_back(work));
    }
    // What is awaited now comes before the instructions.
    let watched =
        matches!(state, StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying);
    if let StepProgress::Running(running) = &progress.phase {
        under_way(context, running, progress, &mut blocks);
    }
    if watched {
        boards(context, step, state, &mut blocks);
    }
    rehearsed(context, step, &mut blocks);
    instructions(step, &mut blocks);
    results(context, step, progress, &mut blocks);
    output(context, step, &mut blocks);
    if !confirming {
        if !watched && state != StepState::InDoubt {
            boards(context, step, state, &mut blocks);
        }
        preview(context, step, state, whole, &mut blocks);
        undo(context, step, whole, &mut blocks);
    }
    afterwards(step, state, &mut blocks);
    let asked_about = if confirming { Some(&step.work) } else { taking_back };
    if let Some(work) = asked_about.filter(|work| work.section) {
        blocks.push(Block::Lines { heading: "EVERY STATEMENT".to_owned(), lines: every_line(&work.preview) });
    }
    Detail {
        title: format!("{} · {}", step.number, clean(&step.title)),
        right: right(step),
        state: state_line(context, step, state, progress),
        blocks,
        scroll: context.ui.detail_scroll,
    }
}

fn right(step: &Step) -> String {
    let owner = step.owner.as_deref().map(|owner| format!("owner {}", clean(owner)));
    let expect = step.expect.map(|span| format!("expect {span}"));
    let max = step.max.map(|span| format!("max {span}"));
    [owner, expect, max].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The role of a state, shared with the list of steps.
pub(crate) fn state_role(state: StepState) -> Role {
    match state {
        StepState::Waiting | StepState::Skipped | StepState::Undone => Role::Dim,
        StepState::Gated | StepState::InDoubt => Role::Unknown,
        StepState::Ready | StepState::Done => Role::Go,
        StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => Role::Active,
        StepState::Failed => Role::NoGo,
    }
}

fn state_line(context: &ViewContext, step: &Step, state: StepState, progress: &StepRun) -> Text {
    let text = Text::new(state_role(state), state.as_str().to_uppercase());
    let more = match &progress.phase {
        StepProgress::Pending => {
            let waits_for = unmet(context.run, step);
            if waits_for.is_empty() {
                String::new()
            } else {
                format!(" for {}", waits_for.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
        StepProgress::Running(running) => {
            let stopping = running.stopping.as_ref().map_or_else(String::new, |why| format!(", stopping: {why}"));
            format!(" for {}{stopping}", context.now.since(begun(progress, running)))
        }
        StepProgress::Verifying { since } => format!(" for {}", context.now.since(*since)),
        StepProgress::Done { at } => format!(" at {} UTC{}", words::utc(*at), took(progress)),
        StepProgress::Failed { why, reverted, .. } => {
            let rest = match (*reverted, progress.left) {
                (true, _) => " · it took itself back",
                (false, true) => " · an earlier attempt left something, too",
                (false, false) => "",
            };
            format!(": {}{rest}", words::failure_cause(why))
        }
        StepProgress::InDoubt { why, .. } => format!(": {}", clean(why)),
        StepProgress::Skipped { reason, .. } => format!(": {}", clean(reason)),
        StepProgress::Undone { at } => format!(" at {} UTC", words::utc(*at)),
    };
    let overdue = match (&progress.phase, step.max, progress.started) {
        (StepProgress::Running(Running { key: JobKey { direction: Direction::Undo, .. }, .. }), _, _) => false,
        (StepProgress::Running(_) | StepProgress::Verifying { .. }, Some(max), Some(started)) => {
            context.now.since(started) > max
        }
        _ => false,
    };
    let text = text.and(Role::Plain, more);
    let text = if overdue { text.and(Role::NoGo, " OVERDUE") } else { text };
    match &progress.overridden {
        Some(reason) => text.and(Role::NoGo, format!("  OVERRIDDEN: {}", clean(reason))),
        None => text,
    }
}

/// When what is under way began: the step, or taking it back.
fn begun(progress: &StepRun, running: &Running) -> At {
    let began = if running.key.direction == Direction::Undo { progress.undo_started } else { progress.started };
    began.unwrap_or(running.since)
}

fn took(progress: &StepRun) -> String {
    match (progress.started, progress.ended) {
        (Some(started), Some(ended)) => format!(", took {}", ended.since(started)),
        _ => String::new(),
    }
}

/// How long it took in rehearsals, and for how long it kept customers from writing.
fn rehearsed(context: &ViewContext, step: &Step, blocks: &mut Vec<Block>) {
    let Some(durations) = context.run.durations(&step.id) else { return };
    let Some(doing) = durations.doing.as_ref() else { return };
    let line = Text::new(Role::Dim, words::rehearsed(doing));
    let line = match &durations.pausing {
        Some(pausing) => line.and(Role::Dim, format!(" · write pause {}", words::typical(pausing))),
        None => line,
    };
    blocks.push(Block::Lines { heading: String::new(), lines: vec![line] });
}

fn instructions(step: &Step, blocks: &mut Vec<Block>) {
    let lines = markdown::lines(&step.instructions);
    if !lines.is_empty() {
        blocks.push(Block::Lines { heading: String::new(), lines });
    }
}

fn under_way(context: &ViewContext, running: &Running, progress: &StepRun, blocks: &mut Vec<Block>) {
    let passed = running.passed(context.now);
    let mut lines = Vec::new();
    let back = running.key.direction != Direction::Do;
    let action = context.plan.action(&running.key);
    match action.and_then(Action::kept) {
        Some(Kept::Manual(items)) => {
            lines.extend(items.iter().enumerate().map(|(at, item)| {
                let done = u16::try_from(at).is_ok_and(|at| progress.items.contains(&at));
                let (role, tick) = if done { (Role::Dim, "[x]") } else { (Role::Plain, "[ ]") };
                Text::new(if done { Role::Go } else { Role::Key }, tick)
                    .and(role, format!(" {}. {}", at + 1, clean(item)))
            }));
            let step = context.plan.step(&running.key.step);
            lines.extend(hint(context, KeyAction::Tick, step, "ticks the next item when it is done"));
        }
        Some(Kept::Soak(soak)) => {
            lines.push(progress_line("watched", passed, Some(soak.length)));
            lines.extend(running.interrupted.as_ref().map(|interrupted| {
                let guards = interrupted.guards.iter().map(shut_sentence).collect::<Vec<_>>().join("; ");
                Text::new(Role::Unknown, format!("not counting since {}: ", interrupted.since.utc()))
                    .and(Role::Plain, format!("guard {}", clean(&guards)))
            }));
        }
        Some(Kept::Wait(Wait::For(span))) => {
            lines.push(progress_line("waiting", passed, Some(*span)));
        }
        Some(Kept::Wait(Wait::Until(until))) => {
            lines.push(progress_line("waiting, at most", passed, Some(until.longest())));
        }
        None => lines.extend(action.map(|action| progress_line(action.kind(), passed, action.limit()))),
    }
    let work = context.plan.work(&running.key).filter(|work| work.section);
    if let Some(work) = work {
        let title = context.plan.job_title(&running.key).unwrap_or_default();
        let way = if back { "taking back" } else { "job" };
        lines.insert(
            0,
            Text::new(Role::Active, format!("{way} {} of {}: ", running.key.job + 1, work.jobs.len()))
                .and(Role::Strong, clean(title)),
        );
        if let (Some(deadline), Some(started), false, None) = (work.deadline, progress.started, back, context.fault) {
            let left = deadline.left_after(context.now.since(started));
            let then = if work.takes_itself_back() { "undoes itself" } else { "fails" };
            lines.push(Text::new(Role::Active, format!("{then} in {left}")));
        }
    }
    let heading = match running.key.direction {
        Direction::Do => "NOW",
        Direction::Revert => "TAKING ITSELF BACK",
        Direction::Undo => "TAKING BACK",
    };
    blocks.push(Block::Lines { heading: heading.to_owned(), lines });
    let awaited = context.plan.until(&running.key);
    if !awaited.is_empty() {
        let hold = match action.and_then(Action::kept) {
            Some(Kept::Wait(Wait::Until(until))) => until.hold,
            _ => Span::ZERO,
        };
        let rows: Vec<Evidence> =
            awaited.iter().filter_map(|id| awaits(context, *id, hold, (running.since, passed))).collect();
        blocks.push(board("WAITING FOR", &rows));
    }
}

/// A condition that must be GO for `needed`, as it stands now after the wait has lasted `passed` since it began.
fn awaits(context: &ViewContext, id: ConditionId, needed: Span, (since, passed): (At, Span)) -> Option<Evidence> {
    let rule = context.plan.condition(id)?.source().to_owned();
    let assessment = context.board.assess(context.plan, context.run, context.now, id);
    let held = context.board.held_for(context.plan, context.now, id, needed, since);
    let held = held.filter(|_| !needed.is_zero()).map(|held| held.min(passed));
    Some(Evidence { name: rule.clone(), rule, assessment, held, needed })
}

fn progress_line(what: &str, passed: Span, of: Option<Span>) -> Text {
    let text = Text::new(Role::Active, format!("{what} {passed}"));
    match of {
        // Time in which no cockpit was there counts, too.
        Some(of) if passed > of => text.and(Role::Unknown, format!(", longer than {of}")),
        Some(of) => text.and(Role::Dim, format!(" of {of}")),
        None => text,
    }
}

/// The newest lines the step's own jobs printed.
fn output(context: &ViewContext, step: &Step, blocks: &mut Vec<Block>) {
    let mut lines: Vec<Text> = context
        .output
        .lines()
        .rev()
        .filter(|line| line.key.step == step.id)
        .take(OUTPUT_LINES)
        .map(|line| {
            let role = if line.stream == crate::core::job::Stream::Err { Role::Unknown } else { Role::Plain };
            Text::new(Role::Dim, "│ ").and(role, line.text.clone())
        })
        .collect();
    lines.reverse();
    if !lines.is_empty() {
        blocks.push(Block::Lines { heading: "OUTPUT".to_owned(), lines });
    }
}

fn results(context: &ViewContext, step: &Step, progress: &StepRun, blocks: &mut Vec<Block>) {
    if progress.results.is_empty() {
        return;
    }
    let lines = progress
        .results
        .iter()
        .map(|result| {
            // A single action needs no name: the step has it.
            let alone = result.key.direction == Direction::Do && !step.work.section;
            let lead = if alone { String::new() } else { format!("{}: ", words::job(context.plan, &result.key)) };
            Text::new(Role::Dim, lead)
                .and(Role::Plain, clean(&result.line))
                .and(Role::Dim, format!(" · {}", result.took))
        })
        .collect();
    blocks.push(Block::Lines { heading: "RESULT".to_owned(), lines });
}

fn boards(context: &ViewContext, step: &Step, state: StepState, blocks: &mut Vec<Block>) {
    let before = matches!(
        state,
        StepState::Waiting | StepState::Gated | StepState::Ready | StepState::Failed | StepState::Undone
    );
    if before {
        let rows = gates(context.plan, context.run, context.board, context.now, step);
        if rows.is_empty() {
            let lines = vec![Text::new(Role::Dim, "no gates: confirm to start it")];
            blocks.push(Block::Lines { heading: "GO/NO-GO".to_owned(), lines });
        } else {
            let shut: Vec<String> = rows.iter().filter(|gate| !gate.open()).map(shut_sentence).collect();
            blocks.push(board("GO/NO-GO", &rows));
            if !shut.is_empty() {
                let lines =
                    shut.into_iter().map(|why| Text::new(Role::Plain, format!("shut: {}", clean(&why)))).collect();
                blocks.push(Block::Lines { heading: String::new(), lines });
            }
        }
    }
    if !step.guards.is_empty() && !before && !matches!(state, StepState::Done | StepState::Skipped) {
        let rows: Vec<Evidence> = step
            .guards
            .iter()
            .map(|guard| context.board.guard(context.plan, context.run, context.now, guard))
            .collect();
        blocks.push(board("GUARDS", &rows));
    }
    let begun = matches!(state, StepState::Verifying | StepState::Done | StepState::Failed | StepState::InDoubt);
    if !step.verify.is_empty() && begun {
        blocks.push(board("VERIFY", &checks(context.plan, context.run, context.board, context.now, step)));
    }
}

/// What will be verified, for a step whose work is not over: a NO-GO beside it would mean nothing yet and look like a
/// fault.
fn afterwards(step: &Step, state: StepState, blocks: &mut Vec<Block>) {
    let before = [StepState::Waiting, StepState::Gated, StepState::Ready, StepState::Running, StepState::Undone];
    if step.verify.is_empty() || !before.contains(&state) {
        return;
    }
    let lines = step.verify.iter().map(|check| {
        let hold = if check.hold == Span::ZERO { String::new() } else { format!(", held {}", check.hold) };
        Text::plain(clean(&check.name)).and(Role::Dim, format!(" · within {}{hold}", check.within))
    });
    blocks.push(Block::Lines { heading: "VERIFIED AFTERWARDS".to_owned(), lines: lines.collect() });
}

fn board(heading: &str, rows: &[Evidence]) -> Block {
    Block::Board { heading: heading.to_owned(), rows: rows.iter().map(gate_row).collect() }
}

/// `lag.streaming = true, lag.seconds = 6 ms`, without the probe's name where only one is read, since the gate's own
/// name says what it is about and the column is narrow. No value is shown twice.
fn brief<'a>(told: impl Iterator<Item = &'a str>) -> String {
    let mut values: Vec<&str> = Vec::new();
    for value in told.flat_map(|actual| actual.split(", ")).filter(|value| !value.is_empty()) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let probe = values.first().and_then(|value| probe_of(value));
    let own = |value: &&'a str| Some(value.split_once('.').filter(|_| probe_of(value) == probe)?.1);
    let cut = probe.and_then(|_| values.iter().map(own).collect::<Option<Vec<&str>>>());
    cut.unwrap_or(values).join(", ")
}

/// The probe in `lag.seconds = 6 ms`. A number or an address with a dot in it has none, and neither has a name that is not said to
/// have a value.
fn probe_of(value: &str) -> Option<&str> {
    let (path, _) = value.split_once(" = ")?;
    let (probe, field) = path.split_once('.')?;
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    (is_name(probe) && field.split('.').all(is_name)).then_some(probe)
}

/// The gates of the step whose word is being typed, those that are not open first: they stay in view whatever else does.
pub(super) fn poll(context: &ViewContext) -> Vec<GateRow> {
    let asked = context.ui.prompt.as_ref().map(|prompt| &prompt.ask);
    let Some(Ask::Start { step, .. } | Ask::OverrideReason(step)) = asked else { return Vec::new() };
    let Some(step) = context.plan.step(step) else { return Vec::new() };
    let mut gates = gates(context.plan, context.run, context.board, context.now, step);
    gates.sort_by_key(Evidence::open);
    gates.iter().map(gate_row).collect()
}

/// A gate as a row of the board.
pub(super) fn gate_row(gate: &Evidence) -> GateRow {
    let terms = &gate.assessment.terms;
    let known = brief(terms.iter().filter(|term| term.why.is_none()).map(|term| term.actual.as_str()));
    let mut actual: Vec<&str> = terms.iter().filter_map(|term| term.why.as_deref()).collect();
    actual.extend((!known.is_empty()).then_some(known.as_str()));
    actual.dedup();
    let held = match (gate.held, gate.needed) {
        (_, needed) if needed == Span::ZERO => String::new(),
        (Some(held), needed) => format!("{} of {needed}", held.min(needed)),
        (None, needed) => format!("— of {needed}"),
    };
    let verdict = gate.assessment.verdict;
    GateRow {
        // A GO that has not held long enough does not open the gate yet; the hold beside it says so.
        verdict,
        name: clean(&gate.name).into_owned(),
        now: clean(&actual.join(", ")).into_owned(),
        age: match (verdict, gate.assessment.age()) {
            (Verdict::Unknown, _) | (_, None) => "—".to_owned(),
            (_, Some(age)) => words::age(age),
        },
        held,
    }
}

/// What the step will do. For a step that is done it is shown only on request.
fn preview(context: &ViewContext, step: &Step, state: StepState, whole: bool, blocks: &mut Vec<Block>) {
    if whole || !matches!(state, StepState::Done | StepState::Skipped | StepState::Verifying) {
        let mut block = will_do(context, step, whole);
        if let (Block::Lines { lines, .. }, true, false) = (&mut block, step.work.section, whole) {
            lines.extend(hint(context, KeyAction::Whole, Some(step), "shows every statement"));
        }
        blocks.push(block);
    }
}

/// `p shows every statement`: what a key or an order does here.
fn hint(context: &ViewContext, action: KeyAction, step: Option<&Step>, does: &str) -> Option<Text> {
    name_of(context, action, step).map(|name| Text::new(Role::Dim, format!("{name} {does}")))
}

fn will_do(context: &ViewContext, step: &Step, whole: bool) -> Block {
    let heading = if step.work.section {
        let deadline = step.work.deadline.map_or_else(String::new, |deadline| format!(", deadline {deadline}"));
        let back = if step.work.takes_itself_back() { ", undoes itself" } else { "" };
        format!("SECTION of {}, one confirmation{deadline}{back}", step.work.jobs.len())
    } else {
        format!("WILL DO · {}", step.work.jobs.first().map_or("nothing", |job| job.action.kind()))
    };
    let lines = match (whole, step.work.section) {
        (true, _) => every_line(&step.work.preview),
        (false, true) => jobs(&step.work),
        (false, false) => cut(context, step),
    };
    Block::Lines { heading, lines }
}

/// What an undo that is being asked about will do.
fn will_take_back(work: &Work) -> Block {
    let kind = work.jobs.first().map_or("nothing", |job| job.action.kind());
    let (what, lines) = if work.section {
        (format!("a section of {}", work.jobs.len()), jobs(work))
    } else {
        (kind.to_owned(), every_line(&work.preview))
    };
    Block::Lines { heading: format!("TAKING IT BACK WILL DO · {what}"), lines }
}

/// The jobs of a section by title: all statements at once would be too long to read.
fn jobs(work: &Work) -> Vec<Text> {
    let name = |(at, job): (usize, &Job)| {
        Text::plain(format!("{}. {}", at + 1, clean(&job.title))).and(Role::Dim, format!(" · {}", job.action.kind()))
    };
    work.jobs.iter().enumerate().map(name).chain(if_it_fails(work)).collect()
}

/// How a section takes itself back, by the numbers of its jobs.
fn if_it_fails(work: &Work) -> Option<Text> {
    let (back, stay): (Vec<_>, Vec<_>) = work.going_back().partition(|(_, job)| job.undo.is_some());
    let numbers = |jobs: &[(usize, &Job)]| {
        let numbers: Vec<String> = jobs.iter().map(|(number, _)| number.to_string()).collect();
        numbers.join(", ")
    };
    let told = match (back.is_empty(), stay.is_empty()) {
        (true, true) => return None,
        (true, false) => "nothing is taken back: its jobs have no undo".to_owned(),
        (false, true) => format!("it takes back {}", numbers(&back)),
        (false, false) => format!("it takes back {}; without an undo: {}", numbers(&back), numbers(&stay)),
    };
    Some(Text::new(Role::Strong, "if it fails: ").and(Role::Plain, told))
}

fn every_line(lines: &[String]) -> Vec<Text> {
    lines.iter().map(|line| Text::plain(clean(line))).collect()
}

fn cut(context: &ViewContext, step: &Step) -> Vec<Text> {
    let lines = &step.work.preview;
    let mut cut = every_line(lines.get(..PREVIEW_LINES).unwrap_or(lines));
    let more = lines.len().saturating_sub(PREVIEW_LINES);
    if more > 0 {
        let rest = name_of(context, KeyAction::Whole, Some(step)).map(|name| format!(", {name} shows everything"));
        let rest = rest.unwrap_or_default();
        cut.push(Text::new(Role::Dim, format!("… {} more{rest}", words::count(more, "line"))));
    }
    cut
}

fn undo(context: &ViewContext, step: &Step, whole: bool, blocks: &mut Vec<Block>) {
    let role = match step.reversibility {
        Reversibility::Free | Reversibility::Lossless => Role::Go,
        Reversibility::Lossy | Reversibility::None => Role::NoGo,
    };
    let mut line = Text::new(Role::Dim, "undo: ").and(role, step.reversibility.as_str());
    line = match (&step.undo, step.reversibility) {
        (_, Reversibility::None) => line.and(Role::Strong, " · this cannot be taken back"),
        (Some(work), _) if work.section => line.and(Role::Plain, format!(" · a section of {}", work.jobs.len())),
        (Some(work), _) => {
            line.and(Role::Plain, format!(" · {}", work.jobs.first().map_or("", |job| job.action.kind())))
        }
        (None, Reversibility::Free) => line.and(Role::Dim, " · leaves nothing behind"),
        (None, _) if step.work.takes_itself_back() => {
            line.and(Role::Strong, " · by hand once it is done: the runbook has no undo for the whole")
        }
        (None, _) => line.and(Role::Strong, " · by hand: the runbook has no undo"),
    };
    if let Some(undoing) = context.run.durations(&step.id).and_then(|durations| durations.undoing) {
        line = line.and(Role::Plain, format!(" · {}", words::rehearsed(&undoing)));
    }
    if let Some(until) = &step.undo_until {
        line = line.and(Role::Dim, format!(" · possible until {}", clean(until)));
    }
    let mut lines = vec![line];
    if whole && let Some(work) = &step.undo {
        lines.extend(work.preview.iter().map(|line| Text::plain(format!("  {}", clean(line)))));
    }
    blocks.push(Block::Lines { heading: String::new(), lines });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_probe_is_left_out() {
        for (told, shown) in [
            (&["lag.streaming = true, lag.seconds = 6 ms"][..], "streaming = true, seconds = 6 ms"),
            (&["lag.new.p99 = 6 ms"], "new.p99 = 6 ms"),
            (&["lag.seconds = 6 ms", "web.status = 200"], "lag.seconds = 6 ms, web.status = 200"),
            (&["0.650"], "0.650"),
            (&["r.share = 0.650"], "share = 0.650"),
            (&["127.0.0.62:5960"], "127.0.0.62:5960"),
            (&["lame.d.test"], "lame.d.test"),
            (&["size(p.authoritative_missing) = 1"], "size(p.authoritative_missing) = 1"),
        ] {
            assert_eq!(brief(told.iter().copied()), shown);
        }
    }
}
