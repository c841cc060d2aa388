//! The command line: its arguments, its commands and its exit statuses.

mod aws;
mod baseline;
mod bundled;
mod check;
mod dns;
mod drive;
mod durations;
mod explain;
mod farewell;
mod help;
#[cfg(feature = "lab")]
mod lab;
mod loopback;
mod records;
mod rehearsals;
mod rehearse;
mod replay;
mod seat;
#[cfg(not(feature = "lab"))]
mod without_lab;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tracing::{error, info};

#[cfg(not(feature = "lab"))]
use self::without_lab as lab;
use crate::core::resolver_kind::ResolverKind;
use crate::core::time::Span;
use crate::diagnostics::DiagnosticLog;
use crate::term::ColorChoice;
use crate::text::clean;

/// Exit statuses, in the words of `--help`.
const EXIT_STATUSES: &str = "\
Exit status:
  0  the run is complete, or the command did what was asked
  1  the operator left, rolled back or abandoned the run; or a journal is damaged
  2  the command line or the runbook is wrong; nothing was started
  3  something outside failed: a server, a file, the lab
  4  the journal could not be written
  5  the terminal or the process was taken away; `gonogo resume` continues";

const EXAMPLES: &str = "\
Examples:
  gonogo                                 rehearse the bundled runbook in a simulated world
  gonogo lab                             drive it in a disposable real world on loopback
  gonogo check runbook.yaml              is the runbook good?
  gonogo explain gate                    what does a word mean, which fields has a kind?
  gonogo plan runbook.yaml               what would it do, statement by statement?
  gonogo run runbook.yaml                drive it
  gonogo dns app.example.com --expect 198.51.100.10   watch a DNS change anywhere
  gonogo resume                          go on with the newest run
  gonogo resume --plain                  the same without a screen
  gonogo replay 7f3a                     show it again, as it was
  gonogo log 7f3a --json                 its journal
  gonogo verify 7f3a                     was its journal changed?";

