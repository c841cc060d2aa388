//! When time alone will next change something: until then a driver may sleep, and a simulated world may skip ahead.

use super::action::{Action, Kept, Wait};
use super::board::Board;
use super::expr::Condition;
use super::job::Direction;
use super::plan::{ConditionId, Plan, Step};
use super::state::{Run, Running, StepProgress};
use super::time::{At, Span};

/// Before every moment.
const EVER: At = At(i64::MIN);

/// The earliest moment after `now` at which something is due although no reading, outcome or wish arrives: a wait or
/// soak that ends, a deadline, a check that has held or has run out of time, a gate that opens, a guard that breaks.
/// [`At::NEVER`] when there is none. It may be early (nothing happens then), never late.
pub fn next_due(plan: &Plan, run: &Run, board: &Board, now: At) -> At {
    if run.ended.is_some() {
        return At::NEVER;
    }
    let mut due = Earliest { now, at: At::NEVER };
    if let Some(window) = run.window(plan) {
        due.consider(window.opens);
        due.consider(window.closes);
    }
    for (id, progress) in run.under_way() {
        let Some(step) = plan.step(id) else { continue };
        match &progress.phase {
            StepProgress::Running(running) => of_running(plan, run, board, step, running, &mut due),
            StepProgress::Verifying { since } => {
                for check in &step.verify {
                    due.consider(since.plus(check.within));
                    due.consider(since.plus(check.within).plus(check.hold));
                    // A hold counts from the end of the action or from when it came true, whichever is later.
                    due.consider(since.plus(check.hold));
                    holds(plan, board, check.condition, (check.hold, *since), &mut due);
                    told_in_bins(plan, check.condition, &mut due);
                }
                if !step.guards.is_empty() {
                    due.consider(since.plus(step.guards_within()));
                }
                of_guards(board, step, &mut due);
            }
            _ => {}
        }
    }
    for gate in run.startable(plan).into_iter().flat_map(|step| &step.gates) {
        holds(plan, board, gate.condition, (gate.hold, EVER), &mut due);
    }
    due.at
}

fn of_running(plan: &Plan, run: &Run, board: &Board, step: &Step, running: &Running, due: &mut Earliest) {
    match plan.action(&running.key).and_then(Action::kept) {
        Some(Kept::Wait(Wait::For(span))) => due.consider(running.since.plus(*span)),
        Some(Kept::Wait(Wait::Until(until))) => {
            due.consider(running.since.plus(until.within));
            due.consider(running.since.plus(until.longest()));
            due.consider(running.since.plus(until.hold));
            for id in plan.until(&running.key) {
                holds(plan, board, *id, (until.hold, running.since), due);
                told_in_bins(plan, *id, due);
            }
        }
        Some(Kept::Soak(soak)) => due.consider(running.since.plus(soak.length)),
        Some(Kept::Manual(_)) | None => {}
    }
    if running.key.direction == Direction::Do {
        let deadline = plan.work(&running.key).and_then(|work| work.deadline);
        if let (Some(deadline), Some(started)) = (deadline, run.step(&step.id).started) {
            due.consider(started.plus(deadline));
        }
        of_guards(board, step, due);
    }
}

fn of_guards(board: &Board, step: &Step, due: &mut Earliest) {
    for guard in &step.guards {
        if let Some(broken) = board.broken_for(due.now, guard.condition) {
            due.consider(due.now.plus(guard.tolerate.left_after(broken)));
        }
    }
}

fn holds(plan: &Plan, board: &Board, condition: ConditionId, (hold, since): (Span, At), due: &mut Earliest) {
    if let Some(held) = board.held(due.now, condition) {
        due.consider(due.now.plus(hold.left_after(held)));
        if board.held_for(plan, due.now, condition, hold, since).is_some_and(|held| held < hold) {
            told_in_bins(plan, condition, due);
        }
    }
}

/// The next measurements of what tells of bins of time: that a newer bin is told is all that some conditions wait for.
fn told_in_bins(plan: &Plan, condition: ConditionId, due: &mut Earliest) {
    let probes = plan.condition(condition).into_iter().flat_map(Condition::probes);
    for probe in probes.filter_map(|id| plan.probes.get(id)).filter(|probe| probe.kind.bins().is_some()) {
        due.consider(due.now.plus(probe.every));
    }
}

/// The earliest of all moments after now.
struct Earliest {
    now: At,
    at: At,
}

impl Earliest {
    fn consider(&mut self, at: At) {
        if at > self.now {
            self.at = self.at.min(at);
        }
    }
}
