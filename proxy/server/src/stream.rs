//! A client's socket, plain or under TLS: the few calls that a connection needs, all without waiting.
//!
//! Plain costs one branch. Under TLS a write may leave bytes in the session that the socket didn't take: whoever writes goes on
//! until [`Stream::is_flushed`].

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use logsvc_api::ShardId;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that one read takes from the socket under TLS: about a full record.
const CHUNK: usize = 16 * 1024;
/// Plain bytes that the session takes before the socket has taken their records.
const WRITE_BYTES: usize = 64 * 1024;

/// What the listener hands a worker: a socket, and the TLS session if hands were shaken on it.
pub(crate) struct Accepted {
    pub(crate) tcp: std::net::TcpStream,
    pub(crate) session: Option<Box<ServerConnection>>,
    /// The shard whose endpoint the client has come to, if it isn't the main port.
    pub(crate) endpoint: Option<ShardId>,
}

/// A client's socket.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A socket and the session on it.
pub(crate) struct Tls {
    tcp: TcpStream,
    session: Box<ServerConnection>,
    /// The client has said that nothing more comes, or the socket has.
    ended: bool,
}

impl Stream {
    /// Takes a socket over into this thread's runtime.
    pub(crate) fn new(accepted: Accepted) -> io::Result<Self> {
        accepted.tcp.set_nonblocking(true)?;
        let tcp = TcpStream::from_std(accepted.tcp)?;
        Ok(match accepted.session {
            None => Self::Plain(tcp),
            Some(mut session) => {
                session.set_buffer_limit(Some(WRITE_BYTES));
                Self::Tls(Box::new(Tls { tcp, session, ended: false }))
            }
        })
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    /// One read behind what `buffer` holds; 0 bytes at the end. Wakes the task when there is more.
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => pin!(tcp.read_buf(buffer)).poll(cx),
            Self::Tls(tls) => tls.poll_read(cx, buffer),
        }
    }

    /// One read past the runtime, for when something holds it up, behind what `buffer` holds; 0 bytes at the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; others end the connection.
    pub(crate) fn read_by_hand(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        let mut chunk = [0; CHUNK];
        let got = (&*SockRef::from(self.tcp())).read(&mut chunk)?;
        let arrived = chunk.get(..got).unwrap_or_default();
        match self {
            Self::Plain(_) => buffer.extend_from_slice(arrived),
            Self::Tls(tls) => {
                tls.receive(arrived, buffer)?;
                if buffer.len() == before && !tls.ended {
                    // A part of a record.
                    return Err(ErrorKind::WouldBlock.into());
                }
            }
        }
        Ok(buffer.len() - before)
    }

    /// Ready when the socket may take bytes.
    #[inline]
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }

    /// Writes what is taken at once; may be called from outside of the connection's task.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken now; others end the connection.
    #[inline]
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// [`Stream::try_write`], whatever the runtime knows of the socket.
    pub(crate) fn write_by_hand(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => (&*SockRef::from(&*tcp)).write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Whether the socket has taken all that [`Stream::try_write`] has.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => !tls.session.wants_write(),
        }
    }

    /// Whether the client has closed its side, whatever was read of it.
    pub(crate) fn is_read_closed(&self) -> bool {
        let ready = pin!(self.tcp().ready(Interest::READABLE));
        let ready = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Says goodbye as TLS wants it, so that the client knows that nothing was cut off; as far as the socket takes it.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            let _ = tls.flush();
        }
    }
}

impl Tls {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let before = buffer.len();
        loop {
            self.take_plain(buffer)?;
            if buffer.len() > before || self.ended {
                return Poll::Ready(Ok(buffer.len() - before));
            }
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut chunk))?;
            self.receive(chunk.filled(), buffer)?;
        }
    }

    /// Records, or parts of them; what becomes readable goes behind `buffer`. None: the end.
    fn receive(&mut self, mut records: &[u8], buffer: &mut Vec<u8>) -> io::Result<()> {
        self.ended |= records.is_empty();
        while !records.is_empty() && self.session.read_tls(&mut records)? > 0 {
            match self.session.process_new_packets() {
                Ok(state) => self.ended |= state.peer_has_closed(),
                Err(error) => {
                    // The session has an alert for the client.
                    let _ = self.flush();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            }
            self.take_plain(buffer)?;
        }
        // What the session itself has to answer (new keys).
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn take_plain(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut reader = self.session.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(plain) => {
                    buffer.extend_from_slice(plain);
                    let taken = plain.len();
                    reader.consume(taken);
                }
                // A socket that ends without TLS's goodbye ends; requests say where they end themselves.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Gives the socket what it takes of the session's records.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Socket(&self.tcp))?;
        }
        Ok(())
    }
}

/// The socket as the session writes to it.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
