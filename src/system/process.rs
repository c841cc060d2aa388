//! Distinguishes a process from a later one with the same number.
//!
//! Linux shows in `/proc` when a process began and its command line. Other systems have no `/proc`: when a process
//! began is unknown there, so a number in use may belong to another process, and `ps` gives the command line.

use std::fs;

/// Whether [`born`] works for every existing process. If so, a process without a result is gone.
pub const TELLS_BIRTH: bool = cfg!(target_os = "linux");

/// Identifies a process by a text that is equal only for the same process: the boot's id and the start in clock ticks
/// since then (`proc(5)`, field 22). `None` for one that has ended, also as a zombie, and where the system does not
/// offer it.
pub fn born(pid: i32) -> Option<String> {
    if !TELLS_BIRTH {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may contain anything, including blanks and brackets.
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    let start = fields.nth(18)?;
    Some(format!("{}/{start}", boot.trim()))
}

/// The program and the arguments of a process, with anything between them; `None` when there is no such process.
pub fn command_line(pid: u32) -> Option<String> {
    let bytes = if cfg!(target_os = "linux") {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        std::process::Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().ok()?.stdout
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_when_it_began_and_how_it_was_called() {
        let own = std::process::id();
        assert_eq!(born(own.try_into().unwrap()).is_some(), TELLS_BIRTH);
        assert_eq!(born(own.try_into().unwrap()), born(own.try_into().unwrap()));
        let program = std::env::current_exe().unwrap();
        let name = program.file_name().unwrap().to_str().unwrap();
        assert!(command_line(own).unwrap().contains(name));
    }
}
