//! Runbooks: from a YAML file to a [`Plan`], or everything that is wrong with it.
//!
//! A file is processed in stages: [`yaml`] reads it into a [`tree`] with places; [`template`] applies the profile,
//! `--set` and templates; [`validate`] checks it against the schema made from [`model`]'s types; [`build`] checks what
//! types cannot say and makes the plan; [`lint`] looks for what is allowed but unwise. Each stage reports all it finds.
//! Nothing here touches a target, resolves a secret or starts anything.

mod baselines;
mod build;
mod conceal;
mod connection_string;
pub mod diagnostic;
mod facts;
mod lint;
pub mod model;
mod name_servers;
mod names;
mod needs;
mod salvage;
mod scalar;
pub(crate) mod schema;
pub(crate) mod simulate;
mod substance;
mod template;
pub(crate) mod tree;
mod unrehearsed;
pub(crate) mod validate;
mod verdicts;
pub(crate) mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::core::ids::ProbeId;
use crate::core::plan::Plan;

use baselines::NamedFiles;
pub use baselines::{baseline_subject, baseline_text};
pub(crate) use conceal::telling;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use schema::schema;
pub use substance::substance;
use tree::{Kind, Node};

/// Largest runbook in bytes. The longest real ones are some hundred kilobytes.
pub(crate) const LARGEST: u64 = 4 * 1024 * 1024;

/// How a runbook is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The profile in force.
    pub profile: Option<String>,
    /// Vars and their values, as given with `--set`.
    pub set: Vec<(String, String)>,
}

/// A good runbook.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub plan: Plan,
    /// The text it was read from.
    pub source: String,
    /// Warnings, in the order of the text.
    pub warnings: Vec<Diagnostic>,
    /// The profiles it has.
    pub profiles: Vec<String>,
}

impl Loaded {
    /// The warnings in the form that can be shown.
    pub fn diagnostics(&self, name: &str) -> Diagnostics {
        Diagnostics::new(name, &self.source, Vec::new(), self.warnings.clone())
    }
}

/// Reads a runbook from a file.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Diagnostics> {
    load_file(path, options, NamedFiles::Beside(path.parent().unwrap_or(Path::new(""))))
}

/// Reads a runbook from a file without the baselines that its probes name, since recording the first one needs none.
pub fn load_without_baselines(path: &Path, options: &Options) -> Result<Loaded, Diagnostics> {
    load_file(path, options, NamedFiles::Ignored)
}

fn load_file(path: &Path, options: &Options, files: NamedFiles<'_>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    match read(path) {
        Ok(text) => loaded(&name, text, options, files),
        Err(fault) => Err(Diagnostics::new(&name, "", vec![*fault], Vec::new())),
    }
}

fn read(path: &Path) -> Result<String, Box<Diagnostic>> {
    let cannot = |error: &std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file",
            std::io::ErrorKind::PermissionDenied => "you may not read it",
            _ => "",
        };
        let fault = Diagnostic::new("the runbook cannot be read");
        Box::new(fault.help(if help.is_empty() { error.to_string() } else { help.to_owned() }))
    };
    let metadata = std::fs::metadata(path).map_err(|error| cannot(&error))?;
    if metadata.is_dir() {
        return Err(Box::new(Diagnostic::new("the runbook is a directory").help("name the file in it".to_owned())));
    }
    let too_large = || {
        let help = format!("a runbook has at most {} MiB", LARGEST / 1024 / 1024);
        Box::new(Diagnostic::new("the runbook is too large").help(help))
    };
    if metadata.len() > LARGEST {
        return Err(too_large());
    }
    // The length of a pipe or a device is not known beforehand; one byte more than allowed shows that it is too large.
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|&&byte| byte == b'\n').count() + 1;
        Box::new(Diagnostic::new("the runbook is not UTF-8 text").help(format!("the first bad byte is in line {line}")))
    })
}

/// Reads a runbook from a text; `name` is what the text is called in messages. Files that it names are looked for where the
/// program was started.
pub fn load_str(name: &str, text: impl Into<String>, options: &Options) -> Result<Loaded, Diagnostics> {
    loaded(name, text.into(), options, NamedFiles::Beside(Path::new("")))
}

