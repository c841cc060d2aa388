//! The words of the language, each explained once.

use super::{PagePart, ReferencePage, Subject, first_sentence};

/// Every word with its explanation: the first sentence stands in lists. In alphabetical order.
pub const GLOSSARY: &[(&str, &str)] = &[
    (
        "action",
        "What a step does: one of the kinds of action, for example `sql` or `dns.update`. The operator confirms a preview of exactly what will be done.",
    ),
    (
        "attempt",
        "One try of a step. A step that failed can be tried again; each try has a number, and a late result of an old one changes nothing.",
    ),
    (
        "authoritative",
        "A name server that answers for a zone from its own data. A `dns` probe asks each of them, and the resolvers beside them.",
    ),
    (
        "comms",
        "What status updates are promised to stakeholders, and how often. The header says when the next is due; `m` (`told`) records one.",
    ),
    (
        "confirm",
        "How the operator confirms a step: by typing `go`, the step's id (`id`), or the id and a second person's name (`two-person`). A confirmation counts for what was on screen: when that changes meanwhile, it is refused.",
    ),
    ("customers", "The probe that reports what customers see: failed requests and the longest pause."),
    (
        "debrief",
        "The report at the end of a rehearsal: what went wrong, when it showed, what was done, and what would have been lost.",
    ),
    (
        "digest",
        "A short fingerprint of a text. The digest of a runbook shows whether a rehearsal was of exactly this plan; the digest of a preview is recorded in the journal with the confirmation.",
    ),
    (
        "driver",
        "The person or program that drives a run. There is one at a time: a second one is refused, and a driver who lost the run writes nothing more.",
    ),
    (
        "evidence",
        "The readings on which a decision rested: values, ages and the rule. It is recorded with the decision.",
    ),
    (
        "expect",
        "How long a step is expected to take. The forecast uses it until rehearsals have measured the step. `max` says from when on it is overdue.",
    ),
    (
        "expression",
        "A condition over readings in CEL, for example `lag.bytes < bytes(\"1MiB\")`. Names and types are checked when the runbook is loaded.",
    ),
    (
        "fact",
        "Something that happened in a run: a decision, a result, a note. The journal is the list of facts; it only grows.",
    ),
    (
        "forecast",
        "When the run will end, and how long writes will be paused. It rests on what rehearsals measured, else on `expect`.",
    ),
    (
        "gate",
        "A condition that must be GO at the moment in which a step is confirmed. `that` is an expression, `hold` says for how long it must have been true. A shut gate says which comparison failed, with its value and its age.",
    ),
    (
        "go",
        "A gate is GO when its condition is true, from fresh readings, for as long as it must hold. NO-GO means that it is false. UNKNOWN means that it cannot be known. Only GO opens a gate.",
    ),
    (
        "guard",
        "A condition that must stay true while a step runs or soaks. If it is NO-GO for longer than `tolerate`, the step fails. A step whose guard is NO-GO does not start, and a guard cannot be overridden. A step is not done before its guards are GO, also when its work has ended.",
    ),
    (
        "hold",
        "For how long a condition must have been true without a break, over two readings at least. A reading that is missing or stale breaks it.",
    ),
    (
        "in doubt",
        "A step that may have run: the cockpit died, or the answer was lost. It is never repeated or skipped in silence. Look, then say with `d` (`doubt`) whether it happened, did not happen, or half of it did.",
    ),
    (
        "increase",
        "`increase(PROBE.FIELD)`: how much a number has grown since the step was started; for an undo, since the undo was. Without a start value or a fresh reading, and once the number has gone back, it is UNKNOWN. Gates cannot use it.",
    ),
    (
        "journal",
        "The record of a run on disk. A decision is in it before anything is done. Its facts form a chain of hashes, so that a change shows (`gonogo verify`).",
    ),
    (
        "lab",
        "A disposable real world on this machine: PostgreSQL, name servers, web services and customers. `gonogo lab` drives a runbook in it.",
    ),
    ("needs", "Steps that must be done before this one. The step before it when absent; `[]` for none."),
    (
        "override",
        "Starting a step over a shut gate. It has its own key (`o`), needs a reason, and is recorded with the evidence. `override: forbidden` on a gate does not allow it.",
    ),
    ("phase", "A heading over steps in a runbook."),
    ("plan", "A runbook that was checked and filled in. `gonogo plan FILE` prints it, statement by statement."),
    (
        "point of no return",
        "The step after which there is no way back: its reversibility is `none`. The way back on the screen ends there.",
    ),
    (
        "preview",
        "Exactly what an action will do: statements, requests, commands, with secrets masked. It is what the operator confirms.",
    ),
    (
        "probe",
        "Something that is measured again and again, for example `postgres.replication`. Its name is the first word of every expression over its readings.",
    ),
    (
        "profile",
        "A variant of a runbook, for example `staging`, with other vars, targets and secrets. It is chosen with `--profile`.",
    ),
    ("reading", "What a probe measured, when, and from whom. Its age is always beside it."),
    (
        "rehearsal",
        "A run of the same runbook in a simulated world. It cannot touch anything real. A runbook can demand rehearsals before a live run.",
    ),
    ("replay", "A recorded run shown again as it was. Nothing can be done from a replay."),
    (
        "resolver",
        "A name server that asks others on behalf of clients and remembers their answers for as long as the TTL says.",
    ),
    (
        "reversibility",
        "What taking a step back costs. `free`: nobody notices. `lossless`: an effort or a pause, but no data. `lossy`: data written since is lost. `none`: it cannot be taken back.",
    ),
    (
        "rollback",
        "Taking the done steps back, in reverse order. `b` shows what it would do from here, how long it takes and what it costs.",
    ),
    ("run", "One execution of a runbook, live, in the lab or as a rehearsal. It has a name, a journal and one driver."),
    (
        "runbook",
        "The YAML file that says what is watched and what is done. `gonogo check FILE` finds what is wrong with it.",
    ),
    ("scenario", "What goes wrong in a rehearsal, and when. `gonogo rehearse --list` lists the bundled ones."),
    (
        "secrets",
        "Where secrets come from: an environment variable, a file or a program. They are read at the moment of use, never stored, and masked in every output.",
    ),
    (
        "section",
        "Several actions back to back after one confirmation, with a deadline. When one fails or the deadline passes, those already done are taken back in reverse order.",
    ),
    (
        "simulate",
        "What an action changes in a rehearsal, or where the fields of a probe get their values there. `gonogo check` says where it is missing.",
    ),
    (
        "stale",
        "A reading is stale when two intervals of its probe (at least two seconds) have passed since its measurement ended and no newer one has. Where a measurement lasts longer than the interval, twice that time counts instead. A stale reading counts as UNKNOWN. After five intervals its number is no longer shown. The age beside a number counts from the moment its measurement began, or from the earlier moment that it describes (`as_of`).",
    ),
    ("step", "The unit that is confirmed, done, checked and taken back. It has one action or one section."),
    ("target", "A database, a DNS zone or a web service, named once and used by probes and actions."),
    ("undo", "What takes a step back. Without one it must be taken back by hand, which `h` (`by-hand`) records."),
    (
        "unknown",
        "It cannot be known whether a condition holds: a reading is missing, stale, failed or null. UNKNOWN never opens a gate.",
    ),
    ("vars", "Values of a runbook, used as `{{ vars.NAME }}`. `--set NAME=VALUE` replaces one."),
    (
        "verify",
        "What must be true after the action for a step to count as done. `within` says how long it may take to become true, `hold` for how long it must stay so.",
    ),
    ("window", "When the change may happen. Outside of it no step starts without an override."),
    (
        "write pause",
        "The time in which customers cannot write. `writes: stop` and `writes: resume` mark it, `write_pause_budget` limits it.",
    ),
];

/// A page for each word.
pub(super) fn pages() -> Vec<ReferencePage> {
    GLOSSARY
        .iter()
        .map(|(word, text)| ReferencePage {
            word,
            subjects: vec![(Subject::Word, first_sentence(text))],
            blocks: vec![PagePart::Text((*text).to_owned())],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_stand_once() {
        assert!(GLOSSARY.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
