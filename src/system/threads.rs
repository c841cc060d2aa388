//! Whether this program may start the threads that it cannot do without.

use std::io;
use std::sync::mpsc;
use std::thread;

/// The runtime's, the journal's, the terminal's and some for look-ups and files: without them nothing can be driven.
const NEEDED: usize = 12;

/// Whether so many threads can be started now. Where they cannot, the runtime would panic and leave the program hanging.
///
/// # Errors
///
/// What the system says.
pub fn enough() -> io::Result<()> {
    let started: io::Result<Vec<_>> = (0..NEEDED)
        .map(|_| {
            let (end, ended) = mpsc::channel::<()>();
            // It ends when the other side of the channel does.
            let thread = thread::Builder::new().spawn(move || ended.recv().is_err())?;
            Ok((thread, end))
        })
        .collect();
    for (thread, end) in started? {
        drop(end);
        // Waiting for it leaves its place to whoever comes next.
        let _ = thread.join();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_that_runs_tests_lets_threads_be_started() {
        super::enough().unwrap();
    }
}
