//! Client-side caching, the node's part: which clients cache, how, and how they are told to drop a key.
//!
//! The shards say what is stale, once the change is durable ([`proxy_shard::Notice::Stale`]); it leaves before the reply
//! of whoever made the change. On the connection of a client that has read the key it stands behind the answer to that
//! read, so what a client keeps is never older than what it was told last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::RwLock;
use proxy_commands::{Flags, Row};
use proxy_resp::{Args, Protocol, Reply};
use proxy_shard::Caller;

use crate::clients::ClientInfo;
use crate::dispatch;
use crate::push::{self, Push};
use crate::shared::Shared;

/// Which reads are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// All.
    Every,
    /// Those behind a CLIENT CACHING YES.
    OptIn,
    /// All but those behind a CLIENT CACHING NO.
    OptOut,
    /// None: every change of a key with one of the prefixes is told.
    Broadcast,
}

/// How a client caches.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Not told of what it changes itself.
    pub(crate) no_loop: bool,
    /// Who is told in its place.
    pub(crate) redirect: Option<u64>,
    /// None is every key. Only with [`Mode::Broadcast`].
    pub(crate) prefixes: Vec<Vec<u8>>,
}

impl Options {
    /// Whether a key has one of the prefixes that are followed.
    fn follows(&self, key: &[u8]) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }
}

/// All clients that cache.
#[derive(Default)]
pub(crate) struct Tracking {
    clients: RwLock<BTreeMap<u64, Options>>,
}

/// Bits of [`ClientInfo::tracking`], for CLIENT LIST.
pub(crate) const ON: u8 = 1;
pub(crate) const BROKEN: u8 = 2;
pub(crate) const BROADCAST: u8 = 4;

/// What a client is told.
pub(crate) enum Told {
    /// To drop these keys; none: all.
    Stale { key: Option<Arc<[u8]>>, redirected: bool },
    /// That nobody is told in its place any more.
    Broken(u64),
}

impl Told {
    /// In the words of the protocol; `None`: a client of this kind can't be told.
    pub(crate) fn encode(&self, proto: Protocol, is_subscriber: bool) -> Option<Vec<u8>> {
        let mut reply = Reply::new(proto);
        match self {
            Told::Broken(redirect) if proto == Protocol::Resp3 => {
                reply.push(2);
                reply.bulk(b"tracking-redir-broken");
                reply.integer(*redirect as i64);
            }
            Told::Stale { key, redirected } if proto == Protocol::Resp3 || (*redirected && is_subscriber) => {
                if proto == Protocol::Resp3 {
                    reply.push(2);
                    reply.bulk(b"invalidate");
                } else {
                    reply.array(3);
                    reply.bulk(b"message");
                    reply.bulk(b"__redis__:invalidate");
                }
                match key {
                    Some(key) => {
                        reply.array(1);
                        reply.bulk(key);
                    }
                    None => reply.null_array(),
                }
            }
            Told::Stale { .. } | Told::Broken(_) => return None,
        }
        Some(reply.take())
    }
}

impl Tracking {
    /// A client's options.
    pub(crate) fn get(&self, client: u64) -> Option<Options> {
        self.clients.read().get(&client).cloned()
    }

    /// Turns caching on, changes how, or turns it off.
    pub(crate) fn set(&self, shared: &Shared, info: &ClientInfo, options: Option<Options>) {
        let mut clients = self.clients.write();
        match options {
            Some(options) => {
                let broadcast = if options.mode == Mode::Broadcast { BROADCAST } else { 0 };
                info.tracking.store(ON | broadcast, Relaxed);
                info.redirect.store(options.redirect.map_or(0, |id| id as i64), Relaxed);
                clients.insert(info.id, options);
            }
            None => {
                info.tracking.store(0, Relaxed);
                info.redirect.store(-1, Relaxed);
                clients.remove(&info.id);
            }
        }
        let broadcast = clients.values().any(|options| options.mode == Mode::Broadcast);
        shared.observers.set_tracking(!clients.is_empty(), broadcast);
    }

    /// Clients that cache, and the prefixes that are followed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let clients = self.clients.read();
        let mut prefixes: Vec<&[u8]> = clients
            .values()
            .filter(|options| options.mode == Mode::Broadcast)
            .flat_map(|options| {
                let all = options.prefixes.is_empty().then_some(&b""[..]);
                options.prefixes.iter().map(Vec::as_slice).chain(all)
            })
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        (clients.len(), prefixes.len())
    }

    /// A key is stale: those who have read it are told, and with `broadcast` those who follow its prefix. Without a key,
    /// everybody is told to drop everything. `by` has changed it.
    pub(crate) fn tell(
        &self,
        shared: &Shared,
        key: Option<&[u8]>,
        readers: &[u64],
        by: Option<u64>,
        broadcast: bool,
    ) {
        let clients = self.clients.read();
        if clients.is_empty() {
            return;
        }
        let shown: Option<Arc<[u8]>> = key.map(Into::into);
        let tell = |id: u64, options: &Options| {
            if !(options.no_loop && by == Some(id) && key.is_some()) {
                tell_one(shared, id, options, shown.as_ref());
            }
        };
        let Some(key) = key else {
            clients.iter().for_each(|(id, options)| tell(*id, options));
            return;
        };
        for id in readers {
            if let Some(options) = clients.get(id).filter(|options| options.mode != Mode::Broadcast) {
                tell(*id, options);
            }
        }
        let follows = |options: &Options| options.mode == Mode::Broadcast && options.follows(key);
        if broadcast {
            clients
                .iter()
                .filter(|(_, options)| follows(options))
                .for_each(|(id, options)| tell(*id, options));
        }
    }
}

impl Tracking {
    /// A client has been answered by a shard that another node serves: of what changes there nobody here would hear. So it is
    /// told behind the answer that what it has read is stale, and doesn't keep it.
    pub(crate) fn read_elsewhere(&self, shared: &Shared, caller: Caller, row: &Row, args: Args<'_>) {
        if !row.flags.has(Flags::READONLY) && !dispatch::is_script(row) {
            return;
        }
        let clients = self.clients.read();
        let Some(options) = clients.get(&caller.client) else { return };
        // Keys that can't be told are those of a wrong request, which has read nothing.
        let _ = row.for_each_key(
            args.len(),
            |i| args.at(i),
            |position, _| {
                let key = args.at(position);
                let keeps = match options.mode {
                    Mode::Broadcast => options.follows(key),
                    Mode::Every | Mode::OptIn | Mode::OptOut => caller.remembers,
                };
                if keeps {
                    tell_one(shared, caller.client, options, Some(&key.into()));
                }
            },
        );
    }
}

fn tell_one(shared: &Shared, id: u64, options: &Options, key: Option<&Arc<[u8]>>) {
    let redirected = options.redirect.is_some();
    let target = shared.clients.get(options.redirect.unwrap_or(id));
    let (target, told) = match target {
        Some(target) => (target, Told::Stale { key: key.cloned(), redirected }),
        None => {
            let (Some(info), Some(redirect)) = (shared.clients.get(id), options.redirect) else { return };
            info.tracking.fetch_or(BROKEN, Relaxed);
            (info, Told::Broken(redirect))
        }
    };
    let token = target.token.load(Relaxed) as usize;
    push::put(shared, target.worker, Push::Told { token, client: target.id, told });
}
