//! Reads keys, and notices when the terminal is gone.
//!
//! Two threads, both waiting for the device ([`crate::system::terminal`]): the reader, which turns bytes into
//! events, and the watchdog, which asks for no input and so wakes only when the terminal hangs up,
//! even while the reader waits for somebody to take its events.
//!
//! The bytes are parsed by [`termina::Parser`], a parser without I/O. crossterm's `event::read`
//! cannot be used: its parser is private, and once the terminal is gone its `poll` never returns
//! and spins a core (crossterm 0.29, `event/source/unix/mio.rs`: end of file and EIO fall through
//! to another read; crossterm issue 793). Polling first does not help, because the terminal may
//! hang up between the poll and the read, and because the read blocks after half a sequence. Here
//! the descriptor does not block and every read error ends the thread.

use std::io::PipeReader;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::io::Errno;

use super::session::Session;
use super::{Lost, TermEvent, keys};
use crate::system::terminal::{self, Interest, Wakeup};

/// How long the rest of an escape sequence may take before a lone ESC counts as the Escape key. A sequence that arrives
/// split over ssh must not become Escape and a letter that is a command.
const SEQUENCE_PATIENCE: Duration = Duration::from_millis(30);
/// How often a reader in the background checks whether it may read the terminal again.
const BACKGROUND_TICK: Duration = Duration::from_millis(250);
/// This many reads without data although the device was readable mean the end of the file.
const EMPTY_READS: u8 = 8;
/// Unfinished input beyond this is split (a paste) or thrown away (anything else).
const PENDING_LIMIT: usize = 1 << 20;

const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// Why a wait on the device ended.
enum Wake {
    Readable,
    TimedOut,
    Gone(Lost),
    Stop,
}

/// The reader's body.
pub(super) fn read(session: &Session, stop: &PipeReader) {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    let mut empty = 0;
    loop {
        if session.holder().is_lent() {
            session.wait_while_lent(BACKGROUND_TICK);
            continue;
        }
        let limit = decoder.pending.then_some(SEQUENCE_PATIENCE);
        match wait(session, stop, Interest::Read, limit) {
            Wake::Stop => return,
            Wake::Gone(why) => return session.lose(why),
            Wake::TimedOut => decoder.settle(),
            Wake::Readable => match session.read(&mut buffer) {
                None => {
                    std::thread::sleep(BACKGROUND_TICK);
                    continue;
                }
                Some(Ok(0)) if empty >= EMPTY_READS => return session.lose(Lost::Ended),
                Some(Ok(0)) => empty += 1,
                Some(Ok(count)) => {
                    empty = 0;
                    decoder.feed(buffer.get(..count).unwrap_or_default());
                }
                Some(Err(errno)) => return session.lose(failed(errno)),
            },
        }
        while let Some(event) = decoder.next() {
            if !session.send(event) {
                return;
            }
        }
    }
}

/// The watchdog's body.
pub(super) fn watch(session: &Session, stop: &PipeReader) {
    if let Wake::Gone(why) = wait(session, stop, Interest::HangUp, None) {
        session.lose(why);
    }
}

fn failed(errno: Errno) -> Lost {
    Lost::Failed { os_error: errno.raw_os_error() }
}

fn wait(session: &Session, stop: &PipeReader, interest: Interest, limit: Option<Duration>) -> Wake {
    loop {
        match terminal::wait(session.tty.fd(), interest, Some(stop.as_fd()), limit) {
            Ok(Wakeup::Stopped) => return Wake::Stop,
            Ok(Wakeup::HungUp) => return Wake::Gone(Lost::HungUp),
            Ok(Wakeup::Ready) => return Wake::Readable,
            // Without a limit only a signal ends the wait like this.
            Ok(Wakeup::Nothing) if limit.is_none() => {}
            Ok(Wakeup::Nothing) => return Wake::TimedOut,
            Err(error) => return Wake::Gone(Lost::Failed { os_error: error.raw_os_error().unwrap_or_default() }),
        }
    }
}

/// Turns bytes into events as they arrive.
#[derive(Debug, Default)]
struct Decoder {
    parser: termina::Parser,
    /// Bytes came since the parser was last told that the input paused.
    pending: bool,
    /// Bytes fed since the last event.
    unfinished: usize,
}

