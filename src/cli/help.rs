//! Help of the commands that name keys. The keys come from the table, so that help and cockpit cannot disagree.

use crate::pace::SPEEDS;
use crate::screen::keys::KeyAction;

/// The keys of these actions: `+ -`.
fn keys(actions: &[KeyAction]) -> String {
    actions.iter().map(|action| action.key()).collect::<Vec<_>>().join(" ")
}

/// What follows the options of `rehearse`.
pub(super) fn rehearse() -> String {
    use KeyAction::{FastForward, Faster, Pause, Slower};
    let pace = keys(&[Faster, Slower, Pause, FastForward]);
    format!(
        "\
Examples:
  gonogo rehearse                                       runbook.yaml, at the pace of real time; {pace} change it
  gonogo rehearse --scenario apply-worker-dies          with something going wrong
  gonogo rehearse --surprise                            with something going wrong that you do not know
  gonogo rehearse --auto --json                         every night, without a terminal
  gonogo rehearse --auto --roll-back-after watch        the rollback too

Exit status with --auto: 0 when it ended as the scenario says it should, else 1."
    )
}

/// The line for the option `--speed`.
pub(super) fn speed() -> String {
    let [earlier @ .., last] = SPEEDS.map(|speed| speed.to_string());
    format!(
        "How many times faster than real time it begins: {} or {last}; {} and {} change it",
        earlier.join(", "),
        KeyAction::Faster.key(),
        KeyAction::Slower.key()
    )
}

/// What follows the options of `replay`.
pub(super) fn replay() -> String {
    use KeyAction::{FastForward, Faster, Into, NextDecision, Pause, Place, PreviousDecision, Slower};
    format!(
        "PLACE is a time since the run began (T+1:02:03), a time of day in UTC (02:14:07), the number of a \
         fact or a step.\nIn the cockpit: {} stops and goes on, {} and {} change the speed, {} goes to what happens next,\n\
         {} and {} to the decision before and after, {} to where the selected step began, {} to a place.",
        Pause.key(),
        Faster.key(),
        Slower.key(),
        FastForward.key(),
        PreviousDecision.key(),
        NextDecision.key(),
        Into.key(),
        Place.key()
    )
}
