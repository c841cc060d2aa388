//! What the rehearsals on record say about the durations of a plan's steps.

use std::rc::Rc;

use super::RunbookArgs;
use super::records::{baselines_of, options_of};
use super::rehearsals::{OnRecord, rehearsal_of};
use crate::core::plan::Plan;
use crate::journal::{Digest, Reader, Store};
use crate::rehearsal::durations::{Gathered, MeasuredRehearsal};
use crate::runbook::{Options, load_kept};

/// Number of the newest rehearsals that are measured, since a forecast should describe the present.
const NEWEST: usize = 20;

/// Number of the newest runs that are searched for them: a long history must not delay the start of a run.
const LOOKED_AT: usize = 200;

/// Measures the newest rehearsals of this runbook. Those that cannot be read are left out, whatever the reason: a
/// missing forecast is no reason to refuse a run.
pub(super) fn of(store: &Store, plan: &Plan, source: &str, args: &RunbookArgs) -> Gathered {
    let mut present = Present {
        plan,
        runbook: Digest::of(source.as_bytes()),
        options: Options { profile: args.profile.clone(), set: args.set.clone() },
        plans: Vec::new(),
    };
    let mut gathered = Gathered::default();
    let mut found = 0;
    for id in store.ids().unwrap_or_default().iter().rev().take(LOOKED_AT) {
        let rehearsal = rehearsal_of(store, id, |meta| meta.title == plan.title);
        if rehearsal.is_some_and(|rehearsal| present.measure(id.short(), &rehearsal, &mut gathered).is_some()) {
            found += 1;
        }
        if found == NEWEST {
            break;
        }
    }
    gathered
}

/// The plan that durations are wanted for, and what was read to compare with it.
struct Present<'a> {
    plan: &'a Plan,
    runbook: Digest,
    options: Options,
    /// Plans that were read already, since most rehearsals use a few versions of a runbook.
    plans: Vec<(Digest, Options, Option<Rc<Plan>>)>,
}

impl Present<'_> {
    fn measure(&mut self, name: &str, rehearsal: &OnRecord, gathered: &mut Gathered) -> Option<()> {
        let OnRecord { reader, facts, real } = rehearsal;
        let options = options_of(reader.meta()).ok()?;
        let same_text = reader.meta().runbook == self.runbook;
        let same_options = options == self.options;
        let then = if same_text && same_options { None } else { Some(self.read(reader, options)?) };
        let as_now = match &then {
            _ if same_text => None,
            Some(then) if same_options => Some(Rc::clone(then)),
            _ => Some(self.read(reader, self.options.clone())?),
        };
        let plan = then.as_deref().unwrap_or(self.plan);
        gathered.add(MeasuredRehearsal { name, real: *real, plan, as_now: as_now.as_deref(), facts }, self.plan);
        Some(())
    }

    /// A rehearsal's copy of its runbook; `None` when this version or this profile cannot read it.
    fn read(&mut self, reader: &Reader, options: Options) -> Option<Rc<Plan>> {
        let runbook = reader.meta().runbook;
        if let Some((.., plan)) = self.plans.iter().find(|(of, with, _)| *of == runbook && *with == options) {
            return plan.clone();
        }
        let text = reader.runbook().ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let baselines = baselines_of(reader.meta()).ok()?;
        let plan = text.and_then(|text| load_kept("the run's runbook", text, &options, &baselines).ok());
        let plan = plan.map(|loaded| Rc::new(loaded.plan));
        self.plans.push((runbook, options, plan.clone()));
        plan
    }
}
