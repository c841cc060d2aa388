//! `lab`: the disposable world, and a cockpit on it.

use std::collections::BTreeSet;
use std::path::Path;

use tracing::info;

use super::farewell::program;
use super::records::MODE;
use super::{CliError, LabKind, Look, Outcome, RunbookArgs, drive, loopback, say};
use crate::cockpit::CockpitExit;
use crate::core::fact::Mode;
use crate::core::resolver_kind::ResolverKind;
use crate::core::time::Span;
use crate::journal::{LockState, Reader, RunSummary, Store};
use crate::lab::{self, Attachment, Lab, LabOptions, LabSide, RESOLVER_LETTERS, clean, find, stop};

/// The message about a lab that outlives its cockpit.
pub(super) fn goes_on(state: &Path, complete: bool) -> String {
    let program = program(state);
    let on = if complete { String::new() } else { format!(": `{program} resume` goes on in it") };
    format!("the lab goes on for 15 minutes{on}; `{program} lab --down` ends it")
}

/// The profile that is made for the lab.
const PROFILE: &str = "lab";

fn options(state: &Path, kind: &LabKind) -> Result<LabOptions, CliError> {
    let mut options = LabOptions::new(state);
    options.program = Some(drive::own_path()?);
    // The runbook itself sets up replication.
    options.replication = false;
    options.one_address = kind.one_address;
    options.slow = kind.slow.unwrap_or_default().to_std();
    if !kind.resolvers.is_empty() {
        if kind.resolvers.iter().all(|kind| *kind == ResolverKind::Dead) {
            return Err(CliError::usage("one of the lab's resolvers has to answer: its customers need one"));
        }
        let most = RESOLVER_LETTERS.count();
        if kind.resolvers.len() > most {
            return Err(CliError::usage(format!("the lab has at most {most} resolvers")));
        }
        options.resolvers.clone_from(&kind.resolvers);
    }
    Ok(options)
}

fn start(state: &Path, kind: &LabKind) -> Result<Lab, CliError> {
    clean(state).map_err(CliError::outside)?;
    say("starting a disposable world on loopback...");
    let lab = crate::lab::start(&options(state, kind)?, &mut |line: &str| say(&format!("  {line}")))
        .map_err(CliError::outside)?;
    info!(process = lab.pid, dir = %lab.dir.display(), "the lab is up");
    Ok(lab)
}

/// The lab's addresses as the runbook's vars.
fn vars(lab: &Lab) -> Vec<(String, String)> {
    let resolvers = lab.vars.keys().filter(|name| name.starts_with(RESOLVER)).count();
    runbook_vars(resolvers, |name| lab.vars.get(name).cloned().unwrap_or_default())
}

/// Placeholder addresses for reading a runbook before a lab exists.
fn placeholder_vars(resolvers: usize) -> Vec<(String, String)> {
    runbook_vars(resolvers, |name| match name {
        "old_db" | "new_db" => "host=127.0.0.1 user=gonogo dbname=shop".to_owned(),
        "old_db_port" | "new_db_port" => "5432".to_owned(),
        "old_connect" | "new_connect" | "control" | "dns_authoritative" => "127.0.0.1:1".to_owned(),
        name if name.starts_with(RESOLVER) => "127.0.0.1:1".to_owned(),
        "old_address" => lab::OLD_ADDRESS.to_string(),
        "new_address" => lab::NEW_ADDRESS.to_string(),
        "zone" => lab::ZONE.to_owned(),
        "app_name" => lab::APP_NAME.to_owned(),
        "aws_endpoint" => "http://127.0.0.1:1".to_owned(),
        "aws_access_id" => lab::AWS_KEY.to_owned(),
        "hosted_zone" => lab::HOSTED_ZONE.to_owned(),
        "tsig_name" => lab::TSIG_NAME.to_owned(),
        _ => "lab".to_owned(),
    })
}

/// Beginning of the vars with the resolvers' addresses.
const RESOLVER: &str = "resolver_";