/// The names of the vars that the runbook in a file declares; none when it cannot be read, which whoever loads it is told.
pub fn declared_vars(path: &Path) -> BTreeSet<String> {
    read(path).map(|text| declared_vars_in(&text)).unwrap_or_default()
}

/// The same of a text.
pub fn declared_vars_in(text: &str) -> BTreeSet<String> {
    let Ok(root) = yaml::parse(text) else { return BTreeSet::new() };
    root.get("vars").map_or(&[][..], Node::entries).iter().map(|(key, _)| key.name.to_string()).collect()
}

/// Reads the copy of a runbook that a run keeps, with its copies of the baselines, by probe.
pub fn load_kept(
    name: &str,
    text: impl Into<String>,
    options: &Options,
    baselines: &BTreeMap<ProbeId, Arc<str>>,
) -> Result<Loaded, Diagnostics> {
    loaded(name, text.into(), options, NamedFiles::Kept(baselines))
}

fn loaded(name: &str, source: String, options: &Options, files: NamedFiles<'_>) -> Result<Loaded, Diagnostics> {
    match compile(&source, options, files) {
        Ok((plan, warnings, profiles)) => Ok(Loaded { plan, source, warnings, profiles }),
        Err((errors, unreached)) => {
            // Warnings are left out now, so what they would have concealed may be shown beside a fault.
            let placed = errors.iter().any(|error| error.at.is_some());
            let secrets = if placed { conceal::places(&source) } else { Vec::new() };
            let mut found = Diagnostics::new(name, &source, errors, Vec::new()).concealing(&secrets);
            found.unreached = Some(unreached);
            Err(found)
        }
    }
}

type Compiled = (Plan, Vec<Diagnostic>, Vec<String>);

/// What has not been checked after each stage, for the message to whoever corrects its faults.
const AFTER_TEXT: &str = "keys, types, names, conditions and the order of steps";
const AFTER_TYPES: &str = "names, conditions and the order of steps";
const AFTER_SALVAGE: &str = "what has to do with them, and what is allowed but unwise";
const AFTER_NAMES: &str = "what is allowed but unwise";

/// The plan of a tree that fits the language.
fn built(
    root: &Node,
    source: &str,
    options: &Options,
    files: NamedFiles<'_>,
) -> Result<(model::Runbook, Plan), Vec<Diagnostic>> {
    let mut runbook = model::Runbook::deserialize(root)
        .map_err(|error| vec![Diagnostic::new("the runbook does not fit the language").help(error.to_string())])?;
    // Values of vars have been filled in where they are used, so they are not part of the plan.
    runbook.vars.clear();
    let plan = build::plan(&runbook, root, source, options.profile.as_deref(), files)?;
    Ok((runbook, plan))
}

fn compile(
    source: &str,
    options: &Options,
    files: NamedFiles<'_>,
) -> Result<Compiled, (Vec<Diagnostic>, &'static str)> {
    if source.len() as u64 > LARGEST {
        return Err((vec![Diagnostic::new("the runbook is too large")], AFTER_TEXT));
    }
    let mut root = yaml::parse(source).map_err(|faults| (faults, AFTER_TEXT))?;
    if root.kind == Kind::Null {
        let help = "a runbook has at least a `title` and `phases`".to_owned();
        return Err((vec![Diagnostic::new("the runbook is empty").help(help)], AFTER_TEXT));
    }
    let mut faults = Vec::new();
    let used = template::resolve(&mut root, source, options, &mut faults);
    faults.extend(validate::validate(&root));
    if !faults.is_empty() {
        let more = salvage::salvage(&root).map(|good| {
            let found = built(&good.root, source, options, files).err().unwrap_or_default();
            found.into_iter().filter(|fault| good.stands(fault, source)).collect::<Vec<_>>()
        });
        let unreached = if more.is_some() { AFTER_SALVAGE } else { AFTER_TYPES };
        faults.extend(more.into_iter().flatten());
        return Err((faults, unreached));
    }
    let (runbook, plan) = built(&root, source, options, files).map_err(|faults| (faults, AFTER_NAMES))?;
    let warnings = lint::warnings(&runbook, &plan, &root, &used);
    let profiles = root.get("profiles").map_or(&[][..], Node::entries);
    let profiles = profiles.iter().map(|(key, _)| key.name.to_string()).collect();
    Ok((plan, warnings, profiles))
}
