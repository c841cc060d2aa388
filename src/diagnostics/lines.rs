//! The file of the log, and the count of lines that could not be written to it.

use std::io::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;
use tracing_appender::non_blocking::ErrorCounter;

use super::QueueCounter;

/// Writes whole lines. It never fails: lines that cannot be written are counted, and the count is written as soon as
/// possible.
#[derive(Debug)]
pub(super) struct Lines<W> {
    file: W,
    /// Lines that the queue had no room for, since the start.
    queue: QueueCounter,
    /// How many of those have been reported.
    told: usize,
    /// Lines that could not be written to the file and have not been reported.
    unwritten: usize,
    /// Whether the last line was cut off by a failure.
    torn: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(file: W) -> Self {
        Self { file, queue: Arc::default(), told: 0, unwritten: 0, torn: false }
    }

    /// The place for the queue's counter, which is set once there is a queue.
    pub(super) fn counter(&self) -> QueueCounter {
        Arc::clone(&self.queue)
    }

    /// Writes how many lines are missing here, if any are.
    fn tell_lost(&mut self) {
        let dropped = self.queue.get().map_or(0, ErrorCounter::dropped_lines);
        let lost = dropped.saturating_sub(self.told).saturating_add(self.unwritten);
        if lost == 0 {
            return;
        }
        let text =
            format!("{:.6}  WARN gonogo::diagnostics: {lost} lines are missing before this one\n", Timestamp::now());
        if self.put(text.as_bytes()) {
            self.told = dropped;
            self.unwritten = 0;
        }
    }

    fn put(&mut self, line: &[u8]) -> bool {
        let written = if self.torn {
            self.file.write_all(b"\n").and_then(|()| self.file.write_all(line))
        } else {
            self.file.write_all(line)
        };
        // How much of it was written is unknown.
        self.torn = written.is_err();
        written.is_ok()
    }
}

impl<W: Write> Write for Lines<W> {
    /// Takes one complete line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tell_lost();
        if !self.put(line) {
            self.unwritten = self.unwritten.saturating_add(1);
        }
        Ok(line.len())
    }

    /// Called when the queue is empty, and at the end.
    fn flush(&mut self) -> io::Result<()> {
        self.tell_lost();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file on a disk with room for a limited number of bytes.
    #[derive(Default)]
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted_and_told_once_there_is_room() {
        let mut lines = Lines::new(Disk { text: Vec::new(), room: 6 });
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        lines.flush().unwrap();
        lines.file.room = 1_000;
        lines.write_all(b"four\n").unwrap();
        lines.write_all(b"five\n").unwrap();
        let text = String::from_utf8(lines.file.text).unwrap();
        let told: Vec<&str> = text.lines().collect();
        assert_eq!((told[0], told[1]), ("one", "tw"), "{text}");
        assert!(told[2].ends_with("2 lines are missing before this one"), "{text}");
        assert_eq!(told[3..], ["four", "five"]);
    }

    /// A file that accepts nothing until it is told to.
    struct Slow(std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_without_room_in_the_queue_are_told_even_if_nothing_follows() {
        // A queue whose thread waits for the file and takes nothing meanwhile.
        let (gate, opened) = std::sync::mpsc::channel::<()>();
        let (sent, all) = std::sync::mpsc::channel();
        let lines = Lines::new(Slow(opened, sent));
        let counter = lines.counter();
        let (mut queue, worker) =
            tracing_appender::non_blocking::NonBlockingBuilder::default().buffered_lines_limit(2).finish(lines);
        counter.set(queue.error_counter()).unwrap();
        for n in 0..50 {
            queue.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        // Logging did not wait; now the disk responds.
        let lost = queue.error_counter().dropped_lines();
        assert!((45..50).contains(&lost), "{lost}");
        drop((gate, queue, worker));
        let text = String::from_utf8(all.iter().flatten().collect()).unwrap();
        let told = |line: &str| line.split("diagnostics: ").nth(1)?.split(' ').next()?.parse::<usize>().ok();
        assert_eq!(text.lines().filter_map(told).sum::<usize>(), lost, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("line ")).count(), 50 - lost, "{text}");
    }
}
