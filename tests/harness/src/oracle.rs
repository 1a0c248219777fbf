//! A redis-server of the test's own: what behaviour is compared with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Client, Reply};

/// A running redis-server; stopped when dropped.
pub struct Oracle {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Oracle {
    /// Whether redis-server can be started here; if not, says that a test is skipped.
    pub fn is_installed() -> bool {
        let installed = Command::new("redis-server").arg("--version").output().is_ok();
        if !installed {
            eprintln!("skipped: redis-server is not installed");
        }
        installed
    }

    /// Starts one without persistence, DEBUG allowed, with further arguments such as `["--dbfilename", "x"]`.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = crate::free_ports(1)[0];
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(port, folder.path(), &arguments);
        Self { child, folder, arguments, port }
    }

    /// `kill -9`, and a start on the same folder and port.
    pub fn kill_and_restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(self.port, self.folder.path(), &self.arguments);
    }

    /// Its working folder (RDB and AOF files).
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Path of its RDB file.
    pub fn rdb(&self) -> PathBuf {
        self.folder.path().join("dump.rdb")
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the process and waits until it answers.
fn spawn(port: u16, folder: &Path, arguments: &[String]) -> Child {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--enable-debug-command", "yes", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("redis-server cannot be started ({e}); `make needs-test` installs it"));
    let begun = Instant::now();
    // It opens its port before it has loaded what it kept.
    let serves = |mut client: Client| {
        // A start that is not over may break a connection off.
        client
            .call(&["PING"])
            .is_ok_and(|reply| !matches!(reply, Reply::Error(text) if text.starts_with("LOADING")))
    };
    while !Client::connect(port).is_ok_and(serves) {
        assert!(begun.elapsed() < Duration::from_secs(20), "redis-server did not serve port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}
