//! Warnings about conditions on verdicts against a baseline.

use crate::core::plan::Plan;
use crate::core::value::Value;
use crate::latency::LatencyVerdict;

use super::diagnostic::Diagnostic;
use super::unrehearsed::AskedCondition;

/// Conditions that are GO as long as a verdict is INCONCLUSIVE, and so before anything was judged.
pub(super) fn warnings(plan: &Plan, asked: &[AskedCondition], found: &mut Vec<Diagnostic>) {
    for (node, condition) in asked {
        // Who names it means it.
        if condition.source().contains(LatencyVerdict::Inconclusive.as_str()) {
            continue;
        }
        for (probe, path) in condition.paths() {
            let asked = plan.probes.get(&probe).and_then(|of| of.kind.requests());
            let judged = asked.is_some_and(|asked| asked.baseline.is_some());
            if !judged || path.rsplit('.').next() != Some("verdict") {
                continue;
            }
            let shut_at = |verdict: LatencyVerdict| {
                let mut whole = Value::map::<String>([]);
                whole.put(&path, verdict.as_str().into());
                let Value::Map(whole) = whole else { return Vec::new() };
                condition.never(&[(probe.clone(), (*whole).clone())].into())
            };
            let open = shut_at(LatencyVerdict::Inconclusive);
            let shut = shut_at(LatencyVerdict::Fail);
            let Some(term) = shut.iter().find(|term| term.contains("verdict") && !open.contains(term)) else {
                continue;
            };
            let message = format!("`{term}` is GO while `{probe}.{path}` is INCONCLUSIVE");
            let warning = Diagnostic::new(message).at(node.mark, "and it is, until there is a first judgement");
            let help = format!("ask for `{probe}.{path} == \"PASS\"`");
            found.push(warning.help(Some(help)));
            break;
        }
    }
}