/// A terminal cockpit for migration day: no step starts before its gates are GO and the operator confirms.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUSES}"))]
pub struct Cli {
    /// Where runs are kept [default: `$XDG_STATE_HOME/gonogo`, else `~/.local/state/gonogo`]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    /// Drive by lines instead of a screen: for screen readers, pipes, CI and terminals that cannot show it; `help` lists the commands
    #[arg(long, global = true)]
    plain: bool,
    /// Append to a file what gonogo itself does, for a report of a fault; the variable `GONOGO_LOG` says how much [default: info]
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The whole command line, for manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// How output is shown to the operator.
#[derive(Clone, Copy, Debug)]
struct Look {
    color: ColorChoice,
    plain: bool,
}

/// A runbook and the settings it is read with.
#[derive(Clone, Debug, Args)]
pub struct RunbookArgs {
    /// The runbook
    #[arg(value_name = "RUNBOOK", default_value = "runbook.yaml")]
    path: PathBuf,
    /// Profile whose vars, targets and secrets replace those of the runbook
    #[arg(long, short, value_name = "NAME")]
    profile: Option<String>,
    /// Sets a var; may be given several times. Not for secrets: other users of the machine can see it
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` has no `=`: write it like ttl_low=60"))
}

/// What a schema describes.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Language {
    /// Runbooks
    #[default]
    Runbook,
    /// What goes wrong in a rehearsal
    Scenario,
    /// How an automatic operator reacts
    Policy,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for everything that is wrong or unwise in a runbook
    Check(RunbookArgs),
    /// Print what a runbook would do, statement by statement, without doing it
    Plan(RunbookArgs),
    /// Print the IAM policy with the least rights in AWS that a runbook needs
    Iam(RunbookArgs),
    /// Rehearse a runbook in a simulated world: nothing real is touched
    #[command(after_help = help::rehearse())]
    Rehearse(rehearse::RehearseArgs),
    /// List the rehearsals of a runbook and how long they took, and what a live run would still need
    Rehearsals(RunbookArgs),
    /// Drive a runbook on its real targets
    Run {
        #[command(flatten)]
        runbook: RunbookArgs,
        /// Drive live although rehearsals that the runbook demands are missing; the reason is recorded
        #[arg(long, value_name = "REASON")]
        without_rehearsals: Option<String>,
    },
    /// Go on with a run after a crash, a lost terminal or a break
    Resume {
        /// The run, or the last digits of its name; the newest unfinished one when absent
        run: Option<String>,
    },
    /// List all runs
    Runs,
    /// Show the live panes of a runbook and nothing else
    Watch {
        #[command(flatten)]
        runbook: RunbookArgs,
        /// Also measure with probes that act on their targets, such as an `http` probe that sends POST
        #[arg(long)]
        acting_probes: bool,
    },
    /// Watch a change of a DNS record at every authoritative server and many resolvers, without a runbook
    #[command(after_help = dns::AFTER_HELP)]
    Dns(dns::DnsArgs),
    /// Record latencies on a quiet day, look at them and compare them
    Baseline {
        #[command(subcommand)]
        command: baseline::BaselineCommand,
    },
    /// Drive a runbook in a disposable real world on loopback
    #[command(after_help = "The lab needs PostgreSQL's server programs. It is gone when you leave the cockpit;\n\
        after a crash or a lost terminal it stays for 15 minutes, so that `gonogo resume` can go on.")]
    Lab {
        #[command(flatten)]
        runbook: RunbookArgs,
        /// Let every server listen on 127.0.0.1, as where no other loopback address exists (macOS)
        #[arg(long, conflicts_with = "down")]
        one_address: bool,
        /// Let the new environment answer this much later, such as `300ms`; in a lab that is up, from now on and without
        /// a cockpit (`0s` makes both equal again)
        #[arg(long, value_name = "TIME", conflicts_with = "down")]
        slow: Option<Span>,
        /// What the resolvers are like, in the order of the vars `resolver_a`, `resolver_b` and so on: honest, min-ttl (keeps
        /// answers for at least 30 s, or `min-ttl=2m`), max-ttl (for at most 10 s, or `max-ttl=5s`), serve-stale (gives its
        /// first answer for ever), two-caches (each question reaches one of two), dead (does not answer)
        #[arg(long, value_name = "KINDS", value_delimiter = ',', conflicts_with = "down")]
        resolvers: Vec<ResolverKind>,
        /// Keep the lab running after the cockpit is left
        #[arg(long)]
        keep: bool,
        /// Start the lab without a cockpit and print its addresses
        #[arg(long, conflicts_with = "keep")]
        up: bool,
        /// End a running lab and remove what is left of it
        #[arg(long, conflicts_with_all = ["keep", "up"])]
        down: bool,
    },
    /// Check that nobody changed a run's journal
    Verify {
        /// The run, or the last digits of its name
        run: String,
        /// Head of the chain as noted elsewhere, at least eight digits: finds a cut-off end
        #[arg(long, value_name = "HEX")]
        head: Option<String>,
    },
    /// Show a recorded run again in the cockpit, as it was; nothing can be done from there
    #[command(after_help = help::replay())]
    Replay {
        /// The run, or the last digits of its name; the newest when absent
        run: Option<String>,
        /// Where to begin
        #[arg(long, value_name = "PLACE", conflicts_with = "verify")]
        at: Option<String>,
        /// Decide every recorded decision once more from its recorded evidence, and report what differs
        #[arg(long)]
        verify: bool,
    },
    /// Print a run's journal
    Log {
        /// The run, or the last digits of its name; the newest when absent
        run: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Explain a kind of probe or action, or a word of the language; list them all when none is given
    Explain {
        /// A kind such as `postgres.replication`, or a word such as `gate`
        #[arg(value_name = "KIND|WORD", value_parser = explain::Word, hide_possible_values = true)]
        word: Vec<String>,
    },
    /// Print the JSON Schema of runbooks, scenarios or policies, for editors
    Schema {
        /// Of what
        #[arg(value_enum, default_value_t)]
        of: Language,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Runs a command on behalf of a cockpit that may go away
    #[command(hide = true)]
    RunJob {
        /// Where output and exit status go
        spool: PathBuf,
    },
    /// Becomes a program that has no terminal
    #[command(hide = true)]
    RunProgram {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Ends the programs of a cockpit that was killed
    #[command(hide = true)]
    EndPrograms,
    /// Is the lab
    #[command(hide = true)]
    LabServe {
        /// How, as JSON
        options: String,
    },
}

impl Command {
    /// The command's name for the diagnostic log. Its arguments are left out.
    fn name(&self) -> &'static str {
        match self {
            Command::Check(_) => "check",
            Command::Plan(_) => "plan",
            Command::Iam(_) => "iam",
            Command::Rehearse(_) => "rehearse",
            Command::Rehearsals(_) => "rehearsals",
            Command::Run { .. } => "run",
            Command::Resume { .. } => "resume",
            Command::Runs => "runs",
            Command::Watch { .. } => "watch",
            Command::Dns(_) => "dns",
            Command::Baseline { .. } => "baseline",
            Command::Lab { .. } => "lab",
            Command::Verify { .. } => "verify",
            Command::Replay { .. } => "replay",
            Command::Log { .. } => "log",
            Command::Explain { .. } => "explain",
            Command::Schema { .. } => "schema",
            Command::Completions { .. } => "completions",
            Command::RunJob { .. } => "run-job",
            Command::RunProgram { .. } => "run-program",
            Command::EndPrograms => "end-programs",
            Command::LabServe { .. } => "lab-serve",
        }
    }
}

/// An error with the exit status that the program ends with.
#[derive(Debug)]
pub struct CliError {
    status: u8,
    text: String,
}

impl CliError {
    #[allow(clippy::needless_pass_by_value)] // reads better in map_err
    fn usage(text: impl ToString) -> Self {
        Self { status: 2, text: text.to_string() }
    }

    #[allow(clippy::needless_pass_by_value)] // reads better in map_err
    fn outside(text: impl ToString) -> Self {
        Self { status: 3, text: text.to_string() }
    }
}

impl From<crate::journal::JournalError> for CliError {
    fn from(error: crate::journal::JournalError) -> Self {
        Self::outside(clean(&error.to_string()))
    }
}

type Outcome = Result<u8, CliError>;

/// What is said of the lab that is wanted.
#[derive(Clone)]
#[cfg_attr(not(feature = "lab"), allow(dead_code, reason = "a build without a lab only refuses it"))]
struct LabKind {
    /// Whether every server listens on 127.0.0.1.
    one_address: bool,
    /// How much later the new environment answers than it could.
    slow: Option<Span>,
    /// What its resolvers are like; as usual when empty.
    resolvers: Vec<ResolverKind>,
}

/// Runs the program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with status 0, everything else to standard error with status 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Kept until the end, so that the last lines are written.
    let _log = match cli.log.as_deref().map(DiagnosticLog::start).transpose() {
        Ok(log) => log,
        Err(error) => {
            say_error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let command = cli.command.as_ref().map_or("rehearse", Command::name);
    info!(command, version = env!("CARGO_PKG_VERSION"), process = std::process::id(), "gonogo begins");
    match dispatch(cli) {
        Ok(status) => {
            info!(status, "gonogo ends");
            ExitCode::from(status)
        }
        Err(failure) => {
            error!(status = failure.status, why = %failure.text, "gonogo ends");
            say_error(&failure.text);
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { state_dir, color, plain, log: _, command } = cli;
    let look = Look { color: if plain { ColorChoice::Never } else { color }, plain };
    let state = || crate::journal::state_dir(state_dir.as_deref()).map_err(CliError::usage);
    match command {
        None => rehearse::rehearse(&state()?, look, &rehearse::RehearseArgs::of(bundled::bundled())),
        Some(Command::Check(args)) => check::check(&args, color),
        Some(Command::Plan(args)) => check::plan(state().ok().as_deref(), &args, color),
        Some(Command::Iam(args)) => aws::iam(&args, color),
        Some(Command::Rehearse(mut args)) => {
            if !args.runbook.path.exists() && args.runbook.path.as_os_str() == "runbook.yaml" {
                args.runbook.path = bundled::bundled().path;
            }
            rehearse::rehearse(&state()?, look, &args)
        }
        Some(Command::Rehearsals(args)) => rehearsals::list(&state()?, look, &args),
        Some(Command::Run { runbook, without_rehearsals }) => {
            drive::run(&state()?, look, &runbook, without_rehearsals.as_deref())
        }
        Some(Command::Resume { run }) => drive::resume(&state()?, look, run.as_deref()),
        Some(Command::Runs) => records::runs(&state()?),
        Some(Command::Baseline { command }) => baseline::baseline(&command, color),
        Some(Command::Watch { runbook, acting_probes }) => drive::watch(look, &runbook, acting_probes),
        Some(Command::Dns(args)) => dns::dns(look, &args),
        Some(Command::Lab { down: true, .. }) => lab::down(&state()?),
        Some(Command::Lab { up: true, one_address, slow, resolvers, .. }) => {
            lab::up(&state()?, &LabKind { one_address, slow, resolvers })
        }
        Some(Command::Lab { runbook, keep, one_address, slow, resolvers, .. }) => {
            lab::drive(&state()?, look, &runbook, keep, &LabKind { one_address, slow, resolvers })
        }
        Some(Command::Verify { run, head }) => records::verify(&state()?, &run, head.as_deref()),
        Some(Command::Replay { run, verify: true, .. }) => replay::verify(&state()?, run.as_deref()),
        Some(Command::Replay { run, at, .. }) => replay::show(&state()?, look, run.as_deref(), at.as_deref()),
        Some(Command::Log { run, json }) => records::log(&state()?, run.as_deref(), json),
        Some(Command::Explain { word }) => explain::explain(&word, color),
        Some(Command::Schema { of }) => {
            let schema = match of {
                Language::Runbook => crate::runbook::schema(),
                Language::Scenario => crate::scenario::schema(),
                Language::Policy => crate::rehearsal::policy::schema(),
            };
            let schema = serde_json::to_string_pretty(&schema).map_err(CliError::outside)?;
            say(&schema);
            Ok(0)
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "gonogo", &mut std::io::stdout());
            Ok(0)
        }
        Some(Command::RunJob { spool }) => Ok(u8::try_from(crate::world::live::jobs::shim::main(&spool)).unwrap_or(1)),
        Some(Command::RunProgram { words }) => {
            Ok(u8::try_from(crate::world::live::programs::become_program(&words)).unwrap_or(1))
        }
        Some(Command::EndPrograms) => Ok(u8::try_from(crate::world::live::jobs::keeper::main()).unwrap_or(1)),
        Some(Command::LabServe { options }) => lab::serve(&options),
    }
}

/// Prints a line. A pipe that was closed is not an error of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
