//! A terminal with the real program in it: keys go in, a screen comes out, and it can be closed.

use std::ffi::OsStr;
use std::io::{Read as _, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

const COLS: u16 = 120;
const ROWS: u16 = 40;

/// What the operator sees at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    rows: Vec<String>,
}

impl View {
    /// The whole screen.
    pub fn text(&self) -> String {
        self.rows.join("\n")
    }

    pub fn has(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }

    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// What is asked, refused or to be done; `None` before the cockpit is there. It stands above the footer and is
    /// one line or more.
    pub fn conversation(&self) -> Option<String> {
        let at = self.rows.iter().rposition(|row| row.starts_with(" ›"))?;
        let above_footer = self.rows.len().checked_sub(1)?;
        let rows = self.rows.get(at..above_footer)?;
        let text = rows.iter().map(|row| row.trim()).filter(|row| !row.is_empty()).collect::<Vec<_>>().join(" ");
        text.strip_prefix('›').map(|text| text.trim().to_owned())
    }
}

struct Seen {
    screen: vt100::Parser,
    /// Grows with everything that comes out.
    version: u64,
    closed: bool,
    /// Nothing more comes out.
    over: bool,
}

pub struct Console {
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

fn nonzero(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("at least 1")
}

/// Length of what may be shown: a frame that has begun (synchronized output) is shown whole or not yet, as a terminal
/// does. A reader sees it in pieces.
fn whole_frames(bytes: &[u8]) -> usize {
    const BEGIN: &[u8] = b"\x1b[?2026h";
    const END: &[u8] = b"\x1b[?2026l";
    let last = |mark: &[u8]| bytes.windows(mark.len()).rposition(|window| window == mark);
    match (last(BEGIN), last(END)) {
        (Some(begin), Some(end)) if begin < end => bytes.len(),
        (Some(begin), _) => begin,
        (None, _) => bytes.len(),
    }
}

impl Console {
    /// Starts the program as the leader of its own session. `scratch` is its home and its place for temporary files.
    pub fn start<A: AsRef<OsStr>>(scratch: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let size = PtySize { rows: ROWS, cols: COLS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gonogo"));
        command.args(args);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env_clear();
        for (name, value) in super::environment(scratch) {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("it starts");
        // Held open here, the terminal would never be seen to close.
        drop(pair.slave);
        let screen = vt100::Parser::new(nonzero(ROWS), nonzero(COLS), 0);
        let seen = Arc::new((Mutex::new(Seen { screen, version: 0, closed: false, over: false }), Condvar::new()));
        let mut source = pair.master.try_clone_reader().expect("a reader");
        let shared = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            let mut unseen = Vec::new();
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                unseen.extend_from_slice(&buffer[..count]);
                let whole = whole_frames(&unseen);
                if whole == 0 {
                    continue;
                }
                let mut seen = shared.0.lock().expect("not poisoned");
                seen.screen.process(&unseen[..whole]);
                unseen.drain(..whole);
                seen.version += 1;
                shared.1.notify_all();
                if seen.closed {
                    break;
                }
            }
            shared.0.lock().expect("not poisoned").over = true;
            shared.1.notify_all();
        });
        let writer = Some(pair.master.take_writer().expect("a writer"));
        Self { master: Some(pair.master), writer, child, seen, reader: Some(reader) }
    }

    /// Presses keys. A program that has just ended takes none, which shows at the next look at the screen.
    pub fn press(&mut self, keys: &str) {
        if let Some(writer) = &mut self.writer {
            let _ = writer.write_all(keys.as_bytes()).and_then(|()| writer.flush());
        }
    }

    pub fn view(&self) -> View {
        Self::view_of(&self.seen.0.lock().expect("not poisoned"))
    }

    fn view_of(seen: &Seen) -> View {
        View { rows: seen.screen.screen().rows(0, COLS).collect() }
    }

    /// Waits until `found` gives something for what is on screen.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut found: impl FnMut(&View) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        let mut seen = self.seen.0.lock().expect("not poisoned");
        loop {
            let view = Self::view_of(&seen);
            if let Some(found) = found(&view) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {limit:?} in vain for {what}; screen:\n{}", view.text());
            seen = self.seen.1.wait_timeout(seen, left.min(Duration::from_millis(200))).expect("not poisoned").0;
        }
    }

    /// Waits until something new is on screen, but not longer than `limit`.
    pub fn wait_for_news(&self, since: &View, limit: Duration) {
        let end = Instant::now() + limit;
        let mut seen = self.seen.0.lock().expect("not poisoned");
        while Self::view_of(&seen) == *since {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            seen = self.seen.1.wait_timeout(seen, left).expect("not poisoned").0;
        }
    }

    /// The exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<u32> {
        self.child.try_wait().expect("a child").map(|status| status.exit_code())
    }

    /// Waits for the program's end and for its last words; its exit status.
    pub fn exit_code(&mut self, limit: Duration) -> u32 {
        let end = Instant::now() + limit;
        loop {
            if let Some(code) = self.ended() {
                let seen = self.seen.0.lock().expect("not poisoned");
                let left = end.saturating_duration_since(Instant::now());
                let waited = self.seen.1.wait_timeout_while(seen, left, |seen| !seen.over).expect("not poisoned");
                assert!(!waited.1.timed_out(), "somebody still holds the terminal");
                return code;
            }
            assert!(Instant::now() < end, "it does not end within {limit:?}; screen:\n{}", self.view().text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the program as the kernel would: it gets no chance to do anything.
    pub fn kill_hard(&mut self) {
        if let Some(pid) = self.child.process_id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // Not yet waited for, so the id is still that of the child.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Takes the terminal away under the program, as a dropped connection does.
    pub fn hang_up(&mut self) {
        self.seen.0.lock().expect("not poisoned").closed = true;
        // The answer to a key wakes the reader, which then closes its descriptor.
        self.press("\x1b[B");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.writer = None;
        self.master = None;
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill_hard();
        }
    }
}
