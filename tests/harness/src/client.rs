//! A blocking RESP2 client that can pipeline: what it sent and what was answered are separate calls.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use proxy_resp::frame::{self, Frame2};

/// A decoded reply.
pub type Reply = Frame2;

/// One connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    start: usize,
    unsent: Vec<u8>,
}

impl Client {
    /// Connects to `127.0.0.1:port`. Replies are waited for 30 s at most.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::connect_to(("127.0.0.1", port))
    }

    /// The same elsewhere.
    pub fn connect_to(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, received: Vec::new(), start: 0, unsent: Vec::new() })
    }

    /// The socket, for tests that misuse it.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Queues a request; [`Client::flush`] sends what is queued.
    pub fn queue<T: AsRef<[u8]>>(&mut self, args: &[T]) {
        frame::encode_request(args, &mut self.unsent);
    }

    /// Sends all queued requests.
    pub fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        self.stream.write_all(&unsent)
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// Of the connection; `UnexpectedEof` when the server closed it; `InvalidData` when the bytes are no reply.
    pub fn read(&mut self) -> io::Result<Reply> {
        loop {
            let decoded = frame::decode2(&self.received[self.start..])
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            if let Some((reply, taken)) = decoded {
                self.start += taken;
                if self.start == self.received.len() {
                    self.received.clear();
                    self.start = 0;
                }
                return Ok(reply);
            }
            let mut chunk = [0_u8; 16_384];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&chunk[..count]);
        }
    }

    /// Sends one request and reads its reply.
    pub fn call<T: AsRef<[u8]>>(&mut self, args: &[T]) -> io::Result<Reply> {
        self.queue(args);
        self.flush()?;
        self.read()
    }

    /// [`Client::call`] for words that hold no spaces; panics on a broken connection.
    pub fn run(&mut self, words: &str) -> Reply {
        let args: Vec<&str> = words.split(' ').collect();
        self.call(&args).unwrap_or_else(|e| panic!("`{words}` was not answered: {e}"))
    }

    /// The reply of [`Client::run`] as text: a string, an error with `-`, an integer; panics on others.
    pub fn text(&mut self, words: &str) -> String {
        match self.run(words) {
            Frame2::SimpleString(bytes) | Frame2::BulkString(bytes) => {
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Frame2::Error(text) => format!("-{text}"),
            Frame2::Integer(number) => number.to_string(),
            Frame2::Null => "(nil)".to_owned(),
            Frame2::Array(_) => panic!("`{words}` was answered with an array"),
        }
    }
}
