//! One connection to this replica: the handshake, then a peer's messages or a client's requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use logsvc_api::{Epoch, Position, ShardId};
use logsvc_client::wire::{
    Answer, Frame, FrameReader, FrameSender, Hello, Incoming, MAX_FRAME_BYTES, Outgoing, Request, Role,
    Welcome, accept, encode_frame, frame_queue, kind, write_frames,
};
use logsvc_client::{LogError, MetaValue, Roster};
use logsvc_raft::{Command, GroupId, Input, META_GROUP, NodeNumber};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::Shared;
use crate::metric_names;
use crate::outcome;
use crate::replica::{AppendSink, Call, CallError, Message, Query, Replica};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_BYTES: usize = 4096;
/// Requests of one connection that are worked on at once; appends don't count. A node follows up to 1024 shards, each by a read
/// that waits, and whatever else it asks must not wait behind those.
const MAX_REQUESTS: usize = 4096;
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Blocks of one frame of a stream.
const TAIL_BYTES: usize = 1 << 20;
/// While a reader has so many bytes still to take, its streams wait, and look again so often.
const UNSENT_BYTES: usize = 8 << 20;
const UNSENT_NAP: Duration = Duration::from_millis(5);
/// A frame of blocks is not longer, whatever is asked for.
const MAX_READ_BYTES: usize = 64 << 20;

/// Frames to the other end.
#[derive(Clone)]
struct Out(FrameSender);

impl Out {
    fn answer(&self, request: u64, answer: &Answer) -> bool {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, answer.kind(), request, |out| answer.encode(out));
        self.0.send(bytes)
    }
}

/// Serves a connection until it ends.
pub async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let Some((read, write)) = take(stream, &shared).await else { return };
    let (queue, frames) = frame_queue();
    let writer = tokio::spawn(write_frames(write, frames));
    let mut reader = FrameReader::new(read, HANDSHAKE_BYTES);
    metric_names::connections(1.0);
    let out = Out(queue);
    if let Ok(Some(role)) = timeout(HANDSHAKE_TIMEOUT, shake_hands(&mut reader, &shared, &out)).await {
        reader.set_limit(MAX_FRAME_BYTES);
        match role {
            Role::Peer => serve_peer(&mut reader, &shared, &out).await,
            Role::Client => serve_client(&mut reader, &shared, &out).await,
        }
    }
    drop(out);
    let _ = timeout(Duration::from_secs(1), writer).await;
    metric_names::connections(-1.0);
}

/// Shakes hands under TLS, if links are. None: the other end was refused or gave up.
async fn take(stream: TcpStream, shared: &Shared) -> Option<(Incoming, Outgoing)> {
    let address = stream.peer_addr().ok()?.ip();
    let taken = timeout(HANDSHAKE_TIMEOUT, async {
        let _permit = match shared.tls {
            Some(_) => shared.handshakes.acquire().await.ok(),
            None => None,
        };
        accept(stream, shared.tls.as_ref()).await
    });
    match taken.await {
        Ok(Ok(halves)) => Some(halves),
        Ok(Err(error)) => {
            shared.complaint.tell(format!("a connection from {address} to the log was refused: {error}"));
            None
        }
        Err(_) => None,
    }
}

async fn shake_hands(reader: &mut FrameReader, shared: &Shared, out: &Out) -> Option<Role> {
    let frame = reader.next().await.ok()??;
    let standing = shared.standing.lock().clone();
    let refusal = match Hello::decode(frame.body) {
        _ if frame.kind != kind::HELLO => "the first frame must be a hello".to_owned(),
        Err(error) => error.to_string(),
        Ok(hello) if hello.cluster != 0 && standing.cluster != 0 && hello.cluster != standing.cluster => {
            "this replica belongs to another cluster".to_owned()
        }
        Ok(hello) => {
            let welcome = Welcome {
                version: hello.version,
                cluster: standing.cluster,
                replica: u64::from(shared.number.load(Relaxed)),
                az: standing.az,
                shards: shared.shards,
            };
            let mut bytes = Vec::new();
            encode_frame(&mut bytes, kind::WELCOME, 0, |out| welcome.encode(out));
            return out.0.send(bytes).then_some(hello.role);
        }
    };
    out.answer(0, &Answer::Error { shard: 0, epoch: 0, error: LogError::Refused(refusal) });
    None
}

async fn serve_peer(reader: &mut FrameReader, shared: &Shared, out: &Out) {
    while let Ok(Some(Frame { kind: what, request, body })) = reader.next().await {
        match what {
            kind::RAFT => {
                if !shared.seat.push(Message::Input(Input::Receive { frame: body })) {
                    return;
                }
            }
            // What a database holds that can't be opened yet, nobody should count on.
            kind::PROBE if shared.opening.load(Relaxed) => return,
            kind::PROBE => {
                let standing = shared.standing.lock().clone();
                let mut bytes = Vec::new();
                encode_frame(&mut bytes, kind::STANDING, request, |out| standing.encode(out));
                if !out.0.send(bytes) {
                    return;
                }
            }
            _ => return,
        }
    }
}

