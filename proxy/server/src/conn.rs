//! One connection: a task that, each time it is woken, reads, parses everything, executes everything and
//! writes once, all in one poll. It keeps only what is unfinished: an incomplete request and unsent replies. Its sending
//! half is in [`output`].

mod answers;
mod output;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use logsvc_api::{Position, ShardId};
use parking_lot::Mutex;
use proxy_resp::{Limits, Parser, Protocol, Reply, Step};
use smallvec::SmallVec;

use crate::ahead::Next as Ahead;
use crate::blocking;
use crate::clients::{ClientInfo, NO_COMMAND, OutputFigures};
use crate::dispatch::{self, Flow};
use crate::guard::Guards;
use crate::merge::Join;
use crate::out_queue::{OutQueue, Released, Ticket};
use crate::output_limits::Excess;
use crate::peers::{Address, Work};
use crate::pubsub::Publication;
use crate::questions::Questions;
use crate::remote;
use crate::session::{ReplyMode, Session};
use crate::stream::{Accepted, Stream};
use crate::worker::{Scratch, Waiter, Worker, unix_ms};
use crate::{pause, transaction};

/// Size of a worker's read buffer.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// An unfinished request up to this length is put in front of the read buffer; a longer one grows by itself.
const SMALL_TAIL: usize = 16 * 1024;
/// Bytes read while a command waits, at most, and at once.
const AHEAD_BYTES: usize = 256 * 1024;
const AHEAD_CHUNK: usize = 4096;
/// With so many bytes of requests at other workers or nodes, a client is not read from before all of them are answered.
const ASKED_BYTES: usize = 16 << 20;
/// Requests at other workers at one time, at most, that may be answered with any length: the client may not read it. Others, whose
/// answers wait for the log, count for a sixteenth.
const ASKED: usize = 64;
const LONG_COST: usize = 16;
/// What an unknown outcome looks like to a client.
pub(crate) const UNCERTAIN: &[u8] =
    b"-UNCERTAIN the log did not confirm this in time: a write may or may not have been kept\r\n";

/// A client's connection.
pub(crate) struct Conn {
    pub(crate) info: Arc<ClientInfo>,
    stream: RefCell<Stream>,
    input: RefCell<Input>,
    pub(crate) out: RefCell<OutQueue>,
    waker: RefCell<Option<Waker>>,
    /// Wakes when something other than the socket may let the task go on.
    blocked: Cell<bool>,
    /// Close as soon as everything is sent; read no more.
    closing: Cell<bool>,
    /// Close now.
    killed: Cell<bool>,
    /// In a shard's list of those that wait for room.
    pub(crate) parked: Cell<bool>,
    /// The command that waits for a key, and holds up all behind it.
    waits: Cell<Option<Waits>>,
    /// Answers that are being put together from several shards.
    merging: RefCell<Vec<Merging>>,
    /// What a command of it asks of shards before it is answered.
    pub(crate) questions: Questions,
    /// Has messages that are not sent yet, and is about to be told.
    pushed: Cell<bool>,
    /// Since when more is unsent than may be for long, unix ms; 0 when it isn't.
    excess_since: Cell<i64>,
    /// The client is gone; what it has published is still to leave.
    gone: Cell<bool>,
    /// Bytes of requests given to other workers since none of them was unanswered.
    asked: Cell<usize>,
    /// What was asked since none of it was unanswered, counted as at [`ASKED`].
    asked_cost: Cell<usize>,
    /// As many requests are at other workers as may be: the next one waits until all of them are answered.
    asks_enough: Cell<bool>,
    /// How many that is, by the answers to those before.
    may_ask: Cell<usize>,
    /// The longest answer since none was unanswered, in bytes.
    longest_answer: Cell<usize>,
    /// Something of it is on its way to another node: what follows must not overtake it.
    pub(crate) via_lane: Cell<bool>,
    /// Since when its next command is put off because nobody serves its slot.
    pub(crate) held_since: Cell<Option<Instant>>,
    /// Since when the client takes no byte, unix ms; 0 when it does.
    stalled_since: Cell<i64>,
}

