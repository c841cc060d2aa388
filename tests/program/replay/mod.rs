//! A replay shows what was on screen, screen by screen, and finds what was forged.

mod frames;
mod live;
mod program;
mod story;
mod whole;

use gonogo::core::fact::{Ending, FACT_VERSION, Fact, Recorded};
use gonogo::core::ids::{Attempt, StepId};
use gonogo::core::state::StepProgress;
use gonogo::journal::{Holder, Ledger, NewRecord, NewRun, Sample};
use gonogo::pace::TimeControl;
use gonogo::replay::{Recording, Replay, Report, verify};
use gonogo::screen::{Block, Screen, UiState, project};
use gonogo::session::RunSession;
use gonogo::ui::theme::{Glyphs, Palette, Theme};
use gonogo::ui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use story::{Story, goes_back, kinds, me, shown};

/// Says what differs, and not two whole screens.
fn same(place: &str, was: &Screen, is: &Screen) {
    let parts = |screen: &Screen| {
        [
            format!("{:#?}", screen.header),
            format!("{:#?}", screen.steps),
            format!("{:#?}", screen.detail),
            format!("{:#?}", screen.panes),
            format!("{:#?}", screen.log),
            format!("{:#?}", screen.output),
        ]
    };
    if was == is {
        return;
    }
    for (was, is) in parts(was).iter().zip(&parts(is)) {
        let (was, is): (Vec<_>, Vec<_>) = (was.lines().collect(), is.lines().collect());
        if let Some(at) = was.iter().zip(&is).position(|(was, is)| was != is) {
            let from = at.saturating_sub(8);
            panic!(
                "{place}: was\n{}\nis\n{}",
                was[from..(at + 4).min(was.len())].join("\n"),
                is[from..(at + 4).min(is.len())].join("\n")
            );
        }
        assert_eq!(was.len(), is.len(), "{place}: one is longer");
    }
    panic!("{place}: the screens differ");
}

/// Between two decisions output is kept once a second, so only at decisions it is the same to the line.
fn without_output(screen: &Screen) -> Screen {
    let mut screen = screen.clone();
    screen.output.clear();
    screen.detail.blocks.retain(|block| !matches!(block, Block::Lines { heading, .. } if heading == "OUTPUT"));
    screen
}

#[test]
fn every_decision_replays_to_the_screen_it_was_made_on() {
    let mut seen = std::collections::BTreeSet::new();
    let mut went_back = false;
    for seed in 0..6 {
        let story = Story::drive(seed, 3, 600, false);
        let mut replay = Replay::new(story.recording(), me()).unwrap();
        assert!(story.shown.at_facts.len() > 10, "seed {seed}: nothing happened");
        // Forward, then back: where one comes from makes no difference.
        for (seq, screen) in story.shown.at_facts.iter().chain(story.shown.at_facts.iter().rev()) {
            replay.go(&seq.to_string()).unwrap();
            same(&format!("seed {seed}, fact {seq}"), screen, &shown(&replay, None));
        }
        let recording = story.recording();
        seen.extend(kinds(&recording));
        went_back |= recording.facts().iter().any(|recorded| goes_back(&recorded.fact));
        assert_eq!(recording.notes(), [""; 0]);
    }
    assert!(went_back, "no section went back in any of them");
    for kind in ["undo_started", "step_failed", "wall_clock_jumped", "job_adopted", "doubt_resolved", "stop_requested"]
    {
        assert!(seen.contains(kind), "no {kind} in any of them");
    }
}

#[test]
fn every_moment_replays_to_the_screen_that_was_shown_however_one_comes_there() {
    for seed in 100..102 {
        let story = Story::drive(seed, 2, 400, true);
        let mut jumping = Replay::new(story.recording(), me()).unwrap();
        let mut playing = Replay::new(story.recording(), me()).unwrap();
        for (count, (at, (screen, other))) in story.shown.at_times.iter().enumerate() {
            let place = format!("seed {seed}, at {}", at.0);
            playing.play_to(*at).unwrap();
            same(&format!("{place}, played"), &without_output(screen), &without_output(&shown(&playing, None)));
            if count % 7 == 0 {
                jumping.go_to(*at).unwrap();
                let copy = Some("copy".into());
                same(&place, &without_output(screen), &without_output(&shown(&jumping, None)));
                same(&place, &without_output(other), &without_output(&shown(&jumping, copy.as_ref())));
            }
        }
    }
}

#[test]
fn every_decision_of_a_run_is_made_again_with_the_same_result() {
    let (mut decided, mut seen) = (0, std::collections::BTreeSet::new());
    for seed in 0..12 {
        let story = Story::drive(seed, 3, 600, false);
        let recording = story.recording();
        let report = verify(&recording).unwrap();
        assert!(report.differences.is_empty(), "seed {seed}: {report}");
        decided += report.decided;
        seen.extend(kinds(&recording));
    }
    assert!(decided > 400, "{decided}");
    for kind in ["baseline_taken", "soak_interrupted", "soak_continued", "stop_requested", "doubt_resolved"] {
        assert!(seen.contains(kind), "no {kind} in any of them");
    }
}

