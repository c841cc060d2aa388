//! The only thread that writes frames to the terminal.
//!
//! At most one frame is in flight; there is no queue. A caller that draws meanwhile is refused and gets
//! [`TermEvent::Writable`] when the frame is done, to draw the newest picture then. So a terminal that stops reading
//! costs one frame of memory and blocks nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Session;
use super::tty::{GIVE_UP_TICK, Written};
use super::{Lost, TermEvent};

/// A larger spare buffer than this is given back to the allocator.
const SPARE_LIMIT: usize = 1 << 20;

/// What the threads that draw, write and restore share.
#[derive(Debug, Default)]
pub(super) struct TerminalWriter {
    state: Mutex<State>,
    changed: Condvar,
    /// Tells a write under way to stop at once.
    abort: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Vec<u8>>,
    /// When the frame in flight was handed over.
    in_flight: Option<Instant>,
    last: Duration,
    /// A caller was refused while a frame was in flight.
    owed: bool,
    gate: Gate,
    /// The last frame was cut off: the terminal holds an unfinished one.
    cut: bool,
    /// The alternate screen is on, or the frame that switches it on is in flight.
    on_screen: bool,
    spare: Vec<u8>,
}

/// Whether frames are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Gate {
    #[default]
    Open,
    /// The terminal is being, or has been, given back.
    Closed,
    /// For good: the thread ends.
    Stopped,
}

/// Whether a frame may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Yes; `first` if the terminal's modes must be set by it.
    Free { first: bool },
    /// One is in flight; a [`TermEvent::Writable`] will come.
    Busy,
    /// The terminal is not in our hands at present.
    Closed,
}

/// The state in which writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// All that was handed over was written.
    Whole,
    /// The last frame was cut off.
    Cut,
    /// The thread is stuck inside the kernel.
    Stuck,
}

impl TerminalWriter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for room; a refusal for a frame in flight is remembered.
    pub(super) fn room(&self) -> Room {
        let mut state = self.lock();
        if state.gate != Gate::Open {
            Room::Closed
        } else if state.in_flight.is_some() {
            state.owed = true;
            Room::Busy
        } else {
            Room::Free { first: !state.on_screen }
        }
    }

    /// An empty buffer to encode the next frame into.
    pub(super) fn spare(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().spare)
    }

    /// Hands over a frame; false if it was refused.
    pub(super) fn submit(&self, frame: Vec<u8>) -> bool {
        let mut state = self.lock();
        if state.gate != Gate::Open || state.in_flight.is_some() {
            return false;
        }
        state.in_flight = Some(Instant::now());
        state.next = Some(frame);
        state.on_screen = true;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// How long the last frame took to be taken, or the one in flight is taking.
    pub(super) fn flush_time(&self) -> Duration {
        let state = self.lock();
        state.in_flight.map_or(state.last, |start| state.last.max(start.elapsed()))
    }

    /// Takes no more frames and waits up to `limit` for the one in flight, then cancels it.
    pub(super) fn close(&self, limit: Duration) -> Rest {
        let mut state = self.lock();
        if state.gate == Gate::Open {
            state.gate = Gate::Closed;
        }
        state = self.wait_idle(state, limit);
        if state.in_flight.is_some() {
            self.abort.store(true, Ordering::Release);
            state = self.wait_idle(state, 2 * GIVE_UP_TICK);
        }
        match (state.in_flight.is_some(), state.cut) {
            (true, _) => Rest::Stuck,
            (false, true) => Rest::Cut,
            (false, false) => Rest::Whole,
        }
    }

    /// Whether the alternate screen was on; it counts as off from now.
    pub(super) fn take_on_screen(&self) -> bool {
        std::mem::take(&mut self.lock().on_screen)
    }

    /// Takes frames again after [`TerminalWriter::close`]; the first one sets the modes anew.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        self.abort.store(false, Ordering::Release);
        state.gate = Gate::Open;
        state.cut = false;
        state.on_screen = false;
    }

    /// Ends the thread once nothing is in flight.
    pub(super) fn stop(&self) {
        self.abort.store(true, Ordering::Release);
        self.lock().gate = Gate::Stopped;
        self.changed.notify_all();
    }

    fn wait_idle<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout_while(state, limit, |state| state.in_flight.is_some())
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if state.gate == Gate::Stopped {
                return None;
            }
            if let Some(frame) = state.next.take() {
                return Some(frame);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the end of a frame; true if a caller waits to draw.
    fn finish(&self, mut frame: Vec<u8>, whole: bool) -> bool {
        frame.clear();
        if frame.capacity() > SPARE_LIMIT {
            frame = Vec::new();
        }
        let mut state = self.lock();
        state.spare = frame;
        state.cut = !whole;
        if let Some(start) = state.in_flight.take() {
            state.last = start.elapsed();
        }
        let owed = std::mem::take(&mut state.owed);
        drop(state);
        self.changed.notify_all();
        owed
    }
}

/// The thread's body: writes frames until the session ends.
pub(super) fn run(session: &Session) {
    let writer = &session.writer;
    while let Some(frame) = writer.next() {
        let result = session.tty.write(&frame, || writer.abort.load(Ordering::Acquire));
        let owed = writer.finish(frame, result == Written::All);
        if let Written::Failed(errno) = result {
            session.lose(Lost::Failed { os_error: errno.raw_os_error() });
        } else if owed {
            session.send(TermEvent::Writable);
        }
    }
}
