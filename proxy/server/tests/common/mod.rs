//! A proxy over the in-memory log, and a blocking client that sees bytes as they come.
#![allow(clippy::unwrap_used, dead_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::memory::MemoryLog;
use proxy_resp::frame;
use proxy_server::{ProxyConfig, ProxyHandle, start};

/// Long enough for anything that will come, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to believe that nothing comes.
pub const QUIET: Duration = Duration::from_millis(120);

pub struct Server {
    pub log: MemoryLog,
    pub handle: ProxyHandle,
}

/// A proxy that serves all its shards.
pub fn server(shards: u32, workers: usize, change: impl FnOnce(&mut ProxyConfig)) -> Server {
    let log = MemoryLog::new(shards);
    let mut config = ProxyConfig::new(Arc::new(log.clone()));
    config.port = Some(0);
    config.shards = shards;
    config.workers = workers;
    // A busy test machine must not lose the lease by accident.
    config.shard.lease = Duration::from_secs(60);
    change(&mut config);
    let handle = start(config).unwrap();
    let server = Server { log, handle };
    server.wait_ready();
    server
}

impl Server {
    pub fn wait_ready(&self) {
        eventually(|| self.handle.is_ready());
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.handle.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new(), resp3: false }
    }
}

#[track_caller]
pub fn eventually(mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "it never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    resp3: bool,
}

impl Client {
    /// Sends commands given as lines of words.
    pub fn send(&mut self, lines: &[&str]) {
        let mut bytes = Vec::new();
        for line in lines {
            frame::encode_request(&line.split_whitespace().collect::<Vec<_>>(), &mut bytes);
        }
        self.stream.write_all(&bytes).unwrap();
    }

    /// Sends one command whose arguments may hold spaces.
    pub fn send_args(&mut self, args: &[&str]) {
        let mut bytes = Vec::new();
        frame::encode_request(args, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// [`Client::send_args`], and the reply.
    pub fn call(&mut self, args: &[&str]) -> String {
        self.send_args(args);
        self.reply()
    }

    /// The same connection for another thread.
    pub fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), buffer: Vec::new(), resp3: self.resp3 }
    }

    /// Goes over to RESP3, in whose notation a push is `>[a b]`.
    pub fn hello3(&mut self) {
        self.resp3 = true;
        assert!(self.ask("HELLO 3").starts_with("Map"));
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends one command and waits for its reply.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&[line]);
        self.reply()
    }

    /// The next reply in a short notation: `+OK`, `-ERR ..`, `:1`, `$text`, `nil`, `[a b]`.
    pub fn reply(&mut self) -> String {
        self.reply_within(PATIENCE).expect("a reply")
    }

    /// Nothing comes for a while.
    pub fn assert_quiet(&mut self) {
        let got = self.reply_within(QUIET);
        assert_eq!(got, None);
    }

    /// The server closes the connection.
    pub fn assert_closed(&mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = [0; 256];
        match self.stream.read(&mut rest) {
            Ok(n) => assert_eq!(n, 0, "{}", String::from_utf8_lossy(&rest)),
            Err(error) => {
                assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open");
            }
        }
    }

    fn reply_within(&mut self, time: Duration) -> Option<String> {
        let until = Instant::now() + time;
        loop {
            let decoded = if self.resp3 {
                frame::decode3(&self.buffer).unwrap().map(|(reply, used)| (show3(&reply), used))
            } else {
                frame::decode2(&self.buffer).unwrap().map(|(reply, used)| (show(&reply), used))
            };
            if let Some((reply, used)) = decoded {
                self.buffer.drain(..used);
                return Some(reply);
            }
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut chunk = vec![0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("closed"),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= until {
                        return None;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn show3(reply: &frame::Frame3) -> String {
    use frame::Frame3::{Array, BlobString, Null, Number, Push, SimpleError, SimpleString, VerbatimString};
    let all = |items: &[frame::Frame3]| items.iter().map(show3).collect::<Vec<_>>().join(" ");
    match reply {
        SimpleString { data, .. } => format!("+{}", String::from_utf8_lossy(data)),
        SimpleError { data, .. } => format!("-{data}"),
        Number { data, .. } => format!(":{data}"),
        BlobString { data, .. } | VerbatimString { data, .. } => {
            format!("${}", String::from_utf8_lossy(data))
        }
        Null => "nil".into(),
        Array { data, .. } => format!("[{}]", all(data)),
        Push { data, .. } => format!(">[{}]", all(data)),
        other => format!("{other:?}"),
    }
}

fn show(reply: &frame::Frame2) -> String {
    use frame::Frame2::{Array, BulkString, Error, Integer, Null, SimpleString};
    match reply {
        SimpleString(text) => format!("+{}", String::from_utf8_lossy(text)),
        Error(text) => format!("-{text}"),
        Integer(n) => format!(":{n}"),
        BulkString(text) => format!("${}", String::from_utf8_lossy(text)),
        Null => "nil".into(),
        Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
    }
}
