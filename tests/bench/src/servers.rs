//! The servers that are compared: how each is started, filled and watched.

use std::process::Command;

use tempfile::TempDir;
use tests_harness::{Client, Fastkeep, Oracle, Running};

use crate::load::KEYS;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Fastkeep,
    RedisAlways,
    RedisMemory,
}

impl Kind {
    /// All of them; the first is compared with the others.
    pub const ALL: [Self; 3] = [Self::Fastkeep, Self::RedisAlways, Self::RedisMemory];
}

enum Process {
    Fastkeep { running: Running, _data: TempDir },
    Redis(Oracle),
}

/// A running server.
pub struct Server {
    process: Process,
    /// Its port.
    pub port: u16,
    pid: u32,
}

impl Server {
    /// Starts a fresh one.
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// Starts a fresh one; `more` are flags of fastkeep.
    pub fn start_with(kind: Kind, more: &[&str]) -> Self {
        let process = match kind {
            Kind::Fastkeep => {
                let data = tempfile::tempdir().unwrap();
                let flags = [&["--snapshots-interval-secs", "0", "--snapshots-log-mb", "0"], more].concat();
                let running = Fastkeep::up(&data.path().join("data"), &flags).start();
                Process::Fastkeep { running, _data: data }
            }
            Kind::RedisAlways => {
                Process::Redis(Oracle::start(&["--appendonly", "yes", "--appendfsync", "always"]))
            }
            Kind::RedisMemory => Process::Redis(Oracle::start(&[])),
        };
        let (port, pid) = match &process {
            Process::Fastkeep { running, .. } => (running.port, running.pid()),
            Process::Redis(oracle) => (oracle.port, oracle.pid()),
        };
        Self { process, port, pid }
    }

    /// Writes the keys that GET reads.
    pub fn fill(&self) {
        let mut client = Client::connect(self.port).unwrap();
        for first in (0..KEYS).step_by(1000) {
            for key in first..first + 1000 {
                client.queue(&["SET", &format!("key:{key:012}"), "sixteen bytes ok"]);
            }
            client.flush().unwrap();
            for _ in 0..1000 {
                client.read().unwrap();
            }
        }
    }

    /// Binds all its threads to one core, or frees them again.
    pub fn pin(&self, core: Option<usize>) {
        pin(self.pid, core);
    }

    /// CPU time of all its threads so far, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/task", self.pid))
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|stat| stat.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    /// `used_memory` of INFO, in bytes.
    pub fn used_memory(&self) -> u64 {
        let info = Client::connect(self.port).unwrap().text("INFO memory");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse().unwrap()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        match &self.process {
            Process::Fastkeep { running, .. } => running.memory(),
            Process::Redis(_) => {
                let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap();
                pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
            }
        }
    }
}

/// Binds a process, all threads, to `core`, or to all cores.
pub fn pin(pid: u32, core: Option<usize>) {
    let last = std::thread::available_parallelism().map_or(1, usize::from).max(2) - 1;
    let cores = core.map_or_else(|| format!("0-{last}"), |core| core.to_string());
    let done = Command::new("taskset").args(["-a", "-c", "-p", &cores, &pid.to_string()]).output().unwrap();
    assert!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
}
