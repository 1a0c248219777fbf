//! What requests are sent to: a server's address, or the engine in this very process.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxy_engine::testing::TestDb;

use crate::families::collections::Command;
use crate::frame::Frame;

/// Something that answers requests as Redis does.
pub trait Target {
    /// Sends a request and waits for its reply.
    fn run(&mut self, command: &Command) -> io::Result<Frame>;

    /// Sends a line of words separated by single spaces.
    fn line(&mut self, line: &str) -> io::Result<Frame> {
        self.run(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }
}

/// One connection to a server.
pub struct Server {
    stream: BufReader<TcpStream>,
}

impl Server {
    /// Connects to 127.0.0.1 and chooses the protocol (2 or 3). Replies are waited for 30 s at most.
    pub fn connect(port: u16, protocol: u8) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut server = Self { stream: BufReader::new(stream) };
        server.line(&format!("HELLO {protocol}"))?;
        Ok(server)
    }
}

impl Server {
    /// Sends a line of words, without waiting for its reply.
    pub fn send(&mut self, line: &str) {
        self.send_words(&line.split(' ').collect::<Vec<_>>());
    }

    /// As [`Server::send`], for words that may hold spaces.
    pub fn send_words(&mut self, words: &[impl AsRef<[u8]>]) {
        let mut request = Vec::new();
        proxy_resp::frame::encode_request(words, &mut request);
        // What is wrong shows in what is read next.
        let _ = self.stream.get_mut().write_all(&request);
    }

    /// The next reply or message.
    pub fn read(&mut self) -> io::Result<Frame> {
        Frame::read(&mut self.stream)
    }

    /// Sends requests in one piece, then reads their replies.
    pub fn run_all(&mut self, commands: &[Command]) -> io::Result<Vec<Frame>> {
        let mut requests = Vec::new();
        for command in commands {
            requests.extend(format!("*{}\r\n", command.len()).into_bytes());
            for arg in command {
                requests.extend(format!("${}\r\n", arg.len()).into_bytes());
                requests.extend(arg);
                requests.extend(b"\r\n");
            }
        }
        self.stream.get_mut().write_all(&requests)?;
        commands.iter().map(|_| Frame::read(&mut self.stream)).collect()
    }
}

impl Target for Server {
    fn run(&mut self, command: &Command) -> io::Result<Frame> {
        let mut replies = self.run_all(std::slice::from_ref(command))?;
        replies.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The engine in this process, with the real clock; its replica replays every effect. There is nobody to wait for:
/// the time of a command that waits is over at once.
pub struct Engine {
    pub db: TestDb,
    protocol: u8,
}

impl Engine {
    /// An empty engine that answers in protocol 2 or 3.
    pub fn new(protocol: u8) -> Self {
        let mut db = if protocol == 3 { TestDb::new().resp3() } else { TestDb::new() };
        db.patient = true;
        Self { db, protocol }
    }
}

impl Target for Engine {
    fn run(&mut self, command: &Command) -> io::Result<Frame> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        self.db.now_ms = now.as_millis() as i64;
        let reply = self.db.run(command);
        if self.db.wait.take().is_some() {
            return Ok(Frame::Line(if self.protocol == 3 { b"_".into() } else { b"*-1".into() }));
        }
        let mut rest = reply.as_slice();
        let frame = Frame::read(&mut rest)?;
        if rest.is_empty() { Ok(frame) } else { Err(io::Error::other("bytes behind the reply")) }
    }
}
