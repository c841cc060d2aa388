//! A pseudo-terminal with a program in it, watched by a terminal emulator.

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

/// How long any awaited thing may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(10);

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(TICK);
    }
}

/// What has come out of the terminal so far.
pub struct Seen {
    pub bytes: Vec<u8>,
    pub screen: vt100::Parser,
    paused: bool,
    closed: bool,
}

pub struct Pty {
    master: Option<Box<dyn MasterPty + Send>>,
    slave: Option<Box<dyn SlavePty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    termios: String,
    report: PathBuf,
    _folder: tempfile::TempDir,
}

fn nonzero(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("at least 1")
}

/// The exercise program, built if need be.
pub fn exercise() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        // In the profile of this test, in which it is mostly built already.
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells this test of its package is no setting of a build: crates that watch these variables, such as
        // `ring`, would be compiled anew, and all that depends on them.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|of| name.to_string_lossy().starts_with(of))
            {
                build.env_remove(name);
            }
        }
        let status = build
            .args(["build", "--quiet", "--example", "term_exercise", "--profile", profile])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the exercise program builds");
        folder.join("examples/term_exercise")
    })
}

impl Pty {
    /// Starts the exercise program as the leader of its own session.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts the exercise program with `env`, wrapped in a shell that runs `prefix` first.
    pub fn start_with(prefix: &[&str], env: &[(&str, &str)]) -> Self {
        let program = exercise().to_str().expect("a path in UTF-8");
        match prefix {
            [] => Self::spawn(&[program], env),
            [script] => Self::spawn(&["sh", "-c", script, program], env),
            _ => unreachable!("one script"),
        }
    }

    /// Starts any program.
    pub fn spawn(argv: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let report = folder.path().join("report");
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(argv[0]);
        command.args(&argv[1..]);
        for (name, value) in [
            ("TERM", "xterm-256color"),
            ("LC_ALL", "C.UTF-8"),
            // A long backtrace would scroll the message off the screen.
            ("RUST_BACKTRACE", "0"),
            ("EXERCISE_REPORT", report.to_str().expect("UTF-8")),
        ] {
            command.env(name, value);
        }
        command.env_remove("NO_COLOR");
        for (name, value) in env {
            command.env(name, value);
        }
        let termios = format!("{:?}", pair.master.get_termios().expect("settings"));
        let child = pair.slave.spawn_command(command).expect("it starts");
        let seen = Arc::new((
            Mutex::new(Seen {
                bytes: Vec::new(),
                screen: vt100::Parser::new(nonzero(24), nonzero(80), 0),
                paused: false,
                closed: false,
            }),
            Condvar::new(),
        ));
        let mut source = pair.master.try_clone_reader().expect("a reader");
        let shared = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                let mut seen = shared.0.lock().expect("not poisoned");
                seen.bytes.extend_from_slice(&buffer[..count]);
                seen.screen.process(&buffer[..count]);
                shared.1.notify_all();
                let seen = shared.1.wait_while(seen, |seen| seen.paused && !seen.closed).expect("not poisoned");
                if seen.closed {
                    return;
                }
            }
        });
        Self {
            writer: Some(pair.master.take_writer().expect("a writer")),
            master: Some(pair.master),
            slave: Some(pair.slave),
            child,
            seen,
            reader: Some(reader),
            termios,
            report,
            _folder: folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    pub fn send(&mut self, keys: &[u8]) {
        let writer = self.writer.as_mut().expect("not hung up");
        writer.write_all(keys).expect("the pty takes keys");
        writer.flush().expect("the pty takes keys");
    }

    /// Waits until `condition` holds of what was seen.
    pub fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock().expect("not poisoned");
        while !condition(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; screen:\n{}\nlast bytes: {:?}",
                seen.screen.screen().contents(),
                String::from_utf8_lossy(&seen.bytes[seen.bytes.len().saturating_sub(400)..]),
            );
            seen = self.seen.1.wait_timeout(seen, left).expect("not poisoned").0;
        }
    }

    /// Waits until the screen shows `text`.
    pub fn wait_for(&self, text: &str) {
        self.wait(&format!("{text:?}"), |seen| seen.screen.screen().contents().contains(text));
    }

    pub fn seen<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.0.lock().expect("not poisoned"))
    }

    /// The bytes as text, lossy.
    pub fn output(&self) -> String {
        self.seen(|seen| String::from_utf8_lossy(&seen.bytes).into_owned())
    }

    /// Stops taking what the program writes, from the next read on.
    pub fn pause(&self, paused: bool) {
        self.seen.0.lock().expect("not poisoned").paused = paused;
        self.seen.1.notify_all();
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        self.seen.0.lock().expect("not poisoned").screen.screen_mut().set_size(nonzero(rows), nonzero(cols));
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().expect("not hung up").resize(size).expect("resized");
    }

    /// Closes the terminal under the program.
    pub fn hang_up(&mut self) {
        self.seen.0.lock().expect("not poisoned").closed = true;
        // Any output wakes the reader, which then lets go of its descriptor.
        self.send(b"\x1b[B");
        self.reader.take().expect("once").join().expect("the reader ends");
        self.writer = None;
        self.slave = None;
        self.master = None;
    }

    /// Waits for the end of the program; its exit code.
    pub fn exit_code(&mut self) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.exit_code();
            }
            assert!(Instant::now() < end, "it does not end; output so far: {:?}", self.output());
            std::thread::sleep(TICK);
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// A counter from inside the program.
    pub fn counter(&self, name: &str) -> u64 {
        let report = std::fs::read_to_string(&self.report).unwrap_or_default();
        report.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until a counter has come to `least`.
    pub fn wait_counter(&self, name: &str, least: u64) {
        until(&format!("{name} comes to {least}"), || self.counter(name) >= least);
    }

    /// The settings of the terminal are those from before the program started.
    pub fn assert_settings_restored(&self) {
        let now = self.master.as_ref().expect("not hung up").get_termios();
        assert_eq!(format!("{:?}", now.expect("settings")), self.termios);
    }

    pub fn settings_are_original(&self) -> bool {
        let now = self.master.as_ref().expect("not hung up").get_termios();
        format!("{:?}", now.expect("settings")) == self.termios
    }

    /// The program's bytes leave no mode behind: alternate screen, cursor, bracketed paste and
    /// synchronized output are as at the start, and were switched as often on as off.
    pub fn assert_modes_balance(&self) {
        let output = self.output();
        for (on, off) in [
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?25l", "\x1b[?25h"),
            ("\x1b[?2004h", "\x1b[?2004l"),
            ("\x1b[?2026h", "\x1b[?2026l"),
        ] {
            assert_eq!(output.matches(on).count(), output.matches(off).count(), "{on:?} against {off:?} in {output:?}");
            assert!(output.rfind(on) < output.rfind(off), "{off:?} is last");
        }
        self.seen(|seen| {
            let screen = seen.screen.screen();
            assert!(!screen.alternate_screen());
            assert!(!screen.hide_cursor());
            assert!(!screen.bracketed_paste());
        });
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
