//! The graph of steps: which step needs which, without unknown names, duplicates or circles.

use std::collections::HashMap;

use crate::core::ids::StepId;
use crate::core::nearest::suggestion;
use crate::core::plan::Step;

use super::build::Draft;
use super::diagnostic::{Diagnostic, Mark};

/// Links the drafts by their needs and reports what does not fit.
pub(super) fn link(drafts: Vec<Draft>, faults: &mut Vec<Diagnostic>) -> Vec<Step> {
    let mut places: HashMap<StepId, (usize, Mark)> = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        if let Some((_, first)) = places.get(&draft.step.id) {
            let fault = Diagnostic::new(format!("two steps have the id `{}`", draft.step.id));
            faults.push(fault.at(draft.id, "again").also(*first, "first here"));
        } else {
            places.insert(draft.step.id.clone(), (at, draft.id));
        }
    }
    let mut edges: Vec<Vec<(usize, Mark)>> = Vec::with_capacity(drafts.len());
    let mut steps: Vec<Step> = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.into_iter().enumerate() {
        let mut step = draft.step;
        let mut found = Vec::new();
        match draft.needs {
            None => step.needs = steps.last().map(|before| before.id.clone()).into_iter().collect(),
            Some(needs) => {
                for (name, mark) in needs {
                    let Some((other, _)) = places.get(name.as_str()) else {
                        let fault = Diagnostic::new(format!("there is no step `{name}`")).at(mark, "unknown step");
                        let known = places.keys().map(StepId::as_str).filter(|id| *id != step.id.as_str());
                        faults.push(fault.help(suggestion(&name, known)));
                        continue;
                    };
                    found.push((*other, mark));
                    let id = StepId::from(name);
                    if step.needs.contains(&id) {
                        faults.push(Diagnostic::new(format!("`{id}` is needed twice")).at(mark, "again"));
                    } else {
                        step.needs.push(id);
                    }
                }
            }
        }
        if step.needs.len() == 1 && found.is_empty() && at > 0 {
            // The step before is the default: it has no place in the text, and never causes a circle by itself.
            found.push((at - 1, draft.id));
        }
        edges.push(found);
        steps.push(step);
    }
    circles(&edges, &steps, faults);
    steps
}

/// Finds circles with a depth-first walk that keeps its own stack: runbooks may have many thousand steps.
fn circles(edges: &[Vec<(usize, Mark)>], steps: &[Step], faults: &mut Vec<Diagnostic>) {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnPath,
        Done,
    }
    let mut seen = vec![Seen::No; edges.len()];
    let set = |seen: &mut Vec<Seen>, at: usize, value| {
        if let Some(slot) = seen.get_mut(at) {
            *slot = value;
        }
    };
    for start in 0..edges.len() {
        if seen.get(start) != Some(&Seen::No) {
            continue;
        }
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        set(&mut seen, start, Seen::OnPath);
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            let Some(&(other, mark)) = edges.get(at).and_then(|edges| edges.get(*next)) else {
                set(&mut seen, at, Seen::Done);
                path.pop();
                continue;
            };
            *next += 1;
            match seen.get(other) {
                Some(Seen::No) => {
                    set(&mut seen, other, Seen::OnPath);
                    path.push((other, 0));
                }
                Some(Seen::OnPath) => {
                    let circle = path.iter().map(|(at, _)| *at).skip_while(|at| *at != other).chain([other]);
                    let names: Vec<&str> = circle.filter_map(|at| steps.get(at)).map(|step| step.id.as_str()).collect();
                    let fault = Diagnostic::new("steps need each other in a circle, so none of them can start");
                    let label = format!("{} (each needs the next)", names.join(" → "));
                    faults.push(fault.at(mark, label));
                }
                _ => {}
            }
        }
    }
}
