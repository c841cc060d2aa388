//! A small program that uses the terminal as the cockpit does, for `tests/program/terminal`.
//!
//! Keys: `q` quit, `p` panic here, `d` panic while drawing, `w` panic on a worker thread, `c` panic where it is contained,
//! `b` be busy and refuse to be stopped until the next `b`, Ctrl-Z suspend, `u` draw what is there already, `f` draw floods of changing frames until `g`, arrows move a cursor.
//!
//! Environment: `EXERCISE_REPORT` a file that always holds the counters, as `name value` lines;
//! `EXERCISE_WORK_MS` how long to go on working after the terminal is lost (default 0);
//! `EXERCISE_LINGER` stay alive for a minute after the terminal was given back.
#![allow(clippy::panic, reason = "panics are what is exercised")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gonogo::term::{ColorChoice, Drawn, Events, KeyCode, KeyModifiers, Signal, TermEvent, Terminal, TerminalOptions};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

/// What the tests want to know from inside.
#[derive(Default)]
struct Counters {
    /// Turns of the engine, which must never stand still.
    engine: AtomicU64,
    drawn: AtomicU64,
    unchanged: AtomicU64,
    busy: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    fn text(&self) -> String {
        format!(
            "engine {}\ndrawn {}\nunchanged {}\nbusy {}\nlost {}\n",
            self.engine.load(Ordering::Relaxed),
            self.drawn.load(Ordering::Relaxed),
            self.unchanged.load(Ordering::Relaxed),
            self.busy.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        )
    }
}

struct App {
    terminal: Terminal,
    counters: Arc<Counters>,
    last: String,
    flood: bool,
    busy: bool,
    /// The next frame that is drawn panics. Until a frame before it is written there is none.
    bad_frame: bool,
    row: u16,
    seconds: u64,
}

impl App {
    fn draw(&mut self) -> Drawn {
        let Self { terminal, counters, last, flood, bad_frame, row, seconds, .. } = self;
        let drawn = terminal.draw(|frame| {
            assert!(!*bad_frame, "asked to panic while drawing");
            let [head, body] = Layout::vertical([Constraint::Length(2), Constraint::Fill(1)]).areas(frame.area());
            let size = frame.area();
            let engine = counters.engine.load(Ordering::Relaxed);
            let lines = vec![
                Line::from(format!(
                    "READY {}x{} last={last} engine={} sec={seconds}",
                    size.width,
                    size.height,
                    if *flood { engine } else { 0 },
                ))
                .bold(),
                Line::from("grün │ ✓ 日本".red()),
            ];
            frame.render_widget(Paragraph::new(lines), head);
            let text: Vec<Line> = (0..body.height.saturating_sub(2))
                .map(|y| {
                    let style = if y == *row { Style::new().reversed() } else { Style::new() };
                    let text = if *flood {
                        format!("{:010}", engine.wrapping_mul(7919).wrapping_add(u64::from(y)))
                            .repeat(usize::from(body.width) / 10)
                    } else {
                        format!("row {y} of a table that is there to be looked at")
                    };
                    Line::styled(text, style)
                })
                .collect();
            frame.render_widget(Paragraph::new(text).block(Block::bordered()), body);
        });
        let counter = match drawn {
            Drawn::Sent => &self.counters.drawn,
            Drawn::Unchanged => &self.counters.unchanged,
            Drawn::Busy => &self.counters.busy,
            Drawn::Away => return drawn,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        drawn
    }

    fn suspend(&mut self) {
        if self.busy {
            self.last = "too busy to stop".into();
        } else if let Err(error) = self.terminal.suspend() {
            self.last = error.to_string();
        }
    }

    /// Acts on an event; an exit code ends the program.
    async fn on(&mut self, event: TermEvent) -> Option<u8> {
        match event {
            TermEvent::Key(key) if key.modifiers == KeyModifiers::CONTROL => {
                if key.code == KeyCode::Char('z') {
                    self.suspend();
                }
            }
            TermEvent::StopAsked => self.suspend(),
            TermEvent::Key(key) => match key.code {
                KeyCode::Char('q') => return Some(0),
                KeyCode::Char('p') => panic!("asked to panic on the main thread"),
                KeyCode::Char('d') => self.bad_frame = true,
                KeyCode::Char('w') => {
                    let _ = std::thread::spawn(|| panic!("asked to panic on a worker")).join();
                }
                KeyCode::Char('c') => {
                    let caught = gonogo::catch_panic::catch_panic_now(|| panic!("asked to panic, contained"));
                    self.last = caught.map_or_else(|panicked| panicked.to_string(), |()| "no panic".to_owned());
                }
                KeyCode::Char('b') => {
                    self.busy = !self.busy;
                    self.last = format!("busy:{}", self.busy);
                }
                KeyCode::Char('f') => self.flood = true,
                KeyCode::Char('g') => self.flood = false,
                KeyCode::Char('u') => {}
                KeyCode::Down => self.row += 1,
                KeyCode::Up => self.row = self.row.saturating_sub(1),
                code => self.last = format!("{code:?}"),
            },
            TermEvent::Paste(text) => self.last = format!("paste:{text}"),
            TermEvent::Signal(signal) => {
                return Some(match signal {
                    Signal::Terminate => 10,
                    Signal::Interrupt => 11,
                    Signal::Hangup => 12,
                });
            }
            TermEvent::Lost(_) => {
                self.counters.lost.fetch_add(1, Ordering::Relaxed);
                let work = std::env::var("EXERCISE_WORK_MS").ok();
                let work = work.and_then(|ms| ms.parse().ok()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(work)).await;
                return Some(13);
            }
            TermEvent::Resumed => self.last = "resumed".into(),
            TermEvent::Resize { .. } | TermEvent::Writable => {}
        }
        None
    }
}

async fn run(app: &mut App, mut events: Events) -> u8 {
    let mut flood = tokio::time::interval(Duration::from_millis(5));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let _ = app.draw();
        tokio::select! {
            biased;
            event = events.recv() => {
                let Some(event) = event else { return 14 };
                if let Some(code) = app.on(event).await {
                    return code;
                }
            }
            _ = flood.tick(), if app.flood => {}
            _ = second.tick(), if std::env::var_os("EXERCISE_CLOCK").is_some() => app.seconds += 1,
        }
    }
}

fn start_engine(counters: &Arc<Counters>) {
    let counters = Arc::clone(counters);
    let Some(report) = std::env::var_os("EXERCISE_REPORT").map(PathBuf::from) else {
        return;
    };
    std::thread::spawn(move || {
        let fresh = report.with_extension("new");
        loop {
            counters.engine.fetch_add(1, Ordering::Relaxed);
            // Replaced as a whole, so that a reader never sees half of it.
            let _ = std::fs::write(&fresh, counters.text());
            let _ = std::fs::rename(&fresh, &report);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

fn main() {
    let counters = Arc::new(Counters::default());
    let (terminal, events) = match Terminal::enter(TerminalOptions::detect(ColorChoice::Auto)) {
        Ok(entered) => entered,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    start_engine(&counters);
    let mut app = App {
        terminal,
        counters,
        last: String::new(),
        flood: false,
        busy: false,
        bad_frame: false,
        row: 0,
        seconds: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(run(&mut app, events)),
        Err(_) => 15,
    };
    let flush = app.terminal.flush_time();
    app.terminal.leave();
    // The terminal may be gone.
    let _ = writeln!(std::io::stdout(), "BYE {code} last flush {flush:?}");
    if std::env::var_os("EXERCISE_LINGER").is_some() {
        std::thread::sleep(Duration::from_mins(1));
    }
    std::process::exit(i32::from(code));
}