fn runbook_vars(resolvers: usize, of: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let replicator = |port: &str| format!("host=127.0.0.1 port={} user=replicator dbname=shop", of(port));
    let archive = Path::new(&of("work_dir")).join("shop-before-decommission.dump");
    let resolvers = RESOLVER_LETTERS.take(resolvers).map(|letter| format!("{RESOLVER}{letter}"));
    let resolvers = resolvers.map(|name| (name.clone(), of(&name))).collect::<Vec<_>>();
    [
        ("old_db", of("old_db")),
        ("new_db", of("new_db")),
        ("old_for_new", replicator("old_db_port")),
        ("new_for_old", replicator("new_db_port")),
        ("old_connect", of("old_connect")),
        ("new_connect", of("new_connect")),
        ("customers_url", format!("http://{}", of("control"))),
        ("zone", of("zone")),
        ("app", of("app_name")),
        ("old_address", of("old_address")),
        ("new_address", of("new_address")),
        ("dns_server", of("dns_authoritative")),
        ("tsig_name", of("tsig_name")),
        ("aws_endpoint", of("aws_endpoint")),
        ("aws_access_id", of("aws_access_id")),
        ("hosted_zone", of("hosted_zone")),
        ("pg_dump", format!("{}/pg_dump", of("pg_bin"))),
        ("archive", archive.display().to_string()),
        ("secrets_dir", of("secrets_dir")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .chain(resolvers)
    .collect()
}

/// A fresh lab, and whether it was running already. A lab in which a run was begun is not fresh: that run can be
/// resumed, or the lab ended, but another run would find what it left.
fn fresh(state: &Path, kind: &LabKind) -> Result<(Lab, bool), CliError> {
    let Some(lab) = find(state) else { return Ok((start(state, kind)?, false)) };
    if !kind.resolvers.is_empty() {
        return Err(CliError::usage(
            "a lab is up already, with resolvers of its own: end it with `gonogo lab --down` for one with these",
        ));
    }
    let lab_run = |run: &RunSummary| {
        run.journal.as_ref().is_ok_and(|journal| {
            journal.meta.created_at >= lab.started_at
                && journal.meta.labels.get(MODE).map(String::as_str) == Some(Mode::Lab.as_str())
        })
    };
    let store = Store::open(state)?;
    match store.list()?.into_iter().find(lab_run) {
        None => Ok((lab, true)),
        Some(run) => Err(CliError::usage(still_up(&run, drive::has_ended(&store, &run.id)?))),
    }
}

/// The message that says why there is no fresh lab, and what to do about it.
fn still_up(run: &RunSummary, ended: bool) -> String {
    let name = run.id.short();
    match &run.driver {
        LockState::Held(_) => format!(
            "run {name} is being driven in the lab at this moment: leave it there first, or look on with \
             `gonogo log {name}`"
        ),
        LockState::Free if ended => {
            format!(
                "the lab of run {name}, which is over, is still up: end it with `gonogo lab --down` for a fresh one"
            )
        }
        LockState::Free => format!(
            "the lab of run {name} is still up: go on with `gonogo resume {name}`, or end it with `gonogo lab --down` \
             for a fresh one"
        ),
    }
}

/// Makes the new environment of a running lab as slow as the command line says. `None` when it says nothing of that, or
/// when no lab is running: then one is started.
fn slowed(state: &Path, kind: &LabKind) -> Result<Option<u8>, CliError> {
    let Some((by, lab)) = kind.slow.zip(find(state)) else { return Ok(None) };
    lab.slow_down(LabSide::New, by.to_std()).map_err(CliError::outside)?;
    info!(%by, "the new environment of the lab was slowed down");
    say(&if by == Span::ZERO {
        "the lab's new environment answers as fast as it can".to_owned()
    } else {
        format!("the lab's new environment answers {by} later from now on; `--slow 0s` ends that")
    });
    Ok(Some(0))
}

/// The names of the vars that a runbook declares.
fn declared(args: &RunbookArgs) -> BTreeSet<String> {
    if args.path == Path::new(super::bundled::BUNDLED) {
        crate::runbook::declared_vars_in(super::bundled::BUNDLED_TEXT)
    } else {
        crate::runbook::declared_vars(&args.path)
    }
}

/// Drives the runbook in a fresh lab, and ends the lab when the cockpit is left unless it was running before.
pub(super) fn drive(state: &Path, look: Look, runbook: &RunbookArgs, keep: bool, kind: &LabKind) -> Outcome {
    if let Some(status) = slowed(state, kind)? {
        return Ok(status);
    }
    // Faults of the runbook and of the terminal are found before anything is started.
    let mut args = runbook.clone();
    if let Some(other) = args.profile.as_deref().filter(|profile| *profile != PROFILE) {
        return Err(CliError::usage(format!(
            "the lab drives the profile `{PROFILE}` only, not `{other}`: use `gonogo run`"
        )));
    }
    args.profile = Some(PROFILE.to_owned());
    let own = std::mem::take(&mut args.set);
    // A runbook need not use all that there is in the lab.
    let declared = declared(&args);
    let wanted = |set: Vec<(String, String)>| set.into_iter().filter(|(name, _)| declared.contains(name)).collect();
    args.set = wanted(placeholder_vars(options(state, kind)?.resolvers.len()));
    args.set.extend(own.iter().cloned());
    // Checked before anything runs that would have to be ended again.
    loopback::only(&super::check::read(&args, look.color)?.plan)?;
    super::seat::Seat::check(look)?;
    let (lab, was_up) = fresh(state, kind)?;
    args.set = wanted(vars(&lab));
    args.set.extend(own);
    let attachment = lab.attach().map_err(CliError::outside)?;
    let result = drive::start(state, look, &args, Mode::Lab);
    drop(attachment);
    // A lost terminal does not mean that the operator wants to end the lab.
    let taken_away = matches!(result, Ok(status) if status == CockpitExit::Detached(String::new()).code());
    if keep || was_up || taken_away {
        say(&goes_on(state, matches!(result, Ok(0))));
        return result;
    }
    stop(state).map_err(CliError::outside)?;
    info!("the lab is gone");
    let unfinished = !matches!(result, Ok(0));
    say(if unfinished {
        "the lab is gone, so this run cannot be gone on with; --keep would have kept it"
    } else {
        "the lab is gone"
    });
    result
}

/// Keeps the lab of a run alive while that run is resumed in it. Without its lab a lab run cannot be resumed.
pub(super) fn attach_if_lab(state: &Path, reader: &Reader) -> Result<Option<Attachment>, CliError> {
    let meta = reader.meta();
    if meta.labels.get(MODE).map(String::as_str) != Some(Mode::Lab.as_str()) {
        return Ok(None);
    }
    let up = find(state);
    if let Some(lab) = up.as_ref().filter(|lab| lab.started_at <= meta.created_at) {
        return lab.attach().map(Some).map_err(CliError::outside);
    }
    let run = meta.run.short();
    let since = lab::ended(state, meta.created_at)
        .map_or_else(String::new, |at| format!(" since {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")));
    let instead = if up.is_some() { ", and the one that is up now is another" } else { "" };
    Err(CliError::outside(format!(
        "the lab of run {run} is gone{since}{instead}: the run cannot be gone on with; `gonogo log {run}` shows what \
         was done, `gonogo lab` starts a new run in a new lab"
    )))
}

pub(super) fn up(state: &Path, kind: &LabKind) -> Outcome {
    let lab = start(state, kind)?;
    for (name, value) in vars(&lab) {
        say(&format!("{name}={value}"));
    }
    say("ready; it ends by itself after 15 minutes without a cockpit, or with: gonogo lab --down");
    Ok(0)
}

pub(super) fn down(state: &Path) -> Outcome {
    let ran = find(state).is_some();
    stop(state).map_err(CliError::outside)?;
    say(if ran { "the lab is gone" } else { "no lab was running; nothing is left of one" });
    Ok(0)
}

pub(super) fn serve(options: &str) -> Outcome {
    let options = LabOptions::from_argument(options).map_err(CliError::usage)?;
    crate::lab::supervisor::serve(options).map_err(CliError::outside)?;
    Ok(0)
}
