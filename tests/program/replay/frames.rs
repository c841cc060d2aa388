//! The screens of a run as they were shown, and those its replay shows.

use gonogo::core::time::At;
use gonogo::driver::Engine;
use gonogo::replay::{Recording, verify};
use gonogo::run_view::ViewEvent;
use gonogo::screen::{Overlay, Screen, SessionStatus, UiState, ViewContext, project};
use gonogo::session::RunSession;
use gonogo::world::World;

use super::same;
use super::story::{bare, me};

/// The screen behind each decision, with its moment.
#[derive(Default)]
pub struct Frames(Vec<(u64, At, Screen)>);

impl Frames {
    /// Keeps the screen if there is a new fact since the last one.
    pub fn take<W: World>(&mut self, engine: &Engine<W>) {
        let seq = engine.log().back().map_or(0, |recorded| recorded.seq);
        if self.0.last().is_none_or(|(seen, ..)| seq > *seen) {
            let (now, ui) = (engine.now(), ui());
            let mut context = engine.context(&ui, "7f3a", false);
            context.now = now;
            self.0.push((seq, now, bare(project(&context))));
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn screens(&self) -> impl Iterator<Item = &Screen> {
        self.0.iter().map(|(_, _, screen)| screen)
    }

    /// Every screen is shown again, and every decision made again.
    pub fn compare(&self, recording: &Recording) {
        assert_eq!(recording.notes(), [""; 0]);
        for (seq, now, screen) in &self.0 {
            let mut frame = recording.at_fact(*seq).unwrap();
            frame.view.update(*now, ViewEvent::Time);
            let (ui, who) = (ui(), me());
            let status = SessionStatus::new(&who, *now);
            let context = ViewContext::new(&frame.view, status, &ui, "7f3a", jiff::tz::TimeZone::system());
            let replayed = bare(project(&context));
            same(&format!("fact {seq}"), screen, &replayed);
        }
        let report = verify(recording).unwrap();
        assert!(report.differences.is_empty(), "{report}");
    }
}

fn ui() -> UiState {
    UiState { overlay: Some(Overlay::Log), list_rows: 60, ..UiState::default() }
}