#[test]
fn what_is_written_while_it_is_looked_at_makes_no_difference() {
    let watched = |fact: &Fact| matches!(fact, Fact::SoakInterrupted { .. } | Fact::SoakContinued { .. });
    let (mut stories, mut taken) = (0, 0);
    for mut story in (200..230).filter_map(|seed| Story::under_way(seed, watched)).take(4) {
        let recording = story.recording();
        // The last readings reach the disk only now.
        story.kill();
        let report = verify(&recording).unwrap();
        assert!(report.differences.is_empty(), "{report}");
        stories += 1;
        taken += report.taken.values().sum::<usize>();
    }
    assert!(stories == 4 && taken > 0, "{stories} stories, {taken} decisions rested on readings that came late");
}

/// The same run with other facts, in a journal whose chain is whole.
fn forged(story: &Story, forge: impl Fn(&mut Vec<Recorded>) -> bool) -> Option<Report> {
    let original = story.recording();
    let mut facts = original.facts().to_vec();
    if !forge(&mut facts) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = gonogo::journal::Store::open(dir.path()).unwrap();
    let created_at = "2026-11-24T02:14:00Z".parse().unwrap();
    let new = NewRun {
        created_at,
        title: story.plan.title.clone(),
        runbook: story::RUNBOOK.as_bytes().to_vec(),
        labels: std::collections::BTreeMap::new(),
    };
    let mut journal = store.create_run(&story.id, &new, &Holder::this_process("test", created_at)).unwrap();
    let records: Vec<NewRecord> = facts
        .iter()
        .map(|recorded| {
            let (at_ms, kind) = (recorded.at.0, recorded.fact.kind().to_owned());
            NewRecord { at_ms, kind, version: FACT_VERSION, body: recorded.fact.encode().unwrap() }
        })
        .collect();
    journal.append(&records).unwrap();
    let samples: Vec<Sample> =
        original.reader().arrived(0, 100_000).unwrap().into_iter().map(|(_, sample)| sample).collect();
    journal.append_samples(&samples).unwrap();
    drop(journal);
    let recording = Recording::open(store.read_run(&story.id).unwrap(), story::plan()).unwrap();
    assert_eq!(recording.notes(), [""; 0], "the chain is whole");
    Some(verify(&recording).unwrap())
}

/// Finds the first fact that fits and changes it.
fn change(facts: &mut [Recorded], mut to: impl FnMut(&mut Fact) -> bool) -> bool {
    facts.iter_mut().any(|recorded| to(&mut recorded.fact))
}

type Forgery = (&'static str, fn(&mut Vec<Recorded>) -> bool);

/// What somebody could want to have been different, with the chain made whole again.
const FORGERIES: &[Forgery] = &[
    ("nothing is changed", |_| true),
    ("an override becomes a confirmation", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { overridden, .. } if overridden.is_some() => overridden.take().is_some(),
            _ => false,
        })
    }),
    ("a shut gate becomes GO, its terms stay", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { evidence, overridden: Some(_), .. } => {
                for gate in evidence {
                    gate.assessment.verdict = gonogo::core::evidence::Verdict::Go;
                    gate.held = Some(gate.needed);
                }
                true
            }
            _ => false,
        })
    }),
    ("a shut gate becomes GO with its terms", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { evidence, overridden, .. } if overridden.is_some() => {
                *overridden = None;
                for gate in evidence {
                    gate.assessment.verdict = gonogo::core::evidence::Verdict::Go;
                    gate.held = Some(gate.needed);
                    for term in &mut gate.assessment.terms {
                        term.verdict = gonogo::core::evidence::Verdict::Go;
                        "n = 1001".clone_into(&mut term.actual);
                    }
                }
                true
            }
            _ => false,
        })
    }),
    ("an attempt is counted twice", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { attempt, .. } => {
                *attempt = Attempt(attempt.0 + 1);
                true
            }
            _ => false,
        })
    }),
    ("another preview was confirmed", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { preview, .. } => {
                preview.replace_range(0..1, "x");
                true
            }
            _ => false,
        })
    }),
    ("another word was typed", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { typed, .. } => {
                "no".clone_into(typed);
                true
            }
            _ => false,
        })
    }),
    ("somebody else confirmed", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { by, .. } => {
                *by = gonogo::core::ids::Who("eve@elsewhere".to_owned());
                true
            }
            _ => false,
        })
    }),
    ("a failure becomes a success", |facts| {
        change(facts, |fact| match fact {
            Fact::JobEnded { outcome, .. } if matches!(outcome, gonogo::core::job::Outcome::Failed { .. }) => {
                *outcome = gonogo::core::job::Outcome::Succeeded { summary: "exit 0".to_owned() };
                true
            }
            _ => false,
        })
    }),
    ("a failed step is done", |facts| {
        change(facts, |fact| {
            let done = match fact {
                Fact::StepFailed { step, attempt, .. } => {
                    Fact::StepDone { step: step.clone(), attempt: *attempt, evidence: Vec::new(), guards: Vec::new() }
                }
                _ => return false,
            };
            *fact = done;
            true
        })
    }),
    ("a start disappears", |facts| {
        let at = facts.iter().position(|recorded| matches!(recorded.fact, Fact::StepStarted { .. }));
        at.map(|at| facts.remove(at)).is_some()
    }),
    ("a step is confirmed before those it needs", |facts| {
        let done = facts.iter().position(|recorded| matches!(recorded.fact, Fact::StepDone { .. }));
        done.map(|at| facts.remove(at)).is_some()
    }),
    ("something happens after the end", |facts| {
        let (last, ended) = (facts.last().unwrap().clone(), facts.iter().rev().nth(1).unwrap().at);
        let step: StepId = "copy".into();
        let fact = Fact::StepSkipped { step, by: me(), reason: "as the runbook says".to_owned() };
        facts.insert(facts.len() - 1, Recorded { seq: last.seq, at: ended, fact });
        true
    }),
    ("a short reason", |facts| {
        change(facts, |fact| match fact {
            Fact::StepStarted { overridden: Some(reason), .. } => {
                "because".clone_into(reason);
                true
            }
            _ => false,
        })
    }),
];

