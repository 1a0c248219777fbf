//! Every message of the protocol as a value, with its bytes.

use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position, ShardId};

use super::{MAGIC, OLDEST_VERSION, Reader, VERSION, WireError, Writer};
use crate::{
    Claim, Claimed, LogError, MetaValue, ReplicaDescription, ReplicaPart, ReplicaState, ShardDescription,
};

/// Frame types. Numbers are never reused.
pub mod kind {
    /// First frame of a connection.
    pub const HELLO: u8 = 1;
    /// Answer to it.
    pub const WELCOME: u8 = 2;
    /// Describe a shard.
    pub const DESCRIBE: u8 = 10;
    /// Claim a shard.
    pub const CLAIM: u8 = 11;
    /// Renew a lease.
    pub const RENEW: u8 = 12;
    /// Trim a shard.
    pub const TRIM: u8 = 13;
    /// Read committed blocks once.
    pub const READ: u8 = 14;
    /// Stream committed blocks until cancelled.
    pub const TAIL: u8 = 15;
    /// End a tail stream.
    pub const CANCEL: u8 = 16;
    /// Append a block. Answered by `PROGRESS` or `ERROR`, cumulatively.
    pub const APPEND: u8 = 17;
    /// Metadata: get.
    pub const META_GET: u8 = 18;
    /// Metadata: compare and set.
    pub const META_PUT: u8 = 19;
    /// Metadata: list.
    pub const META_LIST: u8 = 20;
    /// Metadata: wait for a change.
    pub const META_WATCH: u8 = 21;
    /// Give a lease back.
    pub const RELEASE: u8 = 22;
    /// Lead a group from another zone.
    pub const LEAD_FROM: u8 = 23;
    /// Who keeps the log, as the asked replica knows it.
    pub const ROSTER: u8 = 24;
    /// Done, nothing more to say.
    pub const DONE: u8 = 40;
    /// A shard's description.
    pub const DESCRIPTION: u8 = 41;
    /// A granted claim.
    pub const CLAIMED: u8 = 42;
    /// Blocks.
    pub const BLOCKS: u8 = 43;
    /// Everything appended up to a position is durable.
    pub const PROGRESS: u8 = 44;
    /// Metadata value.
    pub const META_VALUE: u8 = 45;
    /// Metadata values.
    pub const META_VALUES: u8 = 46;
    /// A revision.
    pub const REVISION: u8 = 47;
    /// The request failed.
    pub const ERROR: u8 = 60;
    /// Ask another replica: this one doesn't lead the group.
    pub const NOT_LEADER: u8 = 61;
    /// Between replicas: a message of the consensus.
    pub const RAFT: u8 = 80;
    /// Between replicas: who are you, do you have data?
    pub const PROBE: u8 = 81;
    /// Answer to it.
    pub const STANDING: u8 = 82;
}

/// Who opens a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A user of the log.
    Client = 1,
    /// Another replica.
    Peer = 2,
}

/// First frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What both ends speak from now on: sent, the newest version that the sender speaks; received, the newest of both.
    pub version: u16,
    /// Who connects.
    pub role: Role,
    /// The cluster that it belongs to; 0 = doesn't know yet.
    pub cluster: u64,
    /// The peer's replica id; 0 for clients and fresh replicas.
    pub replica: u64,
    /// Availability zone of who connects.
    pub az: String,
}

impl Hello {
    /// Writes the fields.
    pub fn encode(&self, out: &mut Writer) {
        out.0.extend_from_slice(&MAGIC);
        out.u16(self.version).u8(self.role as u8).u64(self.cluster).u64(self.replica).text(&self.az);
    }

    /// Reads the fields.
    pub fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let magic = reader.u32()?;
        if magic != u32::from_le_bytes(MAGIC) {
            return Err(WireError::Unknown { what: "magic", number: magic.into() });
        }
        let version = reader.u16()?;
        if version < OLDEST_VERSION {
            return Err(WireError::Unknown { what: "protocol version", number: version.into() });
        }
        let role = match reader.u8()? {
            1 => Role::Client,
            2 => Role::Peer,
            other => return Err(WireError::Unknown { what: "role", number: other.into() }),
        };
        let (cluster, replica, az) = (reader.u64()?, reader.u64()?, reader.text()?);
        // A newer one may have more to say.
        if version <= VERSION {
            reader.end()?;
        }
        Ok(Self { version: version.min(VERSION), role, cluster, replica, az })
    }
}

/// Answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// What both ends speak from now on.
    pub version: u16,
    /// The cluster; 0 while the replica is fresh.
    pub cluster: u64,
    /// Id of the answering replica.
    pub replica: u64,
    /// Its availability zone.
    pub az: String,
    /// Shards of the log.
    pub shards: u32,
}