/// A command that waits for a key of a shard, or for the metadata log.
#[derive(Clone, Copy)]
struct Waits {
    ticket: Ticket,
    shard: Option<ShardId>,
    /// CLIENT REPLY: its answer is dropped.
    silent: bool,
    /// It is a transaction, which does not wait for long: messages stay behind its answer.
    is_unit: bool,
}

/// An answer of several parts.
pub(crate) struct Merging {
    /// Filled in by [`Conn::expect`].
    pub(crate) ticket: Ticket,
    pub(crate) parts: Vec<Option<Vec<u8>>>,
    pub(crate) merge: Join,
    pub(crate) proto: Protocol,
}

/// The receiving half.
struct Input {
    parser: Parser,
    /// Bytes read but not executed, beginning at a command.
    tail: Vec<u8>,
    /// `tail` may hold a whole command.
    retry: bool,
    session: Session,
}

/// The replies of one wake.
pub(crate) struct Batch {
    pub(crate) reply: Reply,
    /// Where the first reply that must wait begins.
    gated_from: usize,
    gates: SmallVec<[(ShardId, Position); 2]>,
    /// An EXEC is running: its reply is one, and not to be parted.
    pub(crate) in_unit: bool,
}

impl Batch {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { reply, gated_from: usize::MAX, gates: SmallVec::new(), in_unit: false }
    }

    /// The reply that begins at `start` waits for a position.
    #[inline]
    pub(crate) fn gate(&mut self, start: usize, shard: ShardId, position: Position) {
        if position == 0 {
            return;
        }
        self.gated_from = self.gated_from.min(start);
        match self.gates.iter_mut().find(|(s, _)| *s == shard) {
            Some((_, at)) => *at = (*at).max(position),
            None => self.gates.push((shard, position)),
        }
    }

    /// Whether none of these replies must wait.
    pub(crate) fn is_free(&self) -> bool {
        self.gates.is_empty()
    }

    fn clear(&mut self) {
        self.reply.clear();
        self.gated_from = usize::MAX;
        self.gates.clear();
    }
}

