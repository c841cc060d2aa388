//! What goes wrong with a replication is said in rehearsals as it is on real servers, and keeps the bundled gates shut.

use std::path::Path;
use std::sync::Arc;

use gonogo::core::fact::Fact;
use gonogo::core::kind::replication::{ReplicationState, heartbeat};
use gonogo::core::time::At;
use gonogo::core::value::Value;
use gonogo::driver::facts_of;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::scenario;

use crate::scenarios::{play, story};

/// What readings say: a field and the beginning of its text.
type Said = (&'static str, &'static str);

/// Each scenario, what the probe says of it, and whether another server answers from then on.
const FAULTS: [(&str, Said, bool); 9] = [
    ("walsender-stops", ("heartbeat", heartbeat::STANDS), false),
    ("apply-worker-stops", ("heartbeat", heartbeat::STANDS), false),
    ("large-transaction", ("heartbeat", heartbeat::STANDS), false),
    ("slot-lost", ("state", ReplicationState::SlotLost.as_str()), false),
    ("slot-made-again", ("state", ReplicationState::SlotMadeAgain.as_str()), false),
    ("slot-moved", ("state", ReplicationState::SlotMoved.as_str()), false),
    ("source-fails-over", ("state", ReplicationState::SlotLost.as_str()), true),
    ("table-added", ("state", ReplicationState::Incomplete.as_str()), false),
    ("disabled-by-error", ("state", ReplicationState::DisabledByError.as_str()), false),
];

/// Two intervals of the bundled probe, and the time that a measurement takes.
const SOON: i64 = 2_200;

#[test]
fn what_is_wrong_is_said_within_two_intervals_and_the_bundled_gates_stay_shut() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    let plan = runbook::load(&path, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan;
    let plan = Arc::new(plan);
    for (name, (field, words), moved) in FAULTS {
        let (_, scenario) = scenario::fitting(&plan).into_iter().find(|(of, _)| *of == name).unwrap();
        let lasts = scenario.events[0].lasts;
        let (rehearsed, debrief, _) = play(&plan, vec![scenario], Policy::good(), 3);
        let story = || story(&rehearsed, &plan, &debrief);
        let began = rehearsed.world.mishaps()[0].at;
        let until = lasts.map_or(At::NEVER, |lasts| began.plus(lasts));
        let samples = rehearsed.contents.contents().samples;
        let readings: Vec<_> = samples
            .iter()
            .filter(|sample| sample.source == "lag")
            .filter_map(gonogo::sample_log::reading_of)
            .map(|(_, reading, _)| reading)
            .collect();
        let says = |value: &Value| value.at(field).and_then(Value::text) == Some(words);
        let first = readings.iter().find(|reading| reading.at >= began && reading.result.as_ref().is_ok_and(says));
        let first = first.unwrap_or_else(|| panic!("{name}: {field} is never {words:?}\n{}", story()));
        assert!(first.at.0 - began.0 <= SOON, "{name}: said after {} ms", first.at.0 - began.0);
        let during = readings.iter().filter(|reading| reading.at >= first.at && reading.at < until);
        for reading in during.clone() {
            let value = reading.result.as_ref().unwrap();
            let good = value.at("streaming") == Some(&Value::Bool(true))
                && value.at("seconds").and_then(Value::number).is_some_and(|seconds| seconds < 1.0);
            assert!(!good, "{name}: {value}");
        }
        assert!(during.count() > 10, "{name}");
        let met = &readings[0].servers;
        assert!(met.contains_key("old") && met.contains_key("new"), "{met:?}");
        assert_eq!(first.servers["old"] != met["old"], moved, "{name}");
        assert_eq!(first.servers["new"], met["new"], "{name}");
        for recorded in facts_of(&rehearsed.records).unwrap() {
            let switched =
                matches!(&recorded.fact, Fact::StepStarted { step, .. } if step.as_str() == "switch-database");
            assert!(!switched || recorded.at < began || recorded.at >= until, "{name}\n{}", story());
        }
    }
}
