//! Waits for the terminal.
//!
//! `poll` on macOS does not accept terminals, so `select` must be used there; `filedescriptor` chooses. `select` does
//! not report a hang-up: there the reader notices it at the end of the input.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use filedescriptor::{POLLIN, POLLOUT, poll, pollfd};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read.
    Read,
    /// Room to write.
    Write,
    /// Only a hang-up.
    HangUp,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// The other descriptor was closed at its other end.
    Stopped,
    /// The terminal hung up or failed.
    HungUp,
    /// The awaited event is there.
    Ready,
    /// The limit has passed, or a signal came.
    Nothing,
}

/// Waits for a terminal, for at most `limit`, and until the other end of `stop` is closed. A signal may end the wait early.
///
/// # Errors
///
/// When the system cannot wait for these descriptors.
pub fn wait(
    terminal: BorrowedFd<'_>,
    interest: Interest,
    stop: Option<BorrowedFd<'_>>,
    limit: Option<Duration>,
) -> io::Result<Wakeup> {
    let events = match interest {
        Interest::Read => POLLIN,
        Interest::Write => POLLOUT,
        Interest::HangUp => 0,
    };
    let waiting = |fd: BorrowedFd<'_>, events| pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // Nobody writes to this pipe, so it becomes readable only when it is closed.
    let mut fds = vec![waiting(terminal, events)];
    fds.extend(stop.map(|stop| waiting(stop, POLLIN)));
    match poll(&mut fds, limit) {
        Ok(_) => {}
        Err(filedescriptor::Error::Poll(error) | filedescriptor::Error::Io(error)) => {
            return if error.kind() == io::ErrorKind::Interrupted { Ok(Wakeup::Nothing) } else { Err(error) };
        }
        Err(error) => return Err(io::Error::other(error)),
    }
    let came = |at: usize| fds.get(at).map_or(0, |fd| fd.revents);
    Ok(if came(1) != 0 {
        Wakeup::Stopped
    } else if came(0) & !(POLLIN | POLLOUT) != 0 {
        Wakeup::HungUp
    } else if came(0) & events != 0 {
        Wakeup::Ready
    } else {
        Wakeup::Nothing
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    const SHORT: Option<Duration> = Some(Duration::from_millis(1));

    #[test]
    fn a_wait_tells_what_it_ended_with() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (stop, stopper) = io::pipe().unwrap();
        let read = |limit| wait(reader.as_fd(), Interest::Read, Some(stop.as_fd()), limit).unwrap();
        assert_eq!(read(SHORT), Wakeup::Nothing);
        writer.write_all(b"x").unwrap();
        assert_eq!(read(None), Wakeup::Ready);
        assert_eq!(wait(writer.as_fd(), Interest::Write, None, None).unwrap(), Wakeup::Ready);
        drop(stopper);
        assert_eq!(read(None), Wakeup::Stopped, "that comes first");
    }
}
