//! The poll before a start: what must be GO, and in the operator's words why something is not.

use super::board::Board;
use super::evidence::{Evidence, Verdict};
use super::plan::{Gate, Guard, Plan, Step};
use super::progress;
use super::time::At;

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
pub(super) fn poll(plan: &Plan, board: &Board, now: At, step: &Step) -> Vec<Station> {
    let open = |evidence| Station { evidence, overridable: true, guard: false };
    let gate = |gate: &Gate| Station { overridable: gate.overridable, ..open(board.gate(plan, now, gate)) };
    let guard = |guard: &Guard| {
        let evidence = board.guard_at_start(plan, now, guard);
        Station { overridable: evidence.assessment.verdict != Verdict::NoGo, evidence, guard: true }
    };
    let window = plan.window.map(|window| open(progress::window_gate(window, now)));
    let counted = board.countable(plan, now, step).into_iter().map(open);
    window.into_iter().chain(step.gates.iter().map(gate)).chain(step.guards.iter().map(guard)).chain(counted).collect()
}

/// Everything that must be GO for a step to start, judged now: the window of the change, its gates, its guards and
/// the numbers whose growth it counts.
pub fn gates(plan: &Plan, board: &Board, now: At, step: &Step) -> Vec<Evidence> {
    poll(plan, board, now, step).into_iter().map(|station| station.evidence).collect()
}

/// Why a gate is shut, in the operator's terms.
pub fn shut_sentence(gate: &Evidence) -> String {
    let verdict = gate.assessment.verdict;
    let mut reasons: Vec<String> = gate
        .assessment
        .shut_by()
        .map(|term| match &term.why {
            Some(why) => why.clone(),
            None if term.actual.is_empty() => term.text.clone(),
            None => format!("{} but {}", term.text, term.actual),
        })
        .collect();
    if reasons.is_empty()
        && let Some(held) = gate.held
    {
        reasons.push(format!("GO for {held} of {}", gate.needed));
    }
    format!("\"{}\" {verdict} ({})", gate.name, reasons.join(", "))
}
