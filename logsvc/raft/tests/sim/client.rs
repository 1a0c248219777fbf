//! Owners that are models of nodes: primaries that claim a shard, append with several blocks in flight, renew, trim, retry and contest
//! each other; and one that changes metadata by compare-and-set.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use logsvc_api::{Block, BlockBuilder, Epoch, Position, RecordKind};
use logsvc_raft::{Change, Claim, Command, GroupId, MetaValue, Outcome, Refusal, Request, ShardState};

use crate::model::Model;
use crate::rng::Rng;
use crate::world::{Answered, LEASE_MS, Log, NODES, Owners};

/// Blocks not yet acknowledged.
const WINDOW: usize = 6;
/// An answer that takes longer is taken as lost.
const PATIENCE_MS: u64 = 250;
/// What a client believes in, so that its clock may go slower than the leader's.
const BELIEF_MS: u64 = LEASE_MS * 9 / 10;

/// What a token stands for.
enum Sent {
    Claim { owner_from: u64 },
    Append { block: Bytes, epoch: Epoch },
    Renew { epoch: Epoch },
    Other,
}

pub struct Client {
    pub group: GroupId,
    pub owner: String,
    epoch: Epoch,
    builder: Option<BlockBuilder>,
    unacknowledged: VecDeque<Bytes>,
    sent: BTreeMap<u64, (u64, Sent)>,
    last_send: u64,
    /// Until when it believes to own the shard.
    pub lease_until: u64,
    /// It stands still until then.
    pub paused_until: u64,
    acknowledged: Position,
    pub done: u64,
}

impl Owners for Vec<Client> {
    fn count(&self) -> usize {
        self.len()
    }

    fn pace(&self) -> (u64, u64) {
        (4, 30)
    }

    fn paused_until(&mut self, at: usize) -> &mut u64 {
        &mut self[at].paused_until
    }

    fn beliefs(&self) -> Vec<(String, u64)> {
        self.iter().map(|client| (client.owner.clone(), client.lease_until)).collect()
    }

    fn turn(
        &mut self,
        at: usize,
        now: u64,
        log: &Log<'_>,
        token: &mut u64,
        rng: &mut Rng,
    ) -> Vec<(u64, Request)> {
        let asked = rng.below(NODES as u64) as usize;
        let view = log.status(asked, self[at].group).and_then(|status| status.shard);
        self[at].turn(now, view.as_ref(), token, rng)
    }

    fn answered(&mut self, _now: u64, answer: &Answered<'_>, model: &mut Model) {
        self[answer.at].answered(answer.token, answer.result, model);
    }

    fn done(&self) -> u64 {
        self.iter().map(|client| client.done).sum()
    }
}

/// Those of one run.
pub fn owners() -> Vec<Client> {
    (0..3).map(|number| Client::new(0, format!("owner {number}"))).collect()
}

impl Client {
    pub fn new(group: GroupId, owner: String) -> Self {
        Self {
            group,
            owner,
            epoch: 0,
            builder: None,
            unacknowledged: VecDeque::new(),
            sent: BTreeMap::new(),
            last_send: 0,
            lease_until: 0,
            paused_until: 0,
            acknowledged: 0,
            done: 0,
        }
    }

    fn send(
        &mut self,
        out: &mut Vec<(u64, Request)>,
        token: &mut u64,
        now: u64,
        what: Sent,
        command: Command,
    ) {
        *token += 1;
        self.sent.insert(*token, (now, what));
        out.push((*token, Request::Propose(command)));
    }

