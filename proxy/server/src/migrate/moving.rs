//! One MIGRATE under way: rounds of reading keys, sending them, and deleting what the target has acknowledged.
//!
//! ```text
//!   watch --> read (durable) --> RESTORE --> target's OK --> delete, if still as read --> OK, when that is durable
//!     ^                                                        |
//!     '------------- changed meanwhile: again, with REPLACE ---'
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use logsvc_api::ShardId;
use proxy_commands::Id;
use proxy_resp::{OwnedArgs, split_reply};
use proxy_shard::WatchId;

use super::target::{Broken, Target};
use super::{Order, error};
use crate::conn::Conn;
use crate::peers::{Part, Work};
use crate::questions::Questions;
use crate::remote;
use crate::worker::{Worker, unix_ms};

/// Numbers of a client's watches and reads: none of its own, so that its WATCH and what it sends stay apart.
const WATCHES: u64 = 1 << 63;
const READS: u64 = 1 << 62;

/// A key's value as read.
struct Value {
    payload: Vec<u8>,
    /// Unix ms.
    expires: Option<i64>,
}

/// Why it ends early: with this reply, or without knowing what has happened.
enum End {
    Reply(Vec<u8>),
    Unknown,
}

impl From<Broken> for End {
    fn from(Broken(reply): Broken) -> Self {
        End::Reply(reply)
    }
}

pub(super) struct Moving<'a> {
    worker: &'a Rc<Worker>,
    conn: &'a Rc<Conn>,
    db: u8,
    order: Order,
    begun: Instant,
}

impl<'a> Moving<'a> {
    pub(super) fn new(worker: &'a Rc<Worker>, conn: &'a Rc<Conn>, db: u8, order: Order) -> Self {
        Self { worker, conn, db, order, begun: Instant::now() }
    }

    /// Runs to the end. The reply; `None` when it is unknown whether keys are deleted.
    pub(super) async fn run(self, keys: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        let shards: Vec<ShardId> = self.by_shard(&keys).into_keys().collect();
        let outcome = self.rounds(keys).await;
        if !self.order.copy {
            for shard in shards {
                let work = Work::Unwatch { id: WatchId(self.client(WATCHES)) };
                Questions::tell(self.worker, self.client(WATCHES), shard, work);
            }
        }
        remote::client_gone(self.worker, self.client(WATCHES));
        remote::client_gone(self.worker, self.client(READS));
        match outcome {
            Ok(()) => Some(b"+OK\r\n".to_vec()),
            Err(End::Reply(reply)) => Some(reply),
            Err(End::Unknown) => None,
        }
    }

    fn client(&self, what: u64) -> u64 {
        self.conn.info.id | what
    }

