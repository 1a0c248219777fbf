//! A redis-server of the test's own: what behaviour is compared with.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running redis-server; stopped when dropped.
pub struct Oracle {
    child: Child,
    folder: TempDir,
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
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("redis-server cannot be started ({e}); `make needs-test` installs it")
            });
        let oracle = Self { child, folder, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis-server did not open port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        oracle
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