/// Takes a client over from the listener.
pub(crate) fn start(worker: &Rc<Worker>, client: Accepted, addr: SocketAddr) {
    let clients = &worker.shared.clients;
    let endpoint = client.endpoint;
    let Ok(stream) = Stream::new(client) else { return clients.forgo() };
    if worker.stopping.get() {
        return clients.forgo();
    }
    let socket = stream.tcp();
    let _ = socket.set_nodelay(true);
    let keepalive = worker.shared.params.keepalive_s.load(Relaxed);
    if keepalive > 0 {
        let settings = socket2::TcpKeepalive::new().with_time(Duration::from_secs(keepalive));
        let _ = socket2::SockRef::from(socket).set_tcp_keepalive(&settings);
    }
    let now_ms = unix_ms();
    let id = clients.next_id();
    let laddr = socket.local_addr().unwrap_or(addr);
    let info = Arc::new(ClientInfo {
        id,
        addr,
        laddr,
        fd: socket.as_raw_fd(),
        endpoint,
        tls: matches!(stream, Stream::Tls(_)),
        worker: worker.index,
        token: AtomicU64::new(0),
        created_ms: now_ms,
        last_ms: now_ms.into(),
        db: 0.into(),
        resp3: false.into(),
        multi: (-1).into(),
        multi_bytes: 0.into(),
        watching: 0.into(),
        query_bytes: 0.into(),
        query_room: 0.into(),
        args_bytes: 0.into(),
        output: OutputFigures::default(),
        last_command: NO_COMMAND.into(),
        name: Mutex::new(Vec::new()),
        library: Mutex::default(),
        user: Mutex::new(proxy_acl::DEFAULT.to_vec()),
        no_evict: false.into(),
        no_touch: false.into(),
        monitor: false.into(),
        postponed: false.into(),
        killed: false.into(),
        channels: 0.into(),
        patterns: 0.into(),
        shard_channels: 0.into(),
        tracking: 0.into(),
        redirect: (-1).into(),
        slip: Arc::default(),
    });
    let limits =
        Limits { bulk: worker.shared.params.bulk_max_bytes.load(Relaxed) as i64, ..Limits::default() };
    let conn = Rc::new(Conn {
        info: Arc::clone(&info),
        stream: RefCell::new(stream),
        input: RefCell::new(Input {
            parser: Parser::new(limits),
            tail: Vec::new(),
            retry: false,
            session: Session::new(id, &worker.shared.users, endpoint),
        }),
        out: RefCell::default(),
        waker: RefCell::new(None),
        blocked: Cell::new(false),
        closing: Cell::new(false),
        killed: Cell::new(false),
        gone: Cell::new(false),
        parked: Cell::new(false),
        waits: Cell::new(None),
        merging: RefCell::default(),
        questions: Questions::default(),
        pushed: Cell::new(false),
        excess_since: Cell::new(0),
        asked: Cell::new(0),
        asked_cost: Cell::new(0),
        asks_enough: Cell::new(false),
        may_ask: Cell::new(ASKED),
        longest_answer: Cell::new(0),
        via_lane: Cell::new(false),
        held_since: Cell::new(None),
        stalled_since: Cell::new(0),
    });
    let token = worker.conns.borrow_mut().insert(Rc::clone(&conn));
    info.token.store(token as u64, Relaxed);
    clients.insert(info);
    worker.stats.connections.add(1);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        poll_fn(|cx| conn.poll(&worker, cx)).await;
        conn.gone.set(true);
        conn.stream.borrow_mut().close();
        if let Some(shard) = conn.waits.take().and_then(|waits| waits.shard) {
            blocking::forget(&worker, shard, conn.info.id);
        }
        conn.input.borrow_mut().session.end(&worker, &conn);
        if worker.shared.monitors.remove(&conn.info) {
            pause::tell_others(&worker);
        }
        remote::client_gone(&worker, conn.info.id);
        worker.shared.clients.remove(conn.info.id);
        conn.questions.forget();
        conn.gone.set(true);
        conn.leave(&worker);
    });
}

impl Conn {
    /// Where the connection stands in its worker's table.
    pub(crate) fn token(&self) -> usize {
        self.info.token.load(Relaxed) as usize
    }

    /// Users have changed: the session looks again, and ends if its user is gone. While a long script of its own runs, it looks
    /// before its next command.
    pub(crate) fn follow_users(&self, worker: &Worker) {
        let Ok(mut input) = self.input.try_borrow_mut() else { return };
        let session = &mut input.session;
        if !session.follow_users(&worker.shared.users) && !session.changes_users {
            self.kill();
        }
    }

    /// A command of this connection has changed users, and is answered.
    pub(crate) fn users_changed(&self, worker: &Worker) {
        let session = &mut self.input.borrow_mut().session;
        session.changes_users = false;
        if !session.follow_users(&worker.shared.users) {
            self.finish();
        }
    }

    /// Closes the connection now.
    pub(crate) fn kill(&self) {
        self.killed.set(true);
        self.info.killed.store(true, Relaxed);
        self.wake();
    }

