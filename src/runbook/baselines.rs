//! The baselines that probes name: reads them and checks that they fit what the probe asks for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::core::ids::ProbeId;
use crate::core::kind::spec::AskedRequests;
use crate::core::plan::Plan;
use crate::core::time::Span;
use crate::latency::file::{BaselineError, BaselineFile, BaselineSubject, LARGEST_BASELINE};
use crate::latency::judge::is_failing;
use crate::latency::{can_pass, fewest_to_pass};

use super::diagnostic::Diagnostic;
use super::model::Runbook;
use super::tree::Node;

/// Where the files are that a runbook names.
#[derive(Clone, Copy, Debug)]
pub(super) enum NamedFiles<'a> {
    /// In this folder, unless their path is absolute.
    Beside(&'a Path),
    /// From these kept copies, by the name of the probe.
    Kept(&'a BTreeMap<ProbeId, Arc<str>>),
    /// They are not read.
    Ignored,
}

impl NamedFiles<'_> {
    fn read(self, probe: &ProbeId, file: &str) -> Result<Option<Arc<str>>, String> {
        let folder = match self {
            NamedFiles::Beside(folder) => folder,
            NamedFiles::Kept(kept) => {
                return kept.get(probe).cloned().map(Some).ok_or_else(|| "no copy of it was kept".to_owned());
            }
            NamedFiles::Ignored => return Ok(None),
        };
        baseline_text(&folder.join(file)).map(|text| Some(text.into()))
    }
}

/// The text of a baseline's file. Of a longer one than is allowed it is the beginning, one byte too long.
///
/// # Errors
///
/// In a sentence: the system's word, or that it is no regular file.
pub fn baseline_text(path: &Path) -> Result<String, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    // Looked at first: opening a pipe waits for somebody to write.
    if !std::fs::metadata(path).map_err(said)?.is_file() {
        return Err(format!("{}: not a file", path.display()));
    }
    let mut text = String::new();
    let opened = File::open(path).map_err(said)?;
    opened.take(LARGEST_BASELINE + 1).read_to_string(&mut text).map_err(said)?;
    Ok(text)
}

/// What the baseline of a probe of this runbook is for; `limit` is the probe's.
pub fn baseline_subject(title: &str, probe: &str, asked: &AskedRequests<'_>, limit: Span) -> BaselineSubject {
    BaselineSubject {
        runbook: title.to_owned(),
        probe: probe.to_owned(),
        asks: asked.asks.clone(),
        asked: asked.asked.clone(),
        limit,
    }
}

/// Reads every baseline that is named; a fault in one is reported at the place that names it.
pub(super) fn read(
    runbook: &Runbook,
    root: &Node,
    files: NamedFiles<'_>,
    faults: &mut Vec<Diagnostic>,
) -> BTreeMap<ProbeId, Arc<str>> {
    let mut found = BTreeMap::new();
    for (name, probe) in &runbook.probes {
        let Some(asked) = probe.kind.requests() else { continue };
        let Some(file) = asked.baseline else { continue };
        let mark = root.path(&["probes", name, "baseline"]).mark;
        let id = ProbeId::from(name.as_str());
        match files.read(&id, file) {
            Ok(None) => {}
            Ok(Some(text)) => match check(&text, files, &baseline_subject(&runbook.title, name, &asked, probe.limit)) {
                Ok(()) => drop(found.insert(id, text)),
                Err(error) => faults.push(Diagnostic::new(error.to_string()).at(mark, "this file")),
            },
            Err(why) => {
                let fault = Diagnostic::new("the baseline cannot be read").at(mark, "this file");
                let record = format!("`gonogo baseline record RUNBOOK --probe {name}` makes one");
                faults.push(fault.help(Some(format!("{why}; {record}"))));
            }
        }
    }
    found
}

/// Warns of baselines that are read, but say less than is asked of them.
pub(super) fn warnings(runbook: &Runbook, plan: &Plan, root: &Node, found: &mut Vec<Diagnostic>) {
    for name in runbook.probes.keys() {
        let text = plan.baselines.get(name.as_str());
        let Some(file) = text.and_then(|text| BaselineFile::read(text).ok()) else { continue };
        let mark = root.path(&["probes", name, "baseline"]).mark;
        for recording in &file.recordings {
            let told = recording.told();
            for (request, of) in &recording.requests {
                let Ok(samples) = of.samples() else { continue };
                if is_failing(of.total, of.failed) {
                    let message = format!("{} of {} requests of {request} failed in the baseline", of.failed, of.total);
                    let label = format!("of {told}; what fails as often later counts as normal");
                    let help = "record it again while the service is well".to_owned();
                    found.push(Diagnostic::new(message).at(mark, label).help(Some(help)));
                }
                if !can_pass(&samples) {
                    let fewest = fewest_to_pass();
                    let message = format!(
                        "no {request} that is held against this baseline can be PASS: it succeeded {} times in it",
                        samples.succeeded()
                    );
                    let label = format!("of {told}; it takes {fewest}, and more where slow requests come in clusters");
                    let help = format!("record it for longer: `gonogo baseline record RUNBOOK --probe {name}`");
                    found.push(Diagnostic::new(message).at(mark, label).help(Some(help)));
                }
            }
        }
    }
}

fn check(text: &str, files: NamedFiles, subject: &BaselineSubject) -> Result<(), BaselineError> {
    let file = BaselineFile::read(text)?;
    match files {
        NamedFiles::Kept(_) => file.check_kept(subject),
        NamedFiles::Beside(_) | NamedFiles::Ignored => file.check(subject),
    }
}
