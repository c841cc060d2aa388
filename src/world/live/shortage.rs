//! What this machine is out of: descriptors, ports, memory. It says nothing of the other side, which was never asked.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use crate::system::descriptors;

/// What was missing here, in words; `None` for an error that has another reason.
pub(super) fn of(err: &io::Error) -> Option<String> {
    let code = Errno::from_raw_os_error(err.raw_os_error()?);
    Some(match code {
        Errno::MFILE => format!("this machine has no free descriptors: {}", descriptors::limit_in_words()),
        Errno::NFILE => {
            "this machine has no free descriptors: all of its programs together have too many files open".to_owned()
        }
        Errno::AGAIN => "this machine lets gonogo start no more threads (`ulimit -u`)".to_owned(),
        Errno::NOBUFS | Errno::NOMEM => "this machine is out of memory for connections".to_owned(),
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => {
            "this machine has no free port, or no address of the kind that is asked".to_owned()
        }
        _ => return None,
    })
}

/// The same for an error that another one may have caused.
pub(super) fn behind(err: &(dyn Error + 'static)) -> Option<String> {
    std::iter::successors(Some(err), |cause| (*cause).source()).find_map(|cause| of(cause.downcast_ref()?))
}