async fn serve_client(reader: &mut FrameReader, shared: &Arc<Shared>, out: &Out) {
    let permits = Arc::new(Semaphore::new(MAX_REQUESTS));
    let mut sinks: HashMap<(ShardId, Epoch), Arc<dyn AppendSink>> = HashMap::new();
    let mut tails: HashMap<u64, tokio::task::AbortHandle> = HashMap::new();
    while let Ok(Some(Frame { kind, request: id, body })) = reader.next().await {
        let request = match Request::decode(kind, body) {
            Ok(request) => request,
            Err(error) => {
                out.answer(id, &failed(LogError::Refused(error.to_string())));
                break;
            }
        };
        if request == Request::Roster {
            let known = shared.rosters.borrow().clone();
            let value =
                |(revision, roster): (u64, Roster)| MetaValue { revision, value: roster.encode().into() };
            if !out.answer(id, &Answer::MetaValue(known.map(value))) {
                break;
            }
            continue;
        }
        let Some(replica) = shared.replica.get().cloned() else {
            let refusal = refuse_all(&request);
            if !out.answer(id, &refusal) {
                break;
            }
            continue;
        };
        match request {
            Request::Append { shard, epoch, block } => {
                let sink = sinks.entry((shard, epoch)).or_insert_with(|| {
                    Arc::new(WireSink { shard, epoch, out: out.clone(), shared: Arc::clone(shared) })
                });
                let sink = Arc::clone(sink);
                if !replica.push(Message::Append { group: shard, block, sink }) {
                    break;
                }
            }
            Request::Cancel => {
                if let Some(tail) = tails.remove(&id) {
                    tail.abort();
                }
            }
            Request::Tail { shard, from } => {
                tails.retain(|_, tail| !tail.is_finished());
                if tails.len() < MAX_REQUESTS {
                    let task = tokio::spawn(stream_tail(replica, shard, from, id, out.clone()));
                    tails.insert(id, task.abort_handle());
                }
            }
            request => {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
                let (shared, out) = (Arc::clone(shared), out.clone());
                tokio::spawn(async move {
                    let answer = answer(&shared, &replica, request).await;
                    out.answer(id, &answer);
                    drop(permit);
                });
            }
        }
    }
    tails.values().for_each(tokio::task::AbortHandle::abort);
}

fn failed(error: LogError) -> Answer {
    Answer::Error { shard: 0, epoch: 0, error }
}

/// While there is no replica here yet.
fn refuse_all(request: &Request) -> Answer {
    match request {
        Request::Append { shard, epoch, .. } => {
            Answer::NotLeader { shard: *shard, epoch: *epoch, leader: None }
        }
        Request::Read { .. } | Request::Tail { .. } => {
            failed(LogError::Unavailable("this replica isn't serving yet".into()))
        }
        _ => Answer::NotLeader { shard: 0, epoch: 0, leader: None },
    }
}

/// Tells a client what becomes of its blocks.
struct WireSink {
    shard: ShardId,
    epoch: Epoch,
    out: Out,
    shared: Arc<Shared>,
}

impl AppendSink for WireSink {
    fn acknowledged(&self, position: Position) {
        self.out.answer(0, &Answer::Progress { shard: self.shard, epoch: self.epoch, position });
    }

    fn refused(&self, error: LogError) {
        self.out.answer(0, &Answer::Error { shard: self.shard, epoch: self.epoch, error });
    }

    fn interrupted(&self, leader: Option<NodeNumber>) {
        let leader = leader.and_then(|node| self.shared.zones.read().get(&node).cloned());
        self.out.answer(0, &Answer::NotLeader { shard: self.shard, epoch: self.epoch, leader });
    }
}

async fn answer(shared: &Shared, replica: &Replica, request: Request) -> Answer {
    let group = match &request {
        Request::Claim(claim) => claim.shard,
        Request::Describe { shard }
        | Request::Renew { shard, .. }
        | Request::Release { shard, .. }
        | Request::LeadFrom { shard, .. }
        | Request::Trim { shard, .. }
        | Request::Read { shard, .. } => *shard,
        _ => META_GROUP,
    };
    if replica.view(group).is_none() {
        return failed(LogError::Refused(format!("there is no shard {group}")));
    }
    match request {
        Request::Read { shard, from, max_bytes, wait_ms } => {
            let max_bytes = (max_bytes as usize).min(MAX_READ_BYTES);
            let wait = Duration::from_millis(wait_ms.into());
            read(replica, shard, from, max_bytes, wait).await.unwrap_or_else(failed)
        }
        Request::MetaWatch { since, wait_ms } => {
            watch(replica, since, Duration::from_millis(wait_ms.into())).await
        }
        request => match call(shared, replica, group, request).await {
            Ok(answer) => answer,
            Err(CallError::Log(error)) => failed(error),
            Err(CallError::NotLeader(node)) => {
                let leader = node.and_then(|node| shared.zones.read().get(&node).cloned());
                Answer::NotLeader { shard: 0, epoch: 0, leader }
            }
        },
    }
}