impl Decoder {
    fn feed(&mut self, bytes: &[u8]) {
        self.parser.parse(bytes, true);
        self.pending = true;
        self.unfinished += bytes.len();
        if self.unfinished > PENDING_LIMIT && !bytes.iter().rev().take(8).any(|b| *b == 0x1b) {
            self.unfinished = 0;
            self.parser.parse(PASTE_END, false);
            self.parser.parse(PASTE_START, true);
        }
    }

    /// The input paused: a lone ESC is the Escape key.
    fn settle(&mut self) {
        self.pending = false;
        self.parser.parse(&[], false);
    }

    fn next(&mut self) -> Option<TermEvent> {
        while let Some(event) = self.parser.pop() {
            self.unfinished = 0;
            match event {
                termina::Event::Key(key) => {
                    if let Some(key) = keys::from_termina(key) {
                        return Some(TermEvent::Key(key));
                    }
                }
                termina::Event::Paste(text) => return Some(TermEvent::Paste(keys::pasted(&text))),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Vec<TermEvent> {
        std::iter::from_fn(|| decoder.next()).collect()
    }

    fn key(code: KeyCode, modifiers: KeyModifiers) -> TermEvent {
        TermEvent::Key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_sequence_torn_apart_is_one_key() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b");
        assert_eq!(all(&mut decoder), []);
        decoder.feed(b"[A");
        assert_eq!(all(&mut decoder), [key(KeyCode::Up, KeyModifiers::NONE)]);
    }

    #[test]
    fn a_lone_escape_is_the_escape_key_after_a_pause() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b");
        decoder.settle();
        assert_eq!(all(&mut decoder), [key(KeyCode::Esc, KeyModifiers::NONE)]);
    }

    #[test]
    fn letters_come_at_once() {
        let mut decoder = Decoder::default();
        decoder.feed("qé\x1a\x1b[1;5C".as_bytes());
        assert_eq!(
            all(&mut decoder),
            [
                key(KeyCode::Char('q'), KeyModifiers::NONE),
                key(KeyCode::Char('é'), KeyModifiers::NONE),
                key(KeyCode::Char('z'), KeyModifiers::CONTROL),
                key(KeyCode::Right, KeyModifiers::CONTROL),
            ]
        );
    }

    #[test]
    fn releases_are_not_keys() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b[97;1:3u\x1b[97;1:2ub");
        let events = all(&mut decoder);
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(matches!(events.first(), Some(TermEvent::Key(k)) if k.code == KeyCode::Char('a')));
    }

    #[test]
    fn a_paste_is_one_event_and_holds_no_control_characters() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b[200~drop\x1b[31m me\r\nnow\x1b[201~x");
        assert_eq!(
            all(&mut decoder),
            [TermEvent::Paste("drop␛[31m me\nnow".into()), key(KeyCode::Char('x'), KeyModifiers::NONE),]
        );
    }

    #[test]
    fn a_huge_paste_comes_in_parts_and_whole() {
        let mut decoder = Decoder::default();
        decoder.feed(PASTE_START);
        let mut text = String::new();
        for _ in 0..800 {
            decoder.feed(&[b'a'; 4096]);
            for event in all(&mut decoder) {
                match event {
                    TermEvent::Paste(part) => text.push_str(&part),
                    other => panic!("{other:?}"),
                }
            }
        }
        decoder.feed(PASTE_END);
        for event in all(&mut decoder) {
            match event {
                TermEvent::Paste(part) => text.push_str(&part),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(text.len(), 800 * 4096);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_parser_down(chunks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::default();
            for chunk in chunks {
                decoder.feed(&chunk);
                all(&mut decoder);
                decoder.settle();
                all(&mut decoder);
            }
        }

        #[test]
        fn no_sequence_brings_the_parser_down(
            text in "(\x1b[\\[\\]OPX_]{1,2}[0-9;:<>?$\" a-zA-Z~]{0,12}[\u{1b}\u{7}\\\\]?){0,6}",
        ) {
            let mut decoder = Decoder::default();
            decoder.feed(text.as_bytes());
            decoder.settle();
            all(&mut decoder);
        }
    }
}
