//! What is worth stopping for while a rehearsal skips ahead (gates and checks where the run is, dates that were
//! promised), and what the run waits for when nothing happens by itself.

use super::action::Action;
use super::evidence::{Evidence, Verdict};
use super::ids::StepId;
use super::plan::{Plan, Step};
use super::poll::poll;
use super::rollback::{is_going_back, way_back};
use super::state::{Run, StepProgress};
use super::status::here;
use super::time::{At, Span};
use super::{board::Board, progress};

/// The state of gates, checks and dates where the run is, apart from what operators decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    step: Option<StepId>,
    stations: Vec<Station>,
    /// Whether a status update to the stakeholders is due.
    update_due: bool,
    /// Whether the step takes longer than it may.
    overdue: bool,
}

/// A gate, check or guard of the step.
#[derive(Clone, Debug, PartialEq)]
struct Station {
    what: &'static str,
    name: String,
    verdict: Verdict,
    open: bool,
    needed: Span,
}

impl Station {
    fn of(what: &'static str, evidence: Evidence) -> Self {
        let (verdict, open) = (evidence.assessment.verdict, evidence.open());
        Self { what, name: evidence.name, verdict, open, needed: evidence.needed }
    }

    fn change_since(&self, before: &Station) -> Option<String> {
        let Station { what, name, verdict, open, needed } = self;
        match (before.verdict == *verdict, before.open == *open) {
            (false, _) if *verdict == Verdict::Go && !open => {
                Some(format!("{what} \"{name}\" became GO and must hold for {needed}"))
            }
            (false, _) => Some(format!("{what} \"{name}\" became {verdict}")),
            (true, false) if *open => Some(format!("{what} \"{name}\" has been GO for long enough")),
            (true, false) => Some(format!("{what} \"{name}\" must hold for {needed} again")),
            (true, true) => None,
        }
    }
}

impl Outlook {
    /// How things stand now.
    pub fn of(plan: &Plan, run: &Run, board: &Board, now: At) -> Self {
        let step = here(plan, run);
        Self {
            step: step.map(|step| step.id.clone()),
            stations: step.map(|step| stations(plan, run, board, now, step)).unwrap_or_default(),
            update_due: update_due_at(plan, run).is_some_and(|due| due <= now),
            overdue: overdue_at(run, step).is_some_and(|due| due <= now),
        }
    }

    /// What has changed since an earlier look, in one sentence; `None` when nothing has, or only what facts report.
    pub fn change_since(&self, before: &Outlook) -> Option<String> {
        if self.step == before.step {
            let pairs = self.stations.iter().filter_map(|station| {
                let was = before.stations.iter().find(|was| was.what == station.what && was.name == station.name)?;
                station.change_since(was)
            });
            let mut changes = pairs.collect::<Vec<_>>().into_iter();
            if let Some(first) = changes.next() {
                let more = changes.len();
                return Some(if more == 0 { first } else { format!("{first}, and {more} more changed") });
            }
            if self.overdue && !before.overdue {
                return Some("the step takes longer than it may".to_owned());
            }
        }
        (self.update_due && !before.update_due).then(|| "a status update is due".to_owned())
    }
}

fn stations(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Vec<Station> {
    let guards = || step.guards.iter().map(|guard| Station::of("guard", board.guard(plan, run, now, guard)));
    match run.phase(&step.id) {
        StepProgress::Pending | StepProgress::Failed { .. } | StepProgress::Undone { .. } => {
            poll(plan, run, board, now, step)
                .into_iter()
                .map(|station| Station::of(if station.guard { "guard" } else { "gate" }, station.evidence))
                .collect()
        }
        StepProgress::Verifying { .. } => {
            let checks = progress::checks(plan, run, board, now, step);
            checks.into_iter().map(|check| Station::of("check", check)).chain(guards()).collect()
        }
        StepProgress::Running(_) => guards().collect(),
        StepProgress::InDoubt { .. } | StepProgress::Done { .. } | StepProgress::Skipped { .. } => Vec::new(),
    }
}

/// When the next status update to the stakeholders is due; in the past when it is late. `None` when none was promised.
pub fn update_due_at(plan: &Plan, run: &Run) -> Option<At> {
    let comms = plan.comms.as_ref().filter(|_| run.ended.is_none())?;
    Some(run.last_update?.plus(comms.every))
}

/// When the step takes longer than it may.
fn overdue_at(run: &Run, step: Option<&Step>) -> Option<At> {
    let step =
        step.filter(|step| matches!(run.phase(&step.id), StepProgress::Running(_) | StepProgress::Verifying { .. }))?;
    Some(run.step(&step.id).started?.plus(step.max?))
}

/// The next moment after now at which a date is missed that nothing in the simulated world depends on.
pub fn next_date(plan: &Plan, run: &Run, now: At) -> Option<At> {
    let dates = [update_due_at(plan, run), overdue_at(run, here(plan, run))];
    dates.into_iter().flatten().filter(|at| *at > now).min()
}

/// Whether something is under way that ends by itself: anything but a checklist.
pub fn moves_by_itself(plan: &Plan, run: &Run) -> bool {
    run.under_way().any(|(_, step)| match &step.phase {
        StepProgress::Running(running) => plan.action(&running.key).and_then(Action::checklist).is_none(),
        StepProgress::Verifying { .. } => true,
        _ => false,
    })
}

/// What the run needs from its operator, when nothing else can move it on. `None` while something is under way, or
/// while a gate of the next step is shut: that may open by itself.
pub fn waits_for(plan: &Plan, run: &Run, board: &Board, now: At) -> Option<String> {
    if run.ended.is_some() {
        return Some("the run is over".to_owned());
    }
    if moves_by_itself(plan, run) {
        return None;
    }
    if is_going_back(run) {
        let over = way_back(plan, run).steps.is_empty();
        let what = if over { "everything is taken back; you end the run" } else { "the way back waits for you" };
        return Some(what.to_owned());
    }
    let Some(step) = here(plan, run) else { return Some("there are no steps".to_owned()) };
    let number = step.number;
    match run.phase(&step.id) {
        StepProgress::Running(_) => Some(format!("the checklist of step {number} waits for you")),
        StepProgress::InDoubt { .. } => Some(format!("step {number} is in doubt; say what became of it")),
        StepProgress::Pending | StepProgress::Undone { .. } | StepProgress::Failed { .. } => {
            let open = poll(plan, run, board, now, step).iter().all(|station| station.evidence.open());
            let failed = matches!(run.phase(&step.id), StepProgress::Failed { .. });
            let what = if failed { "has failed and waits for you" } else { "waits for you to start it" };
            open.then(|| format!("step {number} {what}"))
        }
        StepProgress::Done { .. } | StepProgress::Skipped { .. } => {
            Some("every step is done; you end the run".to_owned())
        }
        StepProgress::Verifying { .. } => None,
    }
}