/// What only the leader can answer.
async fn call(
    shared: &Shared,
    replica: &Replica,
    group: GroupId,
    request: Request,
) -> Result<Answer, CallError> {
    let ask = async |call: Call| replica.call(group, call).await;
    let log = CallError::Log;
    Ok(match request {
        Request::Describe { .. } => {
            let reply = ask(Call::Query(Query::Describe)).await?;
            Answer::Description(Box::new(outcome::description(reply).map_err(log)?))
        }
        Request::Claim(claim) => {
            let reply = ask(Call::Propose(outcome::claim_command(&claim))).await?;
            Answer::Claimed(outcome::claimed(reply, &claim).map_err(log)?)
        }
        Request::Renew { epoch, .. } => {
            outcome::renewed(ask(Call::Propose(Command::Renew { epoch })).await?).map_err(log)?;
            Answer::Done
        }
        Request::Release { epoch, .. } => {
            outcome::released(ask(Call::Propose(Command::Release { epoch })).await?).map_err(log)?;
            Answer::Done
        }
        Request::LeadFrom { zone, .. } => {
            // Of two in one zone the newer one is the one that stays.
            let zones = shared.zones.read().clone();
            let nodes = zones.iter().filter(|(_, name)| **name == zone).map(|(node, _)| *node);
            let node = nodes.max();
            let node = node.ok_or_else(|| log(LogError::Refused(format!("no log replica is in {zone}"))))?;
            outcome::hinted(ask(Call::Transfer(node)).await?).map_err(log)?;
            Answer::Done
        }
        Request::Trim { up_to, .. } => {
            outcome::trimmed(ask(Call::Propose(Command::Trim { position: up_to })).await?).map_err(log)?;
            Answer::Done
        }
        Request::MetaGet { key } => {
            Answer::MetaValue(outcome::meta_value(ask(Call::Query(Query::MetaGet(key))).await?).map_err(log)?)
        }
        Request::MetaPut { key, value, expect } => {
            let reply = ask(Call::Propose(outcome::put_command(&key, &value, expect))).await?;
            Answer::Revision(outcome::put(reply, expect).map_err(log)?)
        }
        Request::MetaList { prefix } => {
            let reply = ask(Call::Query(Query::MetaList(prefix))).await?;
            Answer::MetaValues(outcome::meta_values(reply).map_err(log)?)
        }
        _ => return Err(log(LogError::Refused("not a request".into()))),
    })
}

async fn read(
    replica: &Replica,
    shard: ShardId,
    from: Position,
    max_bytes: usize,
    wait: Duration,
) -> Result<Answer, LogError> {
    let unknown = || LogError::Refused(format!("there is no shard {shard}"));
    let view = replica.view(shard).ok_or_else(unknown)?;
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    loop {
        let mut changed = std::pin::pin!(view.changed());
        changed.as_mut().enable();
        if view.wiped() || view.retired() {
            return Err(LogError::Unavailable("this replica of the shard is being rebuilt".into()));
        }
        let blocks = replica.read(shard, from, max_bytes)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !blocks.is_empty() || left.is_zero() {
            let blocks: Vec<Bytes> = blocks.iter().map(|block| block.bytes().clone()).collect();
            return Ok(Answer::Blocks(blocks));
        }
        let nap = if view.tail() >= from { Duration::from_millis(5) } else { left };
        let _ = timeout(nap, changed).await;
    }
}

/// Streams blocks from `from` on until the connection ends, the stream is cancelled, or an error ends it.
async fn stream_tail(replica: Arc<Replica>, shard: ShardId, from: Position, id: u64, out: Out) {
    let mut next = from;
    loop {
        let answer = match read(&replica, shard, next, TAIL_BYTES, MAX_WAIT).await {
            Ok(answer) => answer,
            Err(error) => {
                out.answer(id, &failed(error));
                return;
            }
        };
        if let Answer::Blocks(blocks) = &answer
            && let Some(last) = blocks.last().and_then(|last| logsvc_api::BlockHeader::decode(last).ok())
        {
            next = last.last_position() + 1;
        }
        // An empty frame now and then tells whether the reader is still there.
        if !out.answer(id, &answer) {
            return;
        }
        while out.0.bytes() > UNSENT_BYTES && !out.0.is_closed() {
            tokio::time::sleep(UNSENT_NAP).await;
        }
    }
}

async fn watch(replica: &Replica, since: u64, wait: Duration) -> Answer {
    let Some(view) = replica.view(META_GROUP) else { return Answer::Revision(0) };
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    loop {
        let mut changed = std::pin::pin!(view.changed());
        changed.as_mut().enable();
        let left = deadline.saturating_duration_since(Instant::now());
        if view.tail() > since || left.is_zero() {
            return Answer::Revision(view.tail());
        }
        let _ = timeout(left, changed).await;
    }
}