#[test]
fn what_was_forged_is_found_although_the_chain_is_whole() {
    let stories: Vec<Story> = (0..6).map(|seed| Story::drive(seed, 3, 600, false)).collect();
    for (name, forge) in FORGERIES {
        let report = stories.iter().find_map(|story| forged(story, forge));
        let report = report.unwrap_or_else(|| panic!("{name}: in no story"));
        let honest = *name == "nothing is changed";
        assert_eq!(report.differences.is_empty(), honest, "{name}: {report}");
    }
}

#[test]
fn a_replay_is_unmistakable_at_every_size() {
    let story = Story::drive(3, 1, 200, false);
    let replay = Replay::new(story.recording(), me()).unwrap();
    let ui = UiState::default();
    let screen = project(&replay.context(&ui, "7f3a", false));
    for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
        for (cols, rows) in [(200, 60), (120, 40), (100, 30), (80, 24), (60, 16), (59, 15), (40, 10)] {
            let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
            let theme = Theme { palette: Palette::None, glyphs };
            terminal.draw(|frame| _ = view::draw(frame, &screen, theme)).unwrap();
            let shown = terminal.backend().to_string();
            for word in ["REPLAY of LAB", "fact 2 of", "1"] {
                assert!(shown.contains(word), "{cols}×{rows} has no {word}:\n{shown}");
            }
            let live = if glyphs == Glyphs::Unicode { "═" } else { "=====" };
            assert!(!shown.contains(live), "{cols}×{rows} has the border of a live run:\n{shown}");
        }
    }
}

#[test]
fn keys_lead_from_decision_to_decision_and_say_where_there_is_no_further() {
    let story = Story::drive(3, 2, 300, false);
    let mut replay = Replay::new(story.recording(), me()).unwrap();
    let mut places = vec![replay.run().facts];
    while replay.control_time(TimeControl::NextDecision).is_ok() {
        places.push(replay.run().facts);
    }
    assert!(places.len() > 5 && places.is_sorted_by(|a, b| a < b), "{places:?}");
    assert!(matches!(replay.run().ended, Some((_, Ending::Abandoned { .. }))));
    for place in places.iter().rev().skip(1).take(places.len() - 2) {
        replay.control_time(TimeControl::PreviousDecision).unwrap();
        assert_eq!(replay.run().facts, *place);
    }
    assert!(replay.control_time(TimeControl::PreviousDecision).is_err_and(|why| why.contains("before")));
    replay.control_time(TimeControl::Step("look".into())).unwrap();
    assert!(matches!(replay.run().phase(&"look".into()), StepProgress::Running(_)));
    replay.control_time(TimeControl::End).unwrap();
    assert!(replay.control_time(TimeControl::FastForward).is_err_and(|why| why.contains("ends here")));
    assert!(replay.control_time(TimeControl::Place("T+0:10".to_owned())).is_ok());
    assert!(replay.control_time(TimeControl::Place("nowhere".to_owned())).is_err());
    assert!(replay.control_time(TimeControl::Slower).is_err() && replay.control_time(TimeControl::Faster).is_ok());
}