impl Welcome {
    /// Writes the fields.
    pub fn encode(&self, out: &mut Writer) {
        out.u16(self.version).u64(self.cluster).u64(self.replica).text(&self.az).u32(self.shards);
    }

    /// Reads the fields.
    pub fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(WireError::Unknown { what: "protocol version", number: version.into() });
        }
        let welcome = Self {
            version,
            cluster: reader.u64()?,
            replica: reader.u64()?,
            az: reader.text()?,
            shards: reader.u32()?,
        };
        reader.end()?;
        Ok(welcome)
    }
}

/// What a replica tells another that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The cluster; 0 while it has none.
    pub cluster: u64,
    /// How far it is: 0 its disk is empty, 1 forming, 2 founding, 3 member.
    pub stage: u8,
    /// Its availability zone.
    pub az: String,
}

impl Standing {
    /// Writes the fields.
    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.cluster).u8(self.stage).text(&self.az);
    }

    /// Reads the fields.
    pub fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let standing = Self { cluster: reader.u64()?, stage: reader.u8()?, az: reader.text()? };
        reader.end()?;
        Ok(standing)
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `LogService`'s methods.
pub enum Request {
    Describe { shard: ShardId },
    Claim(Claim),
    Renew { shard: ShardId, epoch: Epoch },
    Trim { shard: ShardId, up_to: Position },
    Read { shard: ShardId, from: Position, max_bytes: u32, wait_ms: u32 },
    Tail { shard: ShardId, from: Position },
    Cancel,
    Append { shard: ShardId, epoch: Epoch, block: Bytes },
    MetaGet { key: String },
    MetaPut { key: String, value: Bytes, expect: Option<u64> },
    MetaList { prefix: String },
    MetaWatch { since: u64, wait_ms: u32 },
    Release { shard: ShardId, epoch: Epoch },
    LeadFrom { shard: ShardId, zone: String },
    Roster,
}

impl Request {
    /// The frame type.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Describe { .. } => kind::DESCRIBE,
            Self::Claim(_) => kind::CLAIM,
            Self::Renew { .. } => kind::RENEW,
            Self::Trim { .. } => kind::TRIM,
            Self::Read { .. } => kind::READ,
            Self::Tail { .. } => kind::TAIL,
            Self::Cancel => kind::CANCEL,
            Self::Append { .. } => kind::APPEND,
            Self::MetaGet { .. } => kind::META_GET,
            Self::MetaPut { .. } => kind::META_PUT,
            Self::MetaList { .. } => kind::META_LIST,
            Self::MetaWatch { .. } => kind::META_WATCH,
            Self::Release { .. } => kind::RELEASE,
            Self::LeadFrom { .. } => kind::LEAD_FROM,
            Self::Roster => kind::ROSTER,
        }
    }

    /// Writes the fields.
    pub fn encode(&self, out: &mut Writer) {
        match self {
            Self::Cancel | Self::Roster => {}
            Self::Describe { shard } => drop(out.u32(*shard)),
            Self::Claim(claim) => {
                out.u32(claim.shard).text(&claim.owner).u64(claim.lease_ms);
                out.u64(claim.expected_epoch).u64(claim.expected_tail);
            }
            Self::Renew { shard, epoch: number }
            | Self::Release { shard, epoch: number }
            | Self::Trim { shard, up_to: number } => {
                out.u32(*shard).u64(*number);
            }
            Self::Tail { shard, from } => drop(out.u32(*shard).u64(*from)),
            Self::Read { shard, from, max_bytes, wait_ms } => {
                out.u32(*shard).u64(*from).u32(*max_bytes).u32(*wait_ms);
            }
            Self::Append { shard, epoch, block } => {
                out.u32(*shard).u64(*epoch);
                out.0.extend_from_slice(block);
            }
            Self::MetaGet { key: text } | Self::MetaList { prefix: text } => drop(out.text(text)),
            Self::MetaPut { key, value, expect } => drop(out.text(key).bytes(value).optional_u64(*expect)),
            Self::MetaWatch { since, wait_ms } => drop(out.u64(*since).u32(*wait_ms)),
            Self::LeadFrom { shard, zone } => drop(out.u32(*shard).text(zone)),
        }
    }

    /// Reads the fields of a frame.
    pub fn decode(kind: u8, body: Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(body);
        let request = match kind {
            kind::DESCRIBE => Self::Describe { shard: r.u32()? },
            kind::CLAIM => Self::Claim(Claim {
                shard: r.u32()?,
                owner: r.text()?,
                lease_ms: r.u64()?,
                expected_epoch: r.u64()?,
                expected_tail: r.u64()?,
            }),
            kind::RENEW => Self::Renew { shard: r.u32()?, epoch: r.u64()? },
            kind::RELEASE => Self::Release { shard: r.u32()?, epoch: r.u64()? },
            kind::LEAD_FROM => Self::LeadFrom { shard: r.u32()?, zone: r.text()? },
            kind::TRIM => Self::Trim { shard: r.u32()?, up_to: r.u64()? },
            kind::READ => {
                Self::Read { shard: r.u32()?, from: r.u64()?, max_bytes: r.u32()?, wait_ms: r.u32()? }
            }
            kind::TAIL => Self::Tail { shard: r.u32()?, from: r.u64()? },
            kind::ROSTER => Self::Roster,
            kind::CANCEL => Self::Cancel,
            kind::APPEND => Self::Append { shard: r.u32()?, epoch: r.u64()?, block: r.rest() },
            kind::META_GET => Self::MetaGet { key: r.text()? },
            kind::META_PUT => Self::MetaPut { key: r.text()?, value: r.bytes()?, expect: r.optional_u64()? },
            kind::META_LIST => Self::MetaList { prefix: r.text()? },
            kind::META_WATCH => Self::MetaWatch { since: r.u64()?, wait_ms: r.u32()? },
            other => return Err(WireError::Unknown { what: "request", number: other.into() }),
        };
        r.end()?;
        Ok(request)
    }
}

