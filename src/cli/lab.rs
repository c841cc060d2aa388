//! `lab`: the disposable world, and a cockpit on it.

use std::path::{Path, PathBuf};

use super::records::MODE;
use super::{Failure, Look, Outcome, RunbookArgs, drive, say};
use crate::cockpit::Exit;
use crate::core::fact::Mode;
use crate::journal::{Reader, RunSummary, Store};
use crate::lab::{Attachment, Lab, LabOptions, clean, find, stop};

/// The name under which the runbook inside the program goes.
pub(super) const BUNDLED: &str = "<bundled runbook.yaml>";

/// The runbook inside the program, for when it is run away from its source.
pub(super) const BUNDLED_TEXT: &str = include_str!("../../runbook.yaml");

/// The profile that fits the lab.
const PROFILE: &str = "lab";

/// What is driven when nothing is said: the runbook here, else the one inside the program.
pub(super) fn bundled() -> RunbookArgs {
    let here = PathBuf::from("runbook.yaml");
    let path = if here.is_file() { here } else { PathBuf::from(BUNDLED) };
    RunbookArgs { path, profile: None, set: Vec::new() }
}

fn options(state: &Path) -> Result<LabOptions, Failure> {
    let mut options = LabOptions::new(state);
    options.program = Some(drive::own_path()?);
    // The runbook sets replication up itself: that is part of what is driven.
    options.replication = false;
    Ok(options)
}

fn start(state: &Path) -> Result<Lab, Failure> {
    clean(state).map_err(Failure::outside)?;
    say("starting a disposable world on loopback...");
    let lab =
        crate::lab::start(&options(state)?, &mut |line: &str| say(&format!("  {line}"))).map_err(Failure::outside)?;
    Ok(lab)
}

/// The lab's addresses as the runbook's vars.
fn vars(lab: &Lab) -> Vec<(String, String)> {
    let of = |name: &str| lab.vars.get(name).cloned().unwrap_or_default();
    let replicator = |port: &str| format!("host=127.0.0.1 port={} user=replicator dbname=shop", of(port));
    let archive = std::path::Path::new(&of("secrets_dir")).join("shop-before-decommission.dump");
    [
        ("old_db", of("old_db")),
        ("new_db", of("new_db")),
        ("old_for_new", replicator("old_db_port")),
        ("new_for_old", replicator("new_db_port")),
        ("old_connect", format!("{}:{}", of("old_address"), of("web_port"))),
        ("new_connect", format!("{}:{}", of("new_address"), of("web_port"))),
        ("customers_url", format!("http://{}", of("control"))),
        ("zone", of("zone")),
        ("app", of("app_name")),
        ("old_address", of("old_address")),
        ("new_address", of("new_address")),
        ("dns_server", of("dns_authoritative")),
        ("resolver_a", of("resolver_a")),
        ("resolver_b", of("resolver_b")),
        ("resolver_c", of("resolver_c")),
        ("tsig_name", of("tsig_name")),
        ("pg_dump", format!("{}/pg_dump", of("pg_bin"))),
        ("archive", archive.display().to_string()),
        ("secrets_dir", of("secrets_dir")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The lab to drive in, and whether it was up already. One in which a run was begun is no fresh world: that run can
/// be gone on with, or the lab ended, but another run would find what it left.
fn fresh(state: &Path) -> Result<(Lab, bool), Failure> {
    let Some(lab) = find(state) else { return Ok((start(state)?, false)) };
    let lab_run = |run: &RunSummary| {
        run.journal.as_ref().is_ok_and(|journal| {
            journal.meta.created_at >= lab.started_at
                && journal.meta.labels.get(MODE).map(String::as_str) == Some(Mode::Lab.as_str())
        })
    };
    let used = Store::open(state)?.list()?.into_iter().find(lab_run);
    match used {
        None => Ok((lab, true)),
        Some(run) => Err(Failure::usage(format!(
            "the lab of run {run} is still up: go on with `gonogo resume {run}`, or end it with `gonogo lab --down` \
             for a fresh one",
            run = run.id.short()
        ))),
    }
}

/// Drives the runbook in a fresh lab, and takes the lab down when the cockpit is left unless it was up before.
pub(super) fn drive(state: &Path, look: Look, runbook: &RunbookArgs, keep: bool) -> Outcome {
    // Whether the runbook is good and somebody can see it is known before anything is started.
    let mut args = runbook.clone();
    if let Some(other) = args.profile.as_deref().filter(|profile| *profile != PROFILE) {
        return Err(Failure::usage(format!(
            "the lab drives the profile `{PROFILE}` only, not `{other}`: use `gonogo run`"
        )));
    }
    args.profile = Some(PROFILE.to_owned());
    super::check::read(&args, look.color)?;
    drive::Seat::check(look)?;
    let (lab, was_up) = fresh(state)?;
    let mut set = vars(&lab);
    set.extend(args.set);
    args.set = set;
    let attachment = lab.attach().map_err(Failure::outside)?;
    let result = drive::start(state, look, &args, Mode::Lab, None);
    drop(attachment);
    // A lost terminal is no wish to end anything.
    let taken_away = matches!(result, Ok(status) if status == Exit::Detached(String::new()).code());
    if keep || was_up || taken_away {
        say("the lab goes on for 15 minutes; `gonogo lab --down` ends it");
        return result;
    }
    stop(state).map_err(Failure::outside)?;
    let unfinished = !matches!(result, Ok(0));
    say(if unfinished {
        "the lab is gone, so this run cannot be gone on with; --keep would have kept it"
    } else {
        "the lab is gone"
    });
    result
}

/// Keeps a running lab alive while a lab run is resumed in it.
pub(super) fn attach_if_lab(state: &Path, reader: &Reader) -> Result<Option<Attachment>, Failure> {
    if reader.meta().labels.get(MODE).map(String::as_str) != Some(Mode::Lab.as_str()) {
        return Ok(None);
    }
    if let Some(lab) = find(state) {
        return lab.attach().map(Some).map_err(Failure::outside);
    }
    say("the lab of this run is gone: its panes will stay dark (start a new one with `gonogo lab`)");
    Ok(None)
}

pub(super) fn up(state: &Path) -> Outcome {
    let lab = start(state)?;
    for (name, value) in vars(&lab) {
        say(&format!("{name}={value}"));
    }
    say("ready; it ends by itself after 15 minutes without a cockpit, or with: gonogo lab --down");
    Ok(0)
}

pub(super) fn down(state: &Path) -> Outcome {
    let ran = find(state).is_some();
    stop(state).map_err(Failure::outside)?;
    say(if ran { "the lab is gone" } else { "no lab was running; nothing is left of one" });
    Ok(0)
}

pub(super) fn serve(options: &str) -> Outcome {
    let options = LabOptions::from_argument(options).map_err(Failure::usage)?;
    crate::lab::supervisor::serve(options).map_err(Failure::outside)?;
    Ok(0)
}
