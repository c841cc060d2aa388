//! Alarms that a run has silenced are not forgotten when it ends.

use gonogo::core::fact::Ending;
use gonogo::core::input::Command;
use gonogo::core::silent_alarms::still_silent;

use super::bench::Bench;

const RUNBOOK: &str = r"
title: t
targets: { alarms: { cloudwatch: { region: eu-central-1 } } }
phases:
  - title: p
    steps:
      - id: silence
        title: Silence
        action: { cloudwatch.silence: { target: alarms, alarms: [lag, load] } }
        undo: { cloudwatch.silence: { target: alarms, alarms: [lag, load], end: true } }
        reversibility: free
      - id: wake
        title: Wake
        action: { cloudwatch.silence: { target: alarms, alarms: [lag], end: true } }
        reversibility: free
      - id: wake-rest
        title: Wake the rest
        action: { cloudwatch.silence: { target: alarms, alarms: [load], end: true } }
        reversibility: free
";

fn silent(bench: &Bench) -> Vec<String> {
    let alarms = still_silent(&bench.plan, &bench.run);
    alarms.into_iter().map(|alarm| format!("{} by {}", alarm.alarm, alarm.by)).collect()
}

fn end(bench: &mut Bench, how: Ending) -> Result<(), String> {
    bench.command(Command::End { how }).map(|_| ()).map_err(|refusal| refusal.to_string())
}

fn skipped(bench: &mut Bench, id: &str) {
    bench.command(Command::Skip { step: id.into(), reason: "somebody else does it".to_owned() }).unwrap();
}

#[test]
fn a_run_does_not_end_as_complete_while_its_alarms_are_silent() {
    let mut bench = Bench::of(RUNBOOK);
    assert!(silent(&bench).is_empty());
    bench.start("silence").unwrap();
    assert_eq!(silent(&bench), ["lag by silence", "load by silence"], "they may be from the beginning of the job");
    bench.ends("silence", true);
    bench.start("wake").unwrap();
    bench.ends("wake", true);
    assert_eq!(silent(&bench), ["load by silence"]);
    skipped(&mut bench, "wake-rest");
    let why = end(&mut bench, Ending::Completed).unwrap_err();
    assert!(why.contains("alarms are silent: load (by \"silence\")") && why.contains("take that one back"), "{why}");
    end(&mut bench, Ending::Abandoned { reason: "the alarm is gone".to_owned() }).unwrap();
}

#[test]
fn it_does_when_all_of_them_have_their_actions_again() {
    let mut bench = Bench::of(RUNBOOK);
    for step in ["silence", "wake", "wake-rest"] {
        bench.start(step).unwrap();
        bench.ends(step, true);
    }
    assert!(silent(&bench).is_empty());
    end(&mut bench, Ending::Completed).unwrap();
}

#[test]
fn taken_back_is_awake_again() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("silence").unwrap();
    bench.ends("silence", true);
    bench.undo("silence").unwrap();
    assert!(!silent(&bench).is_empty(), "not yet");
    bench.ends("silence", true);
    assert!(silent(&bench).is_empty());
    end(&mut bench, Ending::RolledBack).unwrap();
}
