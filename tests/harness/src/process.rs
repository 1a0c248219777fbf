//! fastkeep processes of a test: started, waited for, killed, started again on the same folder.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use crate::{Client, Host};

/// How long a start may take: log, restore and lease on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The fastkeep binary under test: `FASTKEEP_BINARY`, or the one beside the test's own executable.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("FASTKEEP_BINARY").map_or_else(
        || std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join("fastkeep"),
        PathBuf::from,
    );
    assert!(path.is_file(), "{} is missing; `make build` makes it", path.display());
    path
}

/// Ports that are free and stay so until a test's own process listens on them. They lie below those that the
/// system picks for connections, which would otherwise take one between this call and the listening; the first is
/// drawn at random, so that test processes side by side don't meet.
pub fn free_ports(count: usize) -> Vec<u16> {
    const RANGE: std::ops::Range<u16> = 12_000..32_000;
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let drawn = RandomState::new().build_hasher().finish();
        AtomicU32::new(drawn as u32 % RANGE.len() as u32)
    });
    let mut ports = Vec::with_capacity(count);
    for _ in RANGE {
        if ports.len() == count {
            break;
        }
        let port = RANGE.start + (next.fetch_add(1, Ordering::Relaxed) % RANGE.len() as u32) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    assert_eq!(ports.len(), count, "no free ports in {RANGE:?}");
    ports
}

/// The first of so many free ports one behind the other, as for the endpoints of shards.
pub fn ports_in_a_row(count: usize) -> u16 {
    let in_a_row = |ports: &Vec<u16>| ports.windows(2).all(|pair| pair[1] == pair[0] + 1);
    (0..200).map(|_| free_ports(count)).find(in_a_row).unwrap()[0]
}

/// A command line of fastkeep, ready to be started (again).
#[derive(Clone)]
pub struct Fastkeep {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Another build than [`binary`].
    build: Option<PathBuf>,
    /// Where it runs, if not on the test's own host.
    host: Option<Host>,
    /// Standard error of all runs is appended here.
    log: PathBuf,
}

impl Fastkeep {
    /// `fastkeep ARGUMENTS`, logging to the file `log`.
    pub fn new(arguments: &[&str], log: &Path) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { arguments, environment: Vec::new(), build: None, host: None, log: log.to_owned() }
    }

    /// `fastkeep up` on `data` with free ports and further arguments.
    pub fn up(data: &Path, more: &[&str]) -> Self {
        let data_text = data.to_str().unwrap();
        let mut arguments = vec!["up", "--port", "0", "--http-port", "0", "--data", data_text];
        arguments.extend(more);
        Self::new(&arguments, &data.with_extension("log"))
    }

    /// Adds arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same command line of another build.
    pub fn of_build(mut self, binary: &Path) -> Self {
        self.build = Some(binary.to_owned());
        self
    }

    /// Runs it on a host of a network, where its HTTP port listens.
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        let address = host.address().to_string();
        self.with(&["--http-bind", &address])
    }

    fn command(&self) -> Command {
        let binary = self.build.clone().unwrap_or_else(binary);
        let Some(host) = &self.host else { return Command::new(binary) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", host.namespace().display())).arg("--").arg(binary);
        command
    }

    /// Starts the process and waits until it says that it is ready.
    pub fn start(&self) -> Running {
        self.try_start()
            .unwrap_or_else(|why| panic!("fastkeep {} did not start: {why}", self.arguments.join(" ")))
    }

    /// Starts the process; an error is its standard error when it ended, or did not get ready in time.
    pub fn try_start(&self) -> Result<Running, String> {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let logged_before = log.metadata().unwrap().len();
        let mut child = self
            .command()
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (lines, heard) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let log = self.log.clone();
        let host = self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address).into();
        let mut running = Running { child, host, port: 0, tls_port: 0, http_port: 0, https_port: 0, log };
        let begun = Instant::now();
        loop {
            match heard.recv_timeout(START_LIMIT.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    if let Some(port) = port_after(&line, "http on ") {
                        running.http_port = port;
                    }
                    if let Some(port) = port_after(&line, "https on ") {
                        running.https_port = port;
                    }
                    if let Some(port) = port_after(&line, "tls on ") {
                        running.tls_port = port;
                    }
                    if let Some(port) = port_after(&line, "ready on ") {
                        running.port = port;
                        return Ok(running);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let ended = running.child.wait().map(|status| status.to_string()).unwrap_or_default();
                    return Err(format!("it ended ({ended}): {}", running.log_since(logged_before)));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "not ready after {START_LIMIT:?}: {}",
                        running.log_since(logged_before)
                    ));
                }
            }
        }
    }
}

/// The port in `... PREFIX host:port ...`.
fn port_after(line: &str, prefix: &str) -> Option<u16> {
    let rest = &line[line.find(prefix)? + prefix.len()..];
    rest.split_whitespace().next()?.rsplit(':').next()?.parse().ok()
}

/// A process that is ready. Killed when dropped.
pub struct Running {
    child: Child,
    host: IpAddr,
    /// Port that was printed as ready.
    pub port: u16,
    /// TLS port that was printed, 0 if none was.
    pub tls_port: u16,
    /// HTTP port that was printed.
    pub http_port: u16,
    /// HTTP port under TLS that was printed, 0 if none was.
    pub https_port: u16,
    log: PathBuf,
}

impl Running {
    /// A connection to its port.
    pub fn client(&self) -> Client {
        Client::connect_to(self.address())
            .unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.address()))
    }

    /// Where its port is reached.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name, such as `TERM` or `STOP`.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "cannot send {name}");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < START_LIMIT, "SIGTERM did not end fastkeep: {}", self.log_since(0));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// True while it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Runs `fastkeep ctl ARGUMENTS --json` against it; the output, or the error text.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(binary())
            .arg("ctl")
            .args(["--http", &format!("http://{}:{}", self.host, self.http_port)])
            .args(arguments)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// All that it has logged, and what earlier runs on the same folder have.
    pub fn log(&self) -> String {
        self.log_since(0)
    }

    fn log_since(&self, offset: u64) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(offset as usize..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
