//! The frontier of a run: steps under way, steps that could begin, and what would be taken back first.
//!
//! These are asked for after every event. Looked for among all steps, they would make a long runbook slow; so they are
//! kept as facts arrive, and a fact touches only the steps beside its own.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::StepId;
use super::plan::{Plan, Step};

/// Where a step stands, as far as the frontier cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Neither of the others.
    #[default]
    Idle,
    /// It is running, verifying or in doubt.
    UnderWay,
    /// It no longer holds back those that need it.
    Settled,
}

/// What the frontier is told of a step when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// Where it stands now.
    pub(super) readiness: Readiness,
    /// Whether something of it is, or may be, in the world.
    pub(super) effect: bool,
    /// Whether it has just been started.
    pub(super) started: bool,
}

/// Steps that a driver looks at, out of all steps of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Frontier {
    /// One a step, by its position in the plan. Empty before the first fact.
    places: Vec<Place>,
    under_way: BTreeSet<StepId>,
    /// Positions of steps that are idle, not settled, and wait for no other.
    open: BTreeSet<usize>,
    /// Steps that were started and have an effect, or on which one rests: by the order in which they were last started.
    roots: BTreeMap<u64, usize>,
    /// How often steps were started.
    starts: u64,
}

/// What is known of one step.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    readiness: Readiness,
    effect: bool,
    /// How many of its needs are not settled.
    unmet: usize,
    /// How many steps that need it directly are live.
    live_above: usize,
    /// Its number among all starts, the last time that it was started.
    start: Option<u64>,
}

impl Place {
    fn open(&self) -> bool {
        self.readiness == Readiness::Idle && self.unmet == 0
    }

    /// Whether it has an effect, or something that rests on it has.
    fn live(&self) -> bool {
        self.effect || self.live_above > 0
    }
}

impl Frontier {
    /// Takes in what has become of a step.
    pub(super) fn update(&mut self, plan: &Plan, id: &StepId, changed: Changed) {
        if changed.readiness == Readiness::UnderWay {
            self.under_way.insert(id.clone());
        } else {
            self.under_way.remove(id);
        }
        if self.places.is_empty() {
            self.lay_out(plan);
        }
        let Some(&at) = plan.index.get(id) else { return };
        let Some(place) = self.places.get_mut(at) else { return };
        if changed.started {
            self.starts += 1;
            if let Some(earlier) = place.start.replace(self.starts) {
                self.roots.remove(&earlier);
            }
        }
        let was_settled = std::mem::replace(&mut place.readiness, changed.readiness) == Readiness::Settled;
        let is_settled = changed.readiness == Readiness::Settled;
        self.sort_in(at);
        if was_settled != is_settled {
            for need in plan.needing(id) {
                self.met(plan, need, is_settled);
            }
        }
        self.set_effect(plan, at, changed.effect);
    }

    fn lay_out(&mut self, plan: &Plan) {
        let place = |step: &Step| Place { unmet: step.needs.len(), ..Place::default() };
        self.places = plan.steps.iter().map(place).collect();
        self.open = (0..self.places.len()).filter(|at| self.places.get(*at).is_some_and(Place::open)).collect();
    }

    /// One of a step's needs has been settled, or is so no longer.
    fn met(&mut self, plan: &Plan, id: &StepId, settled: bool) {
        let Some(&at) = plan.index.get(id) else { return };
        if let Some(place) = self.places.get_mut(at) {
            place.unmet = if settled { place.unmet.saturating_sub(1) } else { place.unmet + 1 };
        }
        self.sort_in(at);
    }

    fn sort_in(&mut self, at: usize) {
        if self.places.get(at).is_some_and(Place::open) {
            self.open.insert(at);
        } else {
            self.open.remove(&at);
        }
    }

    /// Notes whether a step has an effect, and tells the steps below it, down to the first that is live all the same.
    fn set_effect(&mut self, plan: &Plan, at: usize, effect: bool) {
        let mut changed = Vec::new();
        if let Some(place) = self.places.get_mut(at) {
            let was = place.live();
            place.effect = effect;
            if was != place.live() {
                changed.push(at);
            }
        }
        self.sort_root(at);
        while let Some(above) = changed.pop() {
            let live = self.is_live_at(above);
            for need in plan.steps.get(above).into_iter().flat_map(|step| &step.needs) {
                let Some(&below) = plan.index.get(need) else { continue };
                let Some(place) = self.places.get_mut(below) else { continue };
                let was = place.live();
                place.live_above = if live { place.live_above + 1 } else { place.live_above.saturating_sub(1) };
                if was != place.live() {
                    changed.push(below);
                    self.sort_root(below);
                }
            }
        }
    }

    fn sort_root(&mut self, at: usize) {
        let Some(place) = self.places.get(at) else { return };
        let Some(start) = place.start else { return };
        if place.live() {
            self.roots.insert(start, at);
        } else {
            self.roots.remove(&start);
        }
    }

    fn is_live_at(&self, at: usize) -> bool {
        self.places.get(at).is_some_and(Place::live)
    }

    /// Steps that are running, verifying or in doubt, by name.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &StepId> {
        self.under_way.iter()
    }

    /// Steps that are idle, not settled, and wait for no other, in the order of the plan.
    pub(super) fn open<'p>(&self, plan: &'p Plan) -> Vec<&'p Step> {
        if self.places.is_empty() {
            return plan.steps.iter().filter(|step| step.needs.is_empty()).collect();
        }
        self.open.iter().filter_map(|at| plan.steps.get(*at)).collect()
    }

    /// The first of [`Frontier::open`].
    pub(super) fn first_open<'p>(&self, plan: &'p Plan) -> Option<&'p Step> {
        if self.places.is_empty() {
            return plan.steps.iter().find(|step| step.needs.is_empty());
        }
        plan.steps.get(*self.open.first()?)
    }

    /// Steps that need this one directly and have an effect, or on which one rests, in the order of the runbook.
    pub(super) fn live_above<'s>(&'s self, plan: &'s Plan, id: &StepId) -> impl DoubleEndedIterator<Item = &'s StepId> {
        let live = |id: &&StepId| plan.index.get(*id).is_some_and(|at| self.is_live_at(*at));
        plan.needing(id).iter().filter(live)
    }

    /// Steps that were started and have an effect, or on which one rests, the newest first.
    pub(super) fn roots<'s>(&'s self, plan: &'s Plan) -> impl Iterator<Item = &'s StepId> {
        self.roots.values().rev().filter_map(|at| plan.steps.get(*at)).map(|step| &step.id)
    }
}
