//! Runs real, unmodified programs of other languages against a server that is killed and started again on their word.
//!
//! A program (see `python/program.py`) gets the port, writes `RESTART` to have the server killed, and ends with a line
//! that begins with `shown:`. Whatever else it does is a failure.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tests_harness::{Client, Fastkeep, Oracle, Running, free_ports, ports_in_a_row};

/// Longest time for one program.
const LIMIT: Duration = Duration::from_secs(180);

/// What a program talks to.
pub enum Server {
    /// redis-server that syncs every write, so that it keeps what it has answered.
    Redis(Oracle),
    /// Ours. The port is that of the first shard's endpoint where programs speak Redis Cluster.
    Fastkeep { command: Fastkeep, running: Running, port: u16, shards: u32 },
}

impl Server {
    /// redis-server.
    pub fn redis() -> Self {
        Self::Redis(Oracle::start(&["--appendonly", "yes", "--appendfsync", "always"]))
    }

    /// `fastkeep up` with so many shards, its data in `folder`.
    pub fn fastkeep(folder: &Path, shards: u32) -> Self {
        let port = free_ports(1)[0];
        let arguments = ["--port", &port.to_string(), "--shards", &shards.to_string()];
        let command = Fastkeep::up(&folder.join("data"), &arguments);
        let running = command.start();
        Self::Fastkeep { command, running, port, shards }
    }

    /// redis-server as the one node of a cluster.
    pub fn redis_cluster() -> Self {
        let bus = free_ports(1)[0].to_string();
        // Alone, it would not know its own address.
        let known = ["--cluster-announce-ip", "127.0.0.1"];
        let cluster = [&["--cluster-enabled", "yes", "--cluster-port", &bus][..], &known].concat();
        let durable = ["--appendonly", "yes", "--appendfsync", "always"];
        let oracle = Oracle::start(&[&durable[..], &cluster].concat());
        let mut client = Client::connect(oracle.port).unwrap();
        assert_eq!(client.text("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
        let begun = Instant::now();
        while !client.text("CLUSTER INFO").contains("cluster_state:ok") {
            assert!(begun.elapsed() < LIMIT, "the real cluster doesn't come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self::Redis(oracle)
    }

    /// `fastkeep up` with so many shards, for programs that speak Redis Cluster.
    pub fn fastkeep_cluster(folder: &Path, shards: u32) -> Self {
        let port = ports_in_a_row(shards as usize);
        let arguments = ["--cluster-port", &port.to_string(), "--shards", &shards.to_string()];
        let command = Fastkeep::up(&folder.join("data"), &arguments);
        let running = command.start();
        Self::Fastkeep { command, running, port, shards }
    }

    /// Where it listens, also after it was started again.
    pub fn port(&self) -> u16 {
        match self {
            Self::Redis(oracle) => oracle.port,
            Self::Fastkeep { port, .. } => *port,
        }
    }

    fn shards(&self) -> u32 {
        match self {
            Self::Redis(_) => 1,
            Self::Fastkeep { shards, .. } => *shards,
        }
    }

    /// `kill -9`, and a start on what it has kept.
    pub fn kill_and_restart(&mut self) {
        match self {
            Self::Redis(oracle) => oracle.kill_and_restart(),
            Self::Fastkeep { command, running, .. } => {
                running.kill();
                *running = command.start();
            }
        }
    }
}

/// A program: what runs it, and its file.
#[derive(Clone)]
pub struct Program {
    interpreter: PathBuf,
    file: PathBuf,
}

impl Program {
    /// A Python program of this folder; `FASTKEEP_CLIENTS` names where its packages are installed.
    pub fn python(name: &str) -> Self {
        Self { interpreter: installed("python/bin/python"), file: own("python", name) }
    }

    /// A Node program of this folder; none if Node is not installed, which is said.
    pub fn node(name: &str) -> Option<Self> {
        if Command::new("node").arg("--version").output().is_err() {
            eprintln!("skipped: {name}, node is not installed");
            return None;
        }
        // Modules are found from the file's folder upwards, so the programs are run beside the modules.
        let folder = installed("node");
        for file in ["program.mjs", name] {
            std::fs::copy(own("node", file), folder.join(file)).unwrap();
        }
        Some(Self { interpreter: PathBuf::from("node"), file: folder.join(name) })
    }

    /// A Ruby program of this folder; none if Ruby's package of that name is not installed, which is said.
    pub fn ruby(name: &str, package: &str) -> Option<Self> {
        let there = Command::new("ruby").args(["-e", "gem ARGV[0]", package]).output();
        if !there.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: {name}, Ruby's {package} is not installed");
            return None;
        }
        Some(Self { interpreter: PathBuf::from("ruby"), file: own("ruby", name) })
    }

    /// Runs it to its end; panics with what it said if it didn't show what it should.
    pub fn run(&self, server: &mut Server) {
        let mut process = self.start(server);
        let begun = Instant::now();
        let mut shown = false;
        loop {
            match process.lines.recv_timeout(LIMIT.saturating_sub(begun.elapsed())) {
                Ok(line) if line == "RESTART" => {
                    server.kill_and_restart();
                    let told = process.child.stdin.as_mut().unwrap().write_all(b"restarted\n");
                    told.unwrap_or_else(|error| panic!("it went away ({error}): {}", process.errors()));
                }
                Ok(line) => shown |= line.starts_with("shown: "),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} took longer than {LIMIT:?}: {}", self.file.display(), process.errors())
                }
            }
        }
        let status = process.child.wait().unwrap();
        assert!(status.success() && shown, "{} ({status}): {}", self.file.display(), process.errors());
    }

    fn start(&self, server: &Server) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let errors = folder.path().join("errors");
        let mut child = Command::new(&self.interpreter)
            .arg(&self.file)
            .arg(server.port().to_string())
            .env("FASTKEEP_SHARDS", server.shards().to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| {
                panic!("{}: {e}; `make needs-clients` installs it", self.interpreter.display())
            });
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Process { child, lines, errors, _folder: folder }
    }
}

/// A running program, and the processes that it has started: ended together.
struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    /// The end of what it wrote to standard error.
    fn errors(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.errors).unwrap_or_default()).into_owned();
        text.chars().skip(text.chars().count().saturating_sub(6000)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn own(language: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(language).join(name)
}

fn installed(what: &str) -> PathBuf {
    let root = std::env::var_os("FASTKEEP_CLIENTS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/fastkeep/clients"),
        PathBuf::from,
    );
    root.join(what)
}
