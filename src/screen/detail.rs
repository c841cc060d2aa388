//! The selected step: what it is, what it will do, what keeps it shut, and the way back.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{Ask, Block, Detail, GateRow, Role, Scene, Text, steps, words};
use crate::core::action::Action;
use crate::core::evidence::{Evidence, Verdict};
use crate::core::job::Direction;
use crate::core::plan::{Reversibility, Step, Work};
use crate::core::poll::{gates, shut_sentence};
use crate::core::progress::checks;
use crate::core::standing::{StepState, step_state, unmet};
use crate::core::state::{Phase, Running, StepRun};
use crate::core::time::Span;
use crate::text::clean;

/// Lines of preview shown before it is cut; the whole is one key away.
const PREVIEW_LINES: usize = 14;

/// Lines of output shown under a step; the rest is one key away.
const OUTPUT_LINES: usize = 6;

pub(super) fn detail(scene: &Scene, whole: bool) -> Detail {
    let Some(step) = steps::selected(scene) else { return Detail::default() };
    let progress = scene.run.step(&step.id);
    let state = step_state(scene.plan, scene.run, scene.board, scene.now, step);
    let mut blocks = Vec::new();
    let asked = scene.desk.prompt.as_ref().map(|prompt| &prompt.ask);
    // What is being confirmed comes first while it is asked.
    let confirming = matches!(asked, Some(Ask::Start { .. } | Ask::OverrideReason(_)));
    match (asked, &step.undo) {
        (Some(Ask::Undo { .. }), Some(work)) => taking_back(work, &mut blocks),
        _ if confirming => preview(step, state, true, &mut blocks),
        _ => {}
    }
    rehearsed(scene, step, &mut blocks);
    instructions(step, &mut blocks);
    if let Phase::Running(running) = &progress.phase {
        under_way(scene, running, &progress, &mut blocks);
    }
    results(scene, step, &progress, &mut blocks);
    output(scene, step, &mut blocks);
    boards(scene, step, state, &mut blocks);
    if !confirming {
        preview(step, state, whole, &mut blocks);
    }
    undo(scene, step, whole, &mut blocks);
    Detail {
        title: format!("{} · {}", step.number, clean(&step.title)),
        right: right(step),
        state: state_line(scene, step, state, &progress),
        blocks,
        scroll: scene.desk.detail_scroll,
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

fn state_line(scene: &Scene, step: &Step, state: StepState, progress: &StepRun) -> Text {
    let text = Text::new(state_role(state), state.as_str().to_uppercase());
    let more = match &progress.phase {
        Phase::Pending => {
            let waits_for = unmet(scene.run, step);
            if waits_for.is_empty() {
                String::new()
            } else {
                format!(" for {}", waits_for.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
        Phase::Running(running) => {
            let stopping = running.stopping.as_ref().map_or_else(String::new, |why| format!(", stopping: {why}"));
            format!(" for {}{stopping}", scene.now.since(progress.started.unwrap_or(running.since)))
        }
        Phase::Verifying { since } => format!(" for {}", scene.now.since(*since)),
        Phase::Done { at } => format!(" at {} UTC{}", words::utc(*at), took(progress)),
        Phase::Failed { why, reverted, .. } => {
            let rest = match (*reverted, progress.left) {
                (true, _) => " · it took itself back",
                (false, true) => " · an earlier try left something, too",
                (false, false) => "",
            };
            format!(": {}{rest}", clean(why))
        }
        Phase::InDoubt { why, .. } => format!(": {} · press d to say what became of it", clean(why)),
        Phase::Skipped { reason, .. } => format!(": {}", clean(reason)),
        Phase::Undone { at } => format!(" at {} UTC", words::utc(*at)),
    };
    let overdue = match (&progress.phase, step.max, progress.started) {
        (Phase::Running(_) | Phase::Verifying { .. }, Some(max), Some(started)) => scene.now.since(started) > max,
        _ => false,
    };
    let text = text.and(Role::Plain, more);
    let text = if overdue { text.and(Role::NoGo, " OVERDUE") } else { text };
    match &progress.overridden {
        Some(reason) => text.and(Role::NoGo, format!("  OVERRIDDEN: {}", clean(reason))),
        None => text,
    }
}

fn took(progress: &StepRun) -> String {
    match (progress.started, progress.ended) {
        (Some(started), Some(ended)) => format!(", took {}", ended.since(started)),
        _ => String::new(),
    }
}

/// How long it took in rehearsals, and for how long it kept customers from writing.
fn rehearsed(scene: &Scene, step: &Step, blocks: &mut Vec<Block>) {
    let Some(durations) = scene.run.durations(&step.id) else { return };
    let Some(doing) = durations.doing.as_ref() else { return };
    let line = Text::new(Role::Dim, words::rehearsed(doing));
    let line = match &durations.pausing {
        Some(pausing) => line.and(Role::Dim, format!(" · write pause {}", words::typical(pausing))),
        None => line,
    };
    blocks.push(Block::Lines { heading: String::new(), lines: vec![line] });
}

fn instructions(step: &Step, blocks: &mut Vec<Block>) {
    let lines = markdown(&step.instructions);
    if !lines.is_empty() {
        blocks.push(Block::Lines { heading: String::new(), lines });
    }
}

/// Markdown as lines: paragraphs, lists, code and emphasis. Whatever else it contains becomes plain text.
fn markdown(source: &str) -> Vec<Text> {
    let mut lines: Vec<Text> = Vec::new();
    let mut line = Text::default();
    let mut role = Role::Plain;
    let mut depth = 0_usize;
    let flush = |line: &mut Text, lines: &mut Vec<Text>| {
        if !line.0.is_empty() {
            lines.push(std::mem::take(line));
        }
    };
    for event in Parser::new(source) {
        match event {
            Event::Start(Tag::Strong | Tag::Heading { .. }) => role = Role::Strong,
            Event::End(TagEnd::Strong) => role = Role::Plain,
            Event::Start(Tag::List(_)) => depth += 1,
            Event::End(TagEnd::List(_)) => depth = depth.saturating_sub(1),
            Event::Start(Tag::Item) => {
                flush(&mut line, &mut lines);
                line = Text::new(Role::Dim, format!("{}• ", "  ".repeat(depth.saturating_sub(1))));
            }
            Event::Start(Tag::CodeBlock(_)) => role = Role::Dim,
            Event::End(TagEnd::CodeBlock | TagEnd::Heading(_)) => {
                role = Role::Plain;
                flush(&mut line, &mut lines);
            }
            Event::End(TagEnd::Paragraph | TagEnd::Item) | Event::HardBreak => flush(&mut line, &mut lines),
            Event::Text(text) if role == Role::Dim => {
                lines.extend(text.lines().map(|code| Text::new(Role::Dim, format!("  {}", clean(code)))));
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                line = std::mem::take(&mut line).and(role, clean(&text));
            }
            Event::Code(code) => line = std::mem::take(&mut line).and(Role::Strong, clean(&code)),
            Event::SoftBreak => line = std::mem::take(&mut line).and(role, " "),
            _ => {}
        }
    }
    flush(&mut line, &mut lines);
    lines
}

fn under_way(scene: &Scene, running: &Running, progress: &StepRun, blocks: &mut Vec<Block>) {
    let passed = running.passed(scene.now);
    let mut lines = Vec::new();
    let back = running.key.direction != Direction::Do;
    match scene.plan.action(&running.key) {
        Some(Action::Manual(items)) => {
            lines.extend(items.iter().enumerate().map(|(at, item)| {
                let done = u16::try_from(at).is_ok_and(|at| progress.items.contains(&at));
                let (role, tick) = if done { (Role::Dim, "[x]") } else { (Role::Plain, "[ ]") };
                Text::new(if done { Role::Go } else { Role::Key }, tick)
                    .and(role, format!(" {}. {}", at + 1, clean(item)))
            }));
            lines.push(Text::new(Role::Dim, "space ticks the next item when it is done"));
        }
        Some(Action::Soak(soak)) => {
            lines.push(progress_line("watched", passed, Some(soak.length)));
            lines.extend(running.interrupted.as_ref().map(|interrupted| {
                Text::new(Role::Unknown, format!("not counting since {}: ", interrupted.since.utc()))
                    .and(Role::Plain, format!("guard {}", clean(&interrupted.why)))
            }));
        }
        Some(Action::Wait(crate::core::action::Wait::For(span))) => {
            lines.push(progress_line("waiting", passed, Some(*span)));
        }
        Some(Action::Wait(crate::core::action::Wait::Until(until))) => {
            lines.push(progress_line("waiting, at most", passed, Some(until.within)));
        }
        Some(action) => lines.push(progress_line(action.kind(), passed, action.limit())),
        None => {}
    }
    let work = scene.plan.work(&running.key).filter(|work| work.section);
    if let Some(work) = work {
        let title = scene.plan.job_title(&running.key).unwrap_or_default();
        let way = if back { "taking back" } else { "job" };
        lines.insert(
            0,
            Text::new(Role::Active, format!("{way} {} of {}: ", running.key.job + 1, work.jobs.len()))
                .and(Role::Strong, clean(title)),
        );
        if let (Some(deadline), Some(started), false) = (work.deadline, progress.started, back) {
            let left = deadline.left_after(scene.now.since(started));
            lines.push(Text::new(Role::Active, format!("undoes itself in {left}")));
        }
    }
    let heading = match running.key.direction {
        Direction::Do => "NOW",
        Direction::Revert => "TAKING ITSELF BACK",
        Direction::Undo => "TAKING BACK",
    };
    blocks.push(Block::Lines { heading: heading.to_owned(), lines });
}

fn progress_line(what: &str, passed: Span, of: Option<Span>) -> Text {
    let text = Text::new(Role::Active, format!("{what} {passed}"));
    match of {
        Some(of) => text.and(Role::Dim, format!(" of {of}")),
        None => text,
    }
}

/// The newest lines the step's own jobs printed.
fn output(scene: &Scene, step: &Step, blocks: &mut Vec<Block>) {
    let mut lines: Vec<Text> = scene
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

fn results(scene: &Scene, step: &Step, progress: &StepRun, blocks: &mut Vec<Block>) {
    if progress.results.is_empty() {
        return;
    }
    let lines = progress
        .results
        .iter()
        .map(|result| {
            // A single action needs no name: the step has it.
            let alone = result.key.direction == Direction::Do && !step.work.section;
            let lead = if alone { String::new() } else { format!("{}: ", words::job(scene.plan, &result.key)) };
            Text::new(Role::Dim, lead)
                .and(Role::Plain, clean(&result.line))
                .and(Role::Dim, format!(" · {}", result.took))
        })
        .collect();
    blocks.push(Block::Lines { heading: "RESULT".to_owned(), lines });
}

fn boards(scene: &Scene, step: &Step, state: StepState, blocks: &mut Vec<Block>) {
    let before = matches!(
        state,
        StepState::Waiting | StepState::Gated | StepState::Ready | StepState::Failed | StepState::Undone
    );
    if before {
        let rows = gates(scene.plan, scene.board, scene.now, step);
        if rows.is_empty() {
            let lines = vec![Text::new(Role::Dim, "no gates: your word is enough")];
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
        let rows: Vec<Evidence> =
            step.guards.iter().map(|guard| scene.board.guard(scene.plan, scene.run, scene.now, guard)).collect();
        blocks.push(board("GUARDS", &rows));
    }
    if !step.verify.is_empty() && state != StepState::Skipped {
        blocks.push(board("VERIFY", &checks(scene.plan, scene.run, scene.board, scene.now, step)));
    }
}

fn board(heading: &str, rows: &[Evidence]) -> Block {
    Block::Board { heading: heading.to_owned(), rows: rows.iter().map(gate_row).collect() }
}

/// `lag.streaming = true, lag.seconds = 6 ms` without the probe's name where only one is read: the gate's own
/// name says what it is about, and the column is narrow.
fn brief(actual: &str) -> String {
    let probe = actual.split_once('.').map(|(probe, _)| format!("{probe}."));
    match probe {
        Some(probe) if actual.split(", ").all(|part| part.starts_with(&probe)) => actual.replace(&probe, ""),
        _ => actual.to_owned(),
    }
}

/// A gate as a row of the board.
pub(super) fn gate_row(gate: &Evidence) -> GateRow {
    let mut actual: Vec<String> = gate
        .assessment
        .terms
        .iter()
        .map(|term| match &term.why {
            Some(why) => clean(why).into_owned(),
            None => brief(&clean(&term.actual)),
        })
        .filter(|text| !text.is_empty())
        .collect();
    actual.dedup();
    let held = match (gate.held, gate.needed) {
        (_, needed) if needed == Span::ZERO => String::new(),
        (Some(held), needed) => format!("{} of {needed}", held.min(needed)),
        (None, needed) => format!("— of {needed}"),
    };
    let verdict = gate.assessment.verdict;
    GateRow {
        // GO that has not held long enough is not yet a GO for the operator; the word says so by its hold.
        verdict,
        name: clean(&gate.name).into_owned(),
        now: actual.join(", "),
        age: match (verdict, gate.assessment.age()) {
            (Verdict::Unknown, _) | (_, None) => "—".to_owned(),
            (_, Some(age)) => words::age(age),
        },
        held,
    }
}

fn preview(step: &Step, state: StepState, whole: bool, blocks: &mut Vec<Block>) {
    if matches!(state, StepState::Done | StepState::Skipped | StepState::Verifying) && !whole {
        return;
    }
    let heading = match (step.work.section, step.work.deadline) {
        (true, Some(deadline)) => {
            format!("SECTION of {}, one confirmation, deadline {deadline}, undoes itself", step.work.jobs.len())
        }
        (true, None) => format!("SECTION of {}, one confirmation, undoes itself", step.work.jobs.len()),
        (false, _) => {
            format!("WILL DO · {}", step.work.jobs.first().map_or("nothing", |job| job.action.kind()))
        }
    };
    let lines = cut(&step.work.preview, whole);
    blocks.push(Block::Lines { heading, lines });
}

/// What an undo that is being asked about will do.
fn taking_back(work: &Work, blocks: &mut Vec<Block>) {
    let kind = work.jobs.first().map_or("nothing", |job| job.action.kind());
    let heading = if work.section {
        format!("TAKING IT BACK WILL DO · a section of {}", work.jobs.len())
    } else {
        format!("TAKING IT BACK WILL DO · {kind}")
    };
    blocks.push(Block::Lines { heading, lines: cut(&work.preview, true) });
}

fn cut(lines: &[String], whole: bool) -> Vec<Text> {
    let total = lines.len();
    let shown = if whole { total } else { PREVIEW_LINES };
    let mut cut: Vec<Text> = lines.iter().take(shown).map(|line| Text::plain(clean(line))).collect();
    if total > shown {
        cut.push(Text::new(Role::Dim, format!("… {} more, p shows everything", words::count(total - shown, "line"))));
    }
    cut
}

fn undo(scene: &Scene, step: &Step, whole: bool, blocks: &mut Vec<Block>) {
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
        (None, _) => line.and(Role::Strong, " · by hand: the runbook has no undo"),
    };
    if let Some(undoing) = scene.run.durations(&step.id).and_then(|durations| durations.undoing) {
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