    /// Closes the connection as soon as everything is sent.
    pub(crate) fn finish(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Has the task look again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether the client has not taken a byte for so long that it must go.
    pub(crate) fn is_stalled(&self, now_ms: i64, limit_ms: i64) -> bool {
        let since = self.stalled_since.get();
        since > 0 && now_ms - since > limit_ms
    }

    fn poll(self: &Rc<Self>, worker: &Rc<Worker>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
        self.blocked.set(false);
        loop {
            if self.killed.get() || self.poll_write(worker, cx).is_err() {
                return Poll::Ready(());
            }
            if self.closing.get() {
                if self.out.borrow().is_empty() && self.stream.borrow().is_flushed() {
                    return Poll::Ready(());
                }
                self.blocked.set(true);
                return Poll::Pending;
            }
            if self.waits.get().is_some() {
                self.blocked.set(true);
                return self.poll_ahead(worker, cx);
            }
            let unread = self.out.borrow().bytes() as u64;
            let asks_enough = self.asks_enough.get() || self.asked.get() > ASKED_BYTES;
            if unread > worker.shared.config.output_pause_bytes || asks_enough {
                self.blocked.set(true);
                return Poll::Pending;
            }
            match self.poll_input(worker, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::Again | Next::Blocked) => {}
                Poll::Ready(Next::Yield) => {
                    // A full buffer: others first.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Next::Parked) => {
                    self.blocked.set(true);
                    return Poll::Pending;
                }
                Poll::Ready(Next::End) => self.closing.set(true),
            }
        }
    }

    /// Looks at the session, or changes it, while nothing of the connection runs.
    pub(crate) fn with_session<T>(&self, look: impl FnOnce(&mut Session) -> T) -> T {
        look(&mut self.input.borrow_mut().session)
    }

    /// Whether nobody is there any more for an answer.
    pub(crate) fn is_gone(&self) -> bool {
        self.killed.get() || self.gone.get()
    }

