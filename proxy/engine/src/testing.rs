//! A whole engine in miniature for tests: requests in, reply bytes out. Every command is decided, encoded,
//! decoded and applied as on a primary; every record also goes, without handles, to a second keyspace,
//! which must come out the same.

use proxy_resp::{OwnedArgs, Protocol, Reply};
use proxy_store::effect::{EffectIndex, decode_one};
use proxy_store::types::image;
use proxy_store::{DATABASES, EffectWriter, Key, Keyspace, Limits, Value};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::{Call, Context, DataDigest, Patience, Request, Run, Wait, handler, resolve, run};

/// A primary and its replica in one thread, with a clock that only moves when told to.
pub struct TestDb {
    pub primary: Keyspace,
    pub replica: Keyspace,
    pub now_ms: i64,
    pub db: u8,
    /// Records so far; the next record gets the next position.
    pub position: u64,
    /// Gate of the last command.
    pub gate: u64,
    /// Whether commands may wait.
    pub patient: bool,
    /// What the last command waits for.
    pub wait: Option<Box<Wait>>,
    proto: Protocol,
    rng: SmallRng,
    body: Vec<u8>,
    index: EffectIndex,
}

impl Default for TestDb {
    fn default() -> Self {
        Self::new()
    }
}

impl TestDb {
    /// Empty, RESP2, at a fixed time.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// As [`TestDb::new`], with other thresholds for packed collections.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            primary: Keyspace::new(limits.clone()),
            replica: Keyspace::new(limits),
            now_ms: 1_700_000_000_000,
            db: 0,
            position: 0,
            gate: 0,
            patient: false,
            wait: None,
            proto: Protocol::Resp2,
            rng: SmallRng::seed_from_u64(7),
            body: Vec::new(),
            index: EffectIndex::new(),
        }
    }

    /// Answers in RESP3 from now on.
    #[must_use]
    pub fn resp3(mut self) -> Self {
        self.proto = Protocol::Resp3;
        self
    }

    /// Runs a line split as redis-cli splits it; the reply as text (`\r\n` shown as a space).
    pub fn line(&mut self, line: &str) -> String {
        let (mut words, mut spans) = (Vec::new(), Vec::new());
        assert!(
            proxy_resp::split_line(line.as_bytes(), &mut words, &mut spans),
            "quotes don't balance: {line}"
        );
        let args: Vec<&[u8]> =
            spans.iter().map(|&(start, end)| &words[start as usize..end as usize]).collect();
        let reply = self.run(&args);
        String::from_utf8_lossy(&reply).trim_end().replace("\r\n", " ")
    }

    /// Runs one request and returns the reply's bytes.
    pub fn run<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Vec<u8> {
        let owned: OwnedArgs = args.iter().collect();
        let args = owned.as_args();
        let mut out = Reply::new(self.proto);
        let run_as = match resolve(args) {
            Ok(row) => handler(row.id),
            Err(fail) => {
                out.error_bytes(fail.as_bytes());
                return out.take();
            }
        };
        let Run::Keys(function) = run_as else {
            out.error("ERR not a command of the engine");
            return out.take();
        };
        self.body.clear();
        self.index.clear();
        let context = Context {
            notes_misses: false,
            db: self.db,
            now_ms: self.now_ms,
            primary: true,
            tail: self.position,
            spot: None,
            patience: if self.patient { Patience::May } else { Patience::None },
            rng: &mut self.rng,
        };
        self.primary.set_clock(self.now_ms);
        let fx = EffectWriter::new(&mut self.body, &mut self.index);
        let mut call = Call::new(args, &self.primary, &mut out, fx, context);
        run(function, &mut call);
        self.gate = call.gate();
        self.wait = call.wait.take();
        let request = call.request.take();
        self.apply();
        if let Some(Request::SetAccess { db, arg, idle_seconds, frequency }) = request {
            self.primary.set_access(Key::new(db, args.at(arg)), idle_seconds, frequency);
        }
        out.take()
    }

    fn apply(&mut self) {
        if self.index.is_empty() {
            return;
        }
        self.position += 1;
        for at in self.index.iter() {
            let (effect, _) = decode_one(&self.body, at.offset).expect("the engine's own effects decode");
            self.primary.apply(&effect, at.handle, self.position);
            self.replica.apply(&effect, None, self.position);
        }
    }

    /// Digest of the primary, expired keys included.
    pub fn digest(&self) -> String {
        DataDigest::of(&self.primary, |_| false).hex()
    }

    /// Fails when the replica differs or a keyspace is inconsistent.
    pub fn check(&self) {
        assert_eq!(self.digest(), DataDigest::of(&self.replica, |_| false).hex(), "replica differs");
        assert_eq!(streams(&self.primary), streams(&self.replica), "streams differ");
        self.primary.check().expect("primary is consistent");
        self.replica.check().expect("replica is consistent");
    }
}

/// Every stream with its groups, which the digest leaves out.
fn streams(keyspace: &Keyspace) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for db in 0..DATABASES {
        keyspace.for_each(db, &mut |entry| {
            if let value @ Value::Stream(_) = entry.value() {
                let mut bytes = Vec::new();
                image::encode(value, &mut bytes);
                found.push((db, entry.key().to_vec(), bytes));
            }
        });
    }
    found.sort();
    found
}