    fn by_shard(&self, keys: &[Vec<u8>]) -> BTreeMap<ShardId, Vec<usize>> {
        let mut found: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let shard = self.worker.shared.shard_of_key(key);
            found.entry(shard).or_default().push(at);
        }
        found
    }

    async fn rounds(&self, mut keys: Vec<Vec<u8>>) -> Result<(), End> {
        let mut values = self.read(&keys).await?;
        if values.iter().all(Option::is_none) {
            return Err(End::Reply(b"+NOKEY\r\n".to_vec()));
        }
        let mut target = Target::open(&self.order.to, self.order.timeout).await?;
        let mut again = false;
        let mut failed = None;
        loop {
            let (arrived, failure) = self.send(&mut target, &keys, &values, again).await;
            drop(values);
            failed = failed.or(failure);
            let changed = if self.order.copy { Vec::new() } else { self.delete(arrived).await? };
            if changed.is_empty() {
                return failed.map_or(Ok(()), |reply| Err(End::Reply(reply)));
            }
            if self.begun.elapsed() >= self.order.timeout {
                return Err(End::Reply(error(
                    b"ERR keys change all the time while they are moved: they stay here, and the target keeps \
                      earlier values",
                )));
            }
            keys = changed;
            again = true;
            values = self.read(&keys).await?;
        }
    }

    /// The values of keys, none for those that are missing. From here on their changes are noted, unless they are only
    /// copied.
    async fn read(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Value>>, End> {
        let mut values: Vec<Option<Value>> = Vec::new();
        values.resize_with(keys.len(), || None);
        for (shard, places) in self.by_shard(keys) {
            if !self.order.copy {
                let keys = places.iter().map(|at| keys[*at].clone()).collect();
                let id = WatchId(self.client(WATCHES));
                self.ask(WATCHES, shard, Work::Watch { id, db: self.db, keys }).await?;
            }
            let reads = places.iter().flat_map(|at| {
                let part = |id| self.part(id, std::slice::from_ref(&keys[*at]));
                [part(Id::Dump), part(Id::PExpireTime)]
            });
            let chunks = vec![reads.flatten().collect()];
            let work = Work::Transaction { watch: None, chunks, write: false, takes_memory: false };
            let reply = self.ask(READS, shard, work).await?;
            let mut rest = behind_line(&reply);
            for at in places {
                let dump = split_reply(rest);
                let time = dump.and_then(|(_, more)| split_reply(more));
                let (Some((dump, _)), Some((time, more))) = (dump, time) else { return Err(End::Unknown) };
                rest = more;
                let time = time.strip_prefix(b":").and_then(|line| line.strip_suffix(b"\r\n"));
                let expires = time.and_then(proxy_resp::parse_i64).filter(|ms| *ms >= 0);
                let payload = behind_line(dump).strip_suffix(b"\r\n").map(<[u8]>::to_vec);
                values[at] = payload.map(|payload| Value { payload, expires });
            }
        }
        Ok(values)
    }

    /// Sends values, and has the target remove keys that it was sent before and that are gone by now. The keys that the
    /// target has as they are here, and the reply that says what went wrong first.
    async fn send(
        &self,
        target: &mut Target,
        keys: &[Vec<u8>],
        values: &[Option<Value>],
        again: bool,
    ) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let now = unix_ms();
        let mut asked = Vec::new();
        for (key, value) in keys.iter().zip(values) {
            match value {
                Some(Value { payload, expires }) => {
                    let ttl = expires.map_or(0, |at| (at - now).max(1));
                    target.restore(key, ttl, payload, self.order.replace || again);
                }
                None if again => target.remove(key),
                None => continue,
            }
            asked.push((key, value.is_some()));
        }
        let mut arrived = Vec::new();
        let mut failed = None;
        if let Err(Broken(reply)) = target.send().await {
            return (arrived, Some(reply));
        }
        for (key, is_there) in asked {
            match target.answer().await {
                Ok(Ok(())) if is_there => arrived.push(key.clone()),
                Ok(Ok(())) => {}
                Ok(Err(reply)) => {
                    failed.get_or_insert(reply);
                }
                Err(Broken(reply)) => {
                    failed.get_or_insert(reply);
                    break;
                }
            }
        }
        (arrived, failed)
    }

    /// Deletes keys that are as they were read. The others.
    async fn delete(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, End> {
        let mut changed = Vec::new();
        for (shard, places) in self.by_shard(&keys) {
            let keys: Vec<Vec<u8>> = places.iter().map(|at| keys[*at].clone()).collect();
            let watch = Some(WatchId(self.client(WATCHES)));
            let chunks = vec![self.part(Id::Del, &keys).into_iter().collect()];
            let work = Work::Transaction { watch, chunks, write: true, takes_memory: false };
            let reply = self.ask(WATCHES, shard, work).await?;
            if reply.starts_with(b"*-1") {
                changed.extend(keys);
            }
        }
        Ok(changed)
    }

    fn part(&self, id: Id, keys: &[Vec<u8>]) -> Option<Part> {
        let row = proxy_commands::row(id)?;
        let mut args: OwnedArgs = OwnedArgs::default();
        args.push(row.name.as_bytes());
        for key in keys {
            args.push(key);
        }
        Some(Part { row, args, db: self.db })
    }

    /// Asks a shard. What it refuses is the end.
    async fn ask(&self, who: u64, shard: ShardId, work: Work) -> Result<Vec<u8>, End> {
        let answer = Questions::ask(self.worker, self.conn, self.client(who), shard, work).await;
        match answer.ok_or(End::Unknown)? {
            refusal if refusal.first() == Some(&b'-') => Err(End::Reply(refusal)),
            reply => Ok(reply),
        }
    }
}

/// What follows the first line of a reply.
fn behind_line(reply: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', reply).and_then(|end| reply.get(end + 1..)).unwrap_or_default()
}