    /// One turn: what it sends now. `view` is what some replica says about the shard.
    pub fn turn(
        &mut self,
        now: u64,
        view: Option<&ShardState>,
        token: &mut u64,
        rng: &mut Rng,
    ) -> Vec<(u64, Request)> {
        let mut out = Vec::new();
        if self.sent.len() > 200 {
            self.sent.pop_first();
        }
        if self.builder.is_none() {
            if let Some(view) = view.filter(|_| rng.chance(150)) {
                let claim = Claim {
                    expected_epoch: view.epoch,
                    expected_tail: view.tail,
                    owner: self.owner.clone(),
                    lease_ms: LEASE_MS,
                };
                self.send(&mut out, token, now, Sent::Claim { owner_from: now }, Command::Claim(claim));
            }
            return out;
        }
        if now > self.lease_until + PATIENCE_MS * 4 || rng.chance(2) {
            self.builder = None;
            return out;
        }
        if self.unacknowledged.is_empty() && rng.chance(4) {
            // A planned hand-over: it believes in nothing of this epoch any more, whatever answers still come.
            let epoch = std::mem::take(&mut self.epoch);
            self.builder = None;
            self.lease_until = 0;
            self.send(&mut out, token, now, Sent::Other, Command::Release { epoch });
            return out;
        }
        self.append(now, &mut out, token, rng);
        if rng.chance(60) {
            let epoch = self.epoch;
            self.send(&mut out, token, now, Sent::Renew { epoch }, Command::Renew { epoch });
        }
        if rng.chance(15) {
            let position = rng.between(self.acknowledged / 2, self.acknowledged);
            self.send(&mut out, token, now, Sent::Other, Command::Trim { position });
        }
        out
    }

    fn append(&mut self, now: u64, out: &mut Vec<(u64, Request)>, token: &mut u64, rng: &mut Rng) {
        let epoch = self.epoch;
        if !self.unacknowledged.is_empty() && now > self.last_send + PATIENCE_MS {
            self.last_send = now;
            for block in self.unacknowledged.clone() {
                self.send(
                    out,
                    token,
                    now,
                    Sent::Append { block: block.clone(), epoch },
                    Command::Append(block),
                );
            }
        }
        if self.unacknowledged.len() >= WINDOW {
            return;
        }
        let Some(builder) = &mut self.builder else { return };
        for _ in 0..rng.between(1, 3) {
            let length = if rng.chance(50) { 5000 } else { rng.between(1, 60) };
            let fill = [rng.next() as u8; 50];
            let body = builder.begin(RecordKind::Effects);
            (0..length.div_ceil(50)).for_each(|_| body.extend_from_slice(&fill));
            builder.commit();
        }
        let block = builder.seal(epoch, now, 1);
        if self.unacknowledged.is_empty() {
            self.last_send = now;
        }
        self.unacknowledged.push_back(block.clone());
        self.send(out, token, now, Sent::Append { block: block.clone(), epoch }, Command::Append(block));
    }

    /// An answer arrived.
    pub fn answered(&mut self, token: u64, result: &Result<Change, Refusal>, model: &mut Model) {
        let Some((sent_at, sent)) = self.sent.remove(&token) else { return };
        let Ok(Change::Applied { outcome, .. }) = result else { return };
        match (sent, outcome) {
            (Sent::Claim { owner_from }, Outcome::Claimed { epoch, tail, chain }) => {
                self.epoch = *epoch;
                self.builder = Some(BlockBuilder::new(self.group, *tail, *chain));
                self.unacknowledged.clear();
                self.lease_until = owner_from + BELIEF_MS;
            }
            (Sent::Append { block, epoch }, Outcome::Appended { .. }) => {
                let Ok(block) = Block::decode(block) else { return };
                model.acknowledged(self.group, &block);
                self.done += 1;
                if epoch == self.epoch {
                    self.acknowledged = self.acknowledged.max(block.last_position());
                    self.unacknowledged.retain(|waiting| waiting != block.bytes());
                    self.lease_until = self.lease_until.max(sent_at + BELIEF_MS);
                }
            }
            (Sent::Renew { epoch }, Outcome::Renewed { .. }) if epoch == self.epoch => {
                self.lease_until = self.lease_until.max(sent_at + BELIEF_MS);
            }
            (Sent::Append { epoch, .. } | Sent::Renew { epoch }, Outcome::Fenced { .. }) => {
                model.fenced += 1;
                if epoch == self.epoch {
                    self.builder = None;
                    self.lease_until = 0;
                }
            }
            _ => {}
        }
    }
}

/// The metadata client: counts up keys, each by compare-and-set on what it last saw.
pub fn meta_turn(now: u64, current: Option<&MetaValue>, rng: &mut Rng) -> Request {
    let expect = if rng.chance(700) { Some(current.map_or(0, |found| found.revision)) } else { None };
    let key = format!("counter/{}", rng.below(4));
    Request::Propose(if rng.chance(100) {
        Command::MetaDelete { key, expect }
    } else {
        Command::MetaPut { key, value: Bytes::from(format!("{now}")), expect }
    })
}
