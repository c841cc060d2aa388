//! The poll before a start: what must be GO, and in the operator's words why something is not.

use super::board::Board;
use super::evidence::{Assessment, Evidence, Term, Verdict};
use super::plan::{Gate, Guard, Plan, Step, Window};
use super::state::Run;
use super::time::{At, Span};

/// Something that must be GO for a step to start.
pub(super) struct Station {
    pub evidence: Evidence,
    /// Whether a reason is enough to start without its GO.
    pub overridable: bool,
    /// Whether it is a guard: a broken one would end the step at once.
    pub guard: bool,
}

/// The poll before a start: the window of the change, the step's gates, its guards (what would end the step at once
/// does not let it begin), and the numbers whose growth it counts.
pub(super) fn poll(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Vec<Station> {
    let open = |evidence| Station { evidence, overridable: true, guard: false };
    let gate = |gate: &Gate| Station { overridable: gate.overridable, ..open(board.gate(plan, now, gate)) };
    let guard = |guard: &Guard| {
        let evidence = board.guard_at_start(plan, now, guard);
        Station { overridable: evidence.assessment.verdict != Verdict::NoGo, evidence, guard: true }
    };
    let window = run.window(plan).map(|window| open(window_gate(window, now)));
    let counted = board.countable(plan, now, step).into_iter().map(open);
    window.into_iter().chain(step.gates.iter().map(gate)).chain(step.guards.iter().map(guard)).chain(counted).collect()
}

/// Everything that must be GO for a step to start, judged now: the window of the change, its gates, its guards and
/// the numbers whose growth it counts.
pub fn gates(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Vec<Evidence> {
    poll(plan, run, board, now, step).into_iter().map(|station| station.evidence).collect()
}

/// The window of the change as a gate of every step.
fn window_gate(window: Window, now: At) -> Evidence {
    let inside = window.opens <= now && now < window.closes;
    let (actual, why) = if now < window.opens {
        (format!("it opens in {}", window.opens.since(now)), None)
    } else {
        (format!("it closed {} ago", now.since(window.closes)), None)
    };
    let verdict = if inside { Verdict::Go } else { Verdict::NoGo };
    let term = Term {
        text: "now is inside the window".to_owned(),
        verdict,
        actual: if inside { format!("it closes in {}", window.closes.since(now)) } else { actual },
        why,
        age: Some(Span::ZERO),
    };
    Evidence {
        name: "inside the window".to_owned(),
        rule: term.text.clone(),
        assessment: Assessment { verdict, terms: vec![term] },
        held: inside.then(|| now.since(window.opens)),
        needed: Span::ZERO,
    }
}
