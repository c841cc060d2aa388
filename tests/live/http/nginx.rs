//! A real web server on a port of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{free_port, until};

/// nginx, which ends with the value. It runs as one process, so that a signal stops all of it.
pub struct Nginx {
    pub port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// Starts it with these lines inside its `server` block; `PORT` and `DIR` in them are replaced.
    pub async fn start(server: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let place = dir.path().display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {place}/{name};"))
            .join("\n");
        let server = server.replace("PORT", &port.to_string()).replace("DIR", &place);
        let config = format!(
            "user root root; daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ }}\n\
             http {{ access_log off; {temporary}\nserver {{\n{server}\n}}\n}}\n"
        );
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(program())
            .args(["-e", &format!("{place}/error.log"), "-c"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx from Debian: `tests/run` installs it");
        until("a listening nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Self { port, child, _dir: dir }
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    ["/usr/sbin/nginx", "/usr/bin/nginx"].iter().map(PathBuf::from).find(|path| path.exists()).unwrap_or("nginx".into())
}