/// What a replica answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `LogService`'s answers.
pub enum Answer {
    Done,
    Description(Box<ShardDescription>),
    Claimed(Claimed),
    Blocks(Vec<Bytes>),
    Progress {
        shard: ShardId,
        epoch: Epoch,
        position: Position,
    },
    MetaValue(Option<MetaValue>),
    MetaValues(Vec<(String, MetaValue)>),
    Revision(u64),
    /// `shard` and `epoch` say which appender failed; both are 0 when a request with an id did.
    Error {
        shard: ShardId,
        epoch: Epoch,
        error: LogError,
    },
    /// The availability zone of the leader, when it is known; shard and epoch as in `Error`.
    NotLeader {
        shard: ShardId,
        epoch: Epoch,
        leader: Option<String>,
    },
}

impl Answer {
    /// The frame type.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Done => kind::DONE,
            Self::Description(_) => kind::DESCRIPTION,
            Self::Claimed(_) => kind::CLAIMED,
            Self::Blocks(_) => kind::BLOCKS,
            Self::Progress { .. } => kind::PROGRESS,
            Self::MetaValue(_) => kind::META_VALUE,
            Self::MetaValues(_) => kind::META_VALUES,
            Self::Revision(_) => kind::REVISION,
            Self::Error { .. } => kind::ERROR,
            Self::NotLeader { .. } => kind::NOT_LEADER,
        }
    }

    /// Writes the fields.
    pub fn encode(&self, out: &mut Writer) {
        match self {
            Self::Done => {}
            Self::Description(description) => encode_description(description, out),
            Self::Claimed(claimed) => drop(out.u64(claimed.epoch).u64(claimed.tail).u64(claimed.chain)),
            Self::Blocks(blocks) => {
                out.u32(blocks.len() as u32);
                for block in blocks {
                    out.bytes(block);
                }
            }
            Self::Progress { shard, epoch, position } => drop(out.u32(*shard).u64(*epoch).u64(*position)),
            Self::MetaValue(value) => {
                out.u8(u8::from(value.is_some()));
                if let Some(value) = value {
                    out.u64(value.revision).bytes(&value.value);
                }
            }
            Self::MetaValues(values) => {
                out.u32(values.len() as u32);
                for (key, value) in values {
                    out.text(key).u64(value.revision).bytes(&value.value);
                }
            }
            Self::Revision(revision) => drop(out.u64(*revision)),
            Self::Error { shard, epoch, error } => {
                out.u32(*shard).u64(*epoch);
                encode_error(error, out);
            }
            Self::NotLeader { shard, epoch, leader } => {
                out.u32(*shard).u64(*epoch).text(leader.as_deref().unwrap_or_default());
            }
        }
    }

    /// Reads the fields of a frame.
    pub fn decode(kind: u8, body: Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(body);
        let answer = match kind {
            kind::DONE => Self::Done,
            kind::DESCRIPTION => Self::Description(Box::new(decode_description(&mut r)?)),
            kind::CLAIMED => Self::Claimed(Claimed { epoch: r.u64()?, tail: r.u64()?, chain: r.u64()? }),
            kind::BLOCKS => Self::Blocks(r.list(4, Reader::bytes)?),
            kind::PROGRESS => Self::Progress { shard: r.u32()?, epoch: r.u64()?, position: r.u64()? },
            kind::META_VALUE => Self::MetaValue(match r.u8()? {
                0 => None,
                _ => Some(MetaValue { revision: r.u64()?, value: r.bytes()? }),
            }),
            kind::META_VALUES => Self::MetaValues(r.list(16, |item| {
                Ok((item.text()?, MetaValue { revision: item.u64()?, value: item.bytes()? }))
            })?),
            kind::REVISION => Self::Revision(r.u64()?),
            kind::ERROR => Self::Error { shard: r.u32()?, epoch: r.u64()?, error: decode_error(&mut r)? },
            kind::NOT_LEADER => {
                let (shard, epoch, leader) = (r.u32()?, r.u64()?, r.text()?);
                Self::NotLeader { shard, epoch, leader: Some(leader).filter(|az| !az.is_empty()) }
            }
            other => return Err(WireError::Unknown { what: "answer", number: other.into() }),
        };
        r.end()?;
        Ok(answer)
    }

    /// The blocks of an answer, each verified.
    ///
    /// # Errors
    /// `Corrupt` for a block that fails its checksums.
    pub fn verify_blocks(blocks: Vec<Bytes>) -> Result<Vec<Block>, LogError> {
        let verified = blocks.into_iter().map(Block::decode);
        verified.collect::<Result<_, _>>().map_err(|error| LogError::Corrupt(error.to_string()))
    }
}