    /// Whether a command of it waits for a key.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waits.get().is_some()
    }

    /// Whether the client of a waiting command has hung up behind more bytes than are read meanwhile.
    pub(crate) fn has_hung_up(&self) -> bool {
        if !self.is_waiting() {
            return false;
        }
        self.stream.borrow().is_read_closed()
    }

    /// A command waits: what comes behind it is kept for later, up to a limit. Ready when the client is gone.
    fn poll_ahead(&self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        let mut input = self.input.borrow_mut();
        let Input { tail, retry, .. } = &mut *input;
        while tail.len() < AHEAD_BYTES {
            tail.reserve(AHEAD_CHUNK);
            match self.read(tail, cx) {
                Poll::Pending => {
                    if tail.is_empty() {
                        *tail = Vec::new();
                    }
                    break;
                }
                Poll::Ready(0) => return Poll::Ready(()),
                Poll::Ready(n) => {
                    worker.stats.bytes_in.add(n as u64);
                    *retry = true;
                }
            }
        }
        Poll::Pending
    }

    /// Serves the client past the runtime, which a running script holds up: reads what has arrived and executes it as far
    /// as it may be executed now. Does nothing for the connection that runs the script.
    pub(crate) fn serve_by_hand(self: &Rc<Self>, worker: &Rc<Worker>) {
        let stuck =
            self.killed.get() || self.closing.get() || self.parked.get() || self.waits.get().is_some();
        let stuck = stuck || self.asks_enough.get();
        if stuck || self.out.borrow().bytes() as u64 > worker.shared.config.output_pause_bytes {
            return;
        }
        let Ok(mut input) = self.input.try_borrow_mut() else { return };
        let input = &mut *input;
        self.write_by_hand(worker);
        while (input.tail.len() as u64) < worker.shared.params.query_max_bytes.load(Relaxed) {
            match self.stream.borrow_mut().read_by_hand(&mut input.tail) {
                Ok(0) => self.closing.set(true),
                Ok(n) => {
                    worker.stats.bytes_in.add(n as u64);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.killed.set(true),
            }
            break;
        }
        if !input.tail.is_empty() {
            let tail = std::mem::take(&mut input.tail);
            let done = self.execute(worker, input, &tail);
            input.keep_rest(tail, &done);
            if done.next == Next::End {
                self.closing.set(true);
            }
            self.write_by_hand(worker);
        }
    }

    /// Sends what is ready, whatever the runtime knows of the socket: of a new one it knows nothing yet.
    fn write_by_hand(&self, worker: &Worker) {
        let mut out = self.out.borrow_mut();
        while !out.nothing_ready() {
            match self.stream.borrow_mut().write_by_hand(out.ready()) {
                Ok(n) if n > 0 => {
                    worker.stats.bytes_out.add(n as u64);
                    out.sent(n);
                }
                // Whatever is wrong shows again when the connection's task writes.
                _ => break,
            }
        }
    }

    /// Reads once and executes what is complete.
    fn poll_input(self: &Rc<Self>, worker: &Rc<Worker>, cx: &mut Context<'_>) -> Poll<Next> {
        let mut input = self.input.borrow_mut();
        let input = &mut *input;
        if input.retry {
            // Commands that had to wait: nothing is read before they are done.
            let tail = std::mem::take(&mut input.tail);
            let next = self.execute(worker, input, &tail);
            input.keep_rest(tail, &next);
            return Poll::Ready(next.next);
        }
        if input.tail.len() > SMALL_TAIL {
            return self.read_into_tail(worker, input, cx);
        }
        let mut scratch = worker.take_scratch();
        scratch.input.extend_from_slice(&input.tail);
        let got = self.read(&mut scratch.input, cx);
        let next = match got {
            Poll::Pending => Poll::Pending,
            Poll::Ready(0) => Poll::Ready(Next::End),
            Poll::Ready(n) => {
                worker.stats.bytes_in.add(n as u64);
                let full = scratch.input.len() == scratch.input.capacity();
                let buffer = std::mem::take(&mut scratch.input);
                let done = self.execute_with(worker, input, &buffer, &mut scratch);
                input.tail.clear();
                input.tail.extend_from_slice(buffer.get(done.used..).unwrap_or_default());
                if input.tail.is_empty() && input.tail.capacity() > 0 {
                    input.tail = Vec::new();
                }
                input.retry = done.retry;
                scratch.input = buffer;
                Poll::Ready(if full && done.next == Next::Again { Next::Yield } else { done.next })
            }
        };
        worker.return_scratch(scratch);
        next
    }

    /// A long request: its bytes go straight behind those that are here.
    fn read_into_tail(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        input: &mut Input,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        let tail = &mut input.tail;
        if tail.capacity() - tail.len() < READ_BYTES / 2 {
            // Doubling: a request is copied a few times at most, and takes no more than twice what has arrived.
            tail.reserve(tail.len().max(READ_BYTES));
        }
        match self.read(tail, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(0) => Poll::Ready(Next::End),
            Poll::Ready(n) => {
                worker.stats.bytes_in.add(n as u64);
                if tail.len() as u64 > worker.shared.params.query_max_bytes.load(Relaxed) {
                    tracing::warn!(
                        client = self.info.id,
                        "closed: its request exceeds the query buffer limit"
                    );
                    return Poll::Ready(Next::End);
                }
                let tail = std::mem::take(tail);
                let next = self.execute(worker, input, &tail);
                input.keep_rest(tail, &next);
                Poll::Ready(if next.next == Next::Again { Next::Yield } else { next.next })
            }
        }
    }

    /// One read; 0 bytes also for a broken connection.
    fn read(&self, buffer: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<usize> {
        self.stream.borrow_mut().poll_read(cx, buffer).map(|got| got.unwrap_or(0))
    }

    fn execute(self: &Rc<Self>, worker: &Rc<Worker>, input: &mut Input, buffer: &[u8]) -> Done {
        let mut scratch = worker.take_scratch();
        let done = self.execute_with(worker, input, buffer, &mut scratch);
        worker.return_scratch(scratch);
        done
    }

    /// Executes the complete commands of `buffer` and hands their replies on.
    fn execute_with(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        input: &mut Input,
        buffer: &[u8],
        scratch: &mut Scratch,
    ) -> Done {
        worker.read_clock();
        worker.stopwatch.start();
        worker.stats.reads.add(1);
        let Input { parser, session, .. } = input;
        let users = &worker.shared.users;
        if !session.follow_users(users) {
            self.kill();
            return Done { used: buffer.len(), retry: false, next: Next::End };
        }
        let Scratch { reply, ahead, .. } = scratch;
        ahead.clear();
        let mut batch = Batch::new(std::mem::take(reply));
        batch.reply.set_proto(session.proto);
        let mut done = Done { used: 0, retry: false, next: Next::Again };
        let pause = worker.shared.config.output_pause_bytes;
        loop {
            let trusted = session.is_authenticated() || !users.is_known();
            parser.limits_mut().authenticated = trusted;
            match ahead.next(worker, parser, (buffer, done.used), (session.db, !trusted)) {
                Ahead::Command(used, args, seen) => {
                    let large = used as u64 > worker.shared.config.shard.in_flight_bytes;
                    if large {
                        session.guards = session.guards.with(Guards::LARGE);
                    }
                    let flow = dispatch::execute(worker, self, session, (args, seen), &mut batch);
                    if large {
                        session.guards = session.guards.without(Guards::LARGE);
                    }
                    match flow {
                        Flow::Next => done.used += used,
                        Flow::Close => {
                            done.used += used;
                            done.next = Next::End;
                            break;
                        }
                        Flow::Block => {
                            done.used += used;
                            done.retry = done.used < buffer.len();
                            done.next = Next::Blocked;
                            break;
                        }
                        Flow::PutOff => {
                            done.retry = true;
                            done.next = Next::Parked;
                            break;
                        }
                        Flow::Park(shard) => {
                            if let Some(local) = worker.local(shard).filter(|_| !self.parked.replace(true)) {
                                local.parked.borrow_mut().push(Rc::clone(self));
                            }
                            worker.kick();
                            done.retry = true;
                            done.next = Next::Parked;
                            break;
                        }
                    }
                    if batch.reply.len() as u64 > pause || self.asks_enough.get() {
                        // The rest runs when the client has taken this, or the answers are here.
                        done.retry = done.used < buffer.len();
                        break;
                    }
                }
                Ahead::Other(Step::Skip(used)) => done.used += used,
                Ahead::Other(Step::Fail(error)) => {
                    batch.reply.error_bytes(&error.text());
                    worker.stats.error(b"-ERR");
                    done.next = Next::End;
                    break;
                }
                Ahead::Other(_) => break,
            }
        }
        ahead.end(parser, done.used);
        // Before the replies leave: who has seen them may look.
        self.publish(worker, session, buffer.len() - done.used.min(buffer.len()));
        self.hand_on(worker, &mut batch);
        self.publish_output();
        if !self.out.borrow().is_empty() {
            self.check_output(worker);
        }
        *reply = batch.reply;
        done
    }

    fn publish(&self, worker: &Worker, session: &Session, unread: usize) {
        let info = &self.info;
        info.last_ms.store(worker.now().1, Relaxed);
        info.db.store(session.db, Relaxed);
        info.query_bytes.store(unread as u64, Relaxed);
        info.resp3.store(session.proto == Protocol::Resp3, Relaxed);
        info.last_command.store(session.last_command.map_or(NO_COMMAND, |row| row.id as u16), Relaxed);
        let multi = session.multi.as_ref();
        info.multi.store(multi.map_or(-1, |multi| multi.len() as i64), Relaxed);
        info.multi_bytes.store(multi.map_or(0, |multi| multi.bytes() as u64), Relaxed);
        info.watching.store(session.watched_keys, Relaxed);
        info.args_bytes.store(0, Relaxed);
    }

    fn publish_output(&self) {
        self.out.borrow().publish(&self.info.output);
    }
}

/// How far an execution came.
struct Done {
    used: usize,
    retry: bool,
    next: Next,
}

/// What a connection does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Yield,
    Parked,
    /// [`Conn::poll_ahead`] goes on.
    Blocked,
    End,
}

impl Input {
    fn keep_rest(&mut self, mut tail: Vec<u8>, done: &Done) {
        tail.drain(..done.used.min(tail.len()));
        if tail.is_empty() || (tail.len() <= SMALL_TAIL && tail.capacity() > READ_BYTES) {
            tail.shrink_to_fit();
        }
        self.tail = tail;
        self.retry = done.retry;
    }
}
