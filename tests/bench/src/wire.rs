//! Requests as bytes, and a connection that reads replies of any size without decoding them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Requests sent before their replies are waited for.
const BATCH: usize = 500;
/// Answered behind everything else, so that its bytes mark the end.
const MARK: &[u8] = b"the-end-of-all-replies";

/// Appends a request.
pub fn push<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let _ = write!(out, "*{}\r\n", args.len());
    for arg in args {
        let arg = arg.as_ref();
        let _ = write!(out, "${}\r\n", arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// A connection that only waits for what it asked to be answered.
pub struct Wire {
    stream: TcpStream,
    requests: Vec<u8>,
    queued: usize,
    received: Vec<u8>,
}

impl Wire {
    /// Connects to 127.0.0.1:`port`.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self { stream, requests: Vec::new(), queued: 0, received: vec![0; 1 << 20] }
    }

    /// Queues a request; many are sent at once.
    pub fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        push(&mut self.requests, args);
        self.queued += 1;
        if self.queued == BATCH {
            self.wait();
        }
    }

    /// Sends what is queued and reads until all of it is answered. Replies are not looked at, but for an error
    /// that comes first.
    pub fn wait(&mut self) {
        self.try_wait().unwrap();
    }

    /// [`Wire::wait`]; the error that comes first, or that of the connection.
    pub fn try_wait(&mut self) -> Result<(), String> {
        push(&mut self.requests, &[&b"ECHO"[..], MARK]);
        self.stream.write_all(&self.requests).map_err(|error| error.to_string())?;
        self.requests.clear();
        self.queued = 0;
        let ends = [&b"\r\n"[..], MARK, b"\r\n"].concat();
        let (mut kept, mut begins) = (0, true);
        loop {
            let count = self.stream.read(&mut self.received[kept..]).map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed the connection".to_owned());
            }
            let seen = &self.received[..kept + count];
            if std::mem::take(&mut begins) && seen[0] == b'-' {
                return Err(String::from_utf8_lossy(&seen[..seen.len().min(200)]).into_owned());
            }
            if seen.ends_with(&ends) {
                return Ok(());
            }
            // Whatever is behind this can't be cut apart: the mark's own length.
            let start = seen.len().saturating_sub(ends.len());
            let end = seen.len();
            self.received.copy_within(start..end, 0);
            kept = end - start;
        }
    }

    /// Sends the words of a line and waits for the answer.
    pub fn run(&mut self, line: &str) {
        self.try_run(line).unwrap();
    }

    /// [`Wire::run`]; the error that was answered, or that of the connection.
    pub fn try_run(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        self.queue(&words);
        self.try_wait()
    }
}