fn encode_description(d: &ShardDescription, out: &mut Writer) {
    out.u32(d.shard).u64(d.epoch).text(d.owner.as_deref().unwrap_or_default());
    out.u64(d.lease_ms).u64(d.lease_remaining_ms).u64(d.tail).u64(d.chain).u64(d.trim).u64(d.durable);
    out.u64(d.bytes).optional_u64(d.leader).u32(d.replicas.len() as u32);
    for replica in &d.replicas {
        out.u64(replica.id).text(&replica.az).u8(replica.state as u8).u8(replica.part as u8).u64(replica.lag);
        out.text(replica.error.as_deref().unwrap_or_default());
    }
}

fn decode_description(r: &mut Reader) -> Result<ShardDescription, WireError> {
    let optional = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(ShardDescription {
        shard: r.u32()?,
        epoch: r.u64()?,
        owner: optional(r.text()?),
        lease_ms: r.u64()?,
        lease_remaining_ms: r.u64()?,
        tail: r.u64()?,
        chain: r.u64()?,
        trim: r.u64()?,
        durable: r.u64()?,
        bytes: r.u64()?,
        leader: r.optional_u64()?,
        replicas: r.list(26, |item| {
            Ok(ReplicaDescription {
                id: item.u64()?,
                az: item.text()?,
                state: decode_state(item.u8()?),
                part: decode_part(item.u8()?),
                lag: item.u64()?,
                error: optional(item.text()?),
            })
        })?,
    })
}

/// A state of a newer server reads as unknown.
fn decode_state(number: u8) -> ReplicaState {
    match number {
        1 => ReplicaState::Leader,
        2 => ReplicaState::Follower,
        3 => ReplicaState::Learner,
        4 => ReplicaState::Unreachable,
        5 => ReplicaState::Failed,
        _ => ReplicaState::Unknown,
    }
}

fn decode_part(number: u8) -> ReplicaPart {
    match number {
        1 => ReplicaPart::Voter,
        2 => ReplicaPart::Learner,
        3 => ReplicaPart::Joining,
        4 => ReplicaPart::Leaving,
        5 => ReplicaPart::Uninformed,
        _ => ReplicaPart::Unknown,
    }
}

/// Error: code u8, two numbers, a text; which of them count depends on the code.
fn encode_error(error: &LogError, out: &mut Writer) {
    let (code, a, b, text): (u8, u64, u64, &str) = match error {
        LogError::Fenced { epoch } => (1, *epoch, 0, ""),
        LogError::Gap { expected, got } => (2, *expected, *got, ""),
        LogError::Trimmed { trim } => (3, *trim, 0, ""),
        LogError::LeaseHeld { owner, remaining_ms } => (4, *remaining_ms, 0, owner),
        LogError::Conflict { expected, found } => (5, *expected, *found, ""),
        LogError::Unavailable(text) => (6, 0, 0, text),
        LogError::Uncertain(text) => (7, 0, 0, text),
        LogError::Corrupt(text) => (8, 0, 0, text),
        LogError::Refused(text) => (9, 0, 0, text),
    };
    out.u8(code).u64(a).u64(b).text(text);
}

fn decode_error(r: &mut Reader) -> Result<LogError, WireError> {
    let (code, a, b, text) = (r.u8()?, r.u64()?, r.u64()?, r.text()?);
    Ok(match code {
        1 => LogError::Fenced { epoch: a },
        2 => LogError::Gap { expected: a, got: b },
        3 => LogError::Trimmed { trim: a },
        4 => LogError::LeaseHeld { owner: text, remaining_ms: a },
        5 => LogError::Conflict { expected: a, found: b },
        6 => LogError::Unavailable(text),
        7 => LogError::Uncertain(text),
        8 => LogError::Corrupt(text),
        9 => LogError::Refused(text),
        other => return Err(WireError::Unknown { what: "error code", number: other.into() }),
    })
}
