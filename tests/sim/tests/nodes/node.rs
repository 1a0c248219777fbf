//! One simulated process of a node: a shard with its store and commands, a candidate or an incumbent, a way into the log; what
//! `keeper`, `follow` and the worker do in production is done here by turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position};
use logsvc_client::{AppendWindow, Appender, Claimed, LogError, Progress, ShardDescription};
use logsvc_raft::{Change, Claim, Command, GroupStatus, Outcome, Refusal, Request, Role as LogRole};
use parking_lot::Mutex;
use proxy_resp::{OwnedArgs, Protocol, Reply};
use proxy_shard::election::{Candidate, Duty, Hand, Incumbent, Pursuit, Standing, Verdict};
use proxy_shard::{Replayer, Role, Shard, ShardConfig};

use crate::model::Model;
use crate::rng::Rng;
use crate::snapshotter::Store;
use crate::world::{LEASE_MS, Log};

/// What a node is told or asked that takes longer is taken as lost.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time without a word about an append after which all of them are sent again.
const RESEND_MS: u64 = 60;
const READ_BLOCKS: usize = 8;
const UNIX_MS: i64 = 1_700_000_000_000;

/// A mistake built in on purpose, to prove that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    None,
    /// Reads are served without a look at the lease.
    ReadsBeyondTheLease,
    /// A claim is sent without having read the log to its end.
    ClaimsWithoutTheLog,
    /// A renewal that was sent counts, answered or not.
    BelievesInWhatItSent,
    /// Writes are answered at once.
    AnswersBeforeItIsDurable,
    /// When a term is lost, those who still wait are answered as if all was well.
    AnswersWhatWasLost,
    /// A replica that has begun from nothing again shows what it has so far.
    ShowsWhatItHasSoFar,
    /// The log is trimmed when the segments are written, before the manifest names them.
    TrimsBeforeTheManifest,
    /// A snapshot lacks the last block that it says it has.
    SnapshotLacksABlock,
    /// A node that begins takes the log from where it begins, as if nothing had been before.
    BeginsBehindTheTrim,
}

/// What a user asks of a node.
#[derive(Clone, Debug)]
pub struct Asked {
    pub user: usize,
    pub id: u64,
    pub line: String,
    pub writes: bool,
    /// A replica may answer, too.
    pub stale: bool,
}

/// What a user is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// In RESP.
    Reply(Vec<u8>),
    /// A replica's answer, and which of its lives it is in: with each it begins from nothing.
    Stale(Vec<u8>, u64),
    /// It has not run.
    Loading,
    /// It may have run, or the connection broke.
    Uncertain,
}

/// What became of a turn, for the cluster.
#[derive(Default)]
pub struct News {
    pub answers: Vec<(usize, u64, Said)>,
    pub terms: u64,
    pub lost_terms: u64,
    pub handed_to: Option<usize>,
}

enum Life {
    Follows(Candidate),
    Serves(Incumbent),
}

enum Sent {
    Look,
    Claim { position: Position, chain: u64 },
    Renew,
    Release,
    Append { window: Arc<AppendWindow>, block: Bytes },
}

/// The question that is open: its token, and when it is given up.
struct Open {
    token: u64,
    until: Instant,
}

/// Blocks leave it with the next turn.
struct Outbox {
    window: Arc<AppendWindow>,
    blocks: Arc<Mutex<Vec<Bytes>>>,
}

impl Appender for Outbox {
    fn append(&mut self, block: Bytes) {
        self.window.push(block, |block| self.blocks.lock().push(block));
    }

    fn progress(&self) -> &Arc<Progress> {
        self.window.progress()
    }
}

pub struct Node {
    pub name: String,
    number: usize,
    mistake: Mistake,
    config: ShardConfig,
    base: Instant,
    /// How fast its clock runs, in thousandths.
    rate: u64,
    pub shard: Shard,
    life: Life,
    open: Option<Open>,
    sent: BTreeMap<u64, (Instant, Sent)>,
    window: Option<(Arc<AppendWindow>, Arc<Mutex<Vec<Bytes>>>)>,
    resent_at: u64,
    gave_away: Epoch,
    /// Rises each time that it begins anew.
    lives: u64,
    snapshots: Store,
    /// It loads a snapshot until then.
    loads_until: u64,
    /// How often it began with a snapshot.
    pub restored: u64,
    /// Users who wait until a position is durable.
    waiting: Vec<(Position, usize, u64, Vec<u8>)>,
    pub inbox: Vec<(u64, Asked)>,
    pub paused_until: u64,
    pub down_until: u64,
    pub cut_until: u64,
    /// The log replica next to it shows nothing new until then.
    pub stalled_until: u64,
    /// The cluster wants the shard to go there, or to come here.
    pub hand_over: Option<usize>,
    pub appointed: bool,
    pub news: News,
}

fn config(name: &str) -> ShardConfig {
    let lease = Duration::from_millis(LEASE_MS);
    ShardConfig { owner: name.to_owned(), lease, lease_margin: lease / 10, ..ShardConfig::default() }
}

impl Node {
    pub fn new(number: usize, mistake: Mistake, base: Instant, rate: u64, snapshots: Store) -> Self {
        let name = format!("node-{number}");
        let config = config(&name);
        Self {
            number,
            mistake,
            shard: Shard::new(0, config.clone(), Arc::default()),
            life: Life::Follows(Candidate::new(0, &config, 0)),
            name,
            config,
            base,
            rate,
            open: None,
            sent: BTreeMap::new(),
            window: None,
            resent_at: 0,
            gave_away: 0,
            lives: 0,
            snapshots,
            loads_until: 0,
            restored: 0,
            waiting: Vec::new(),
            inbox: Vec::new(),
            paused_until: 0,
            down_until: 1,
            cut_until: 0,
            stalled_until: 0,
            hand_over: None,
            appointed: false,
            news: News::default(),
        }
    }

    /// Its monotonic clock.
    fn instant(&self, now: u64) -> Instant {
        self.base + Duration::from_micros(now * self.rate)
    }

    /// Until when it would serve, in the world's time.
    pub fn believes_until(&self) -> u64 {
        let until = self.shard.lease_until().filter(|_| self.shard.role() == Role::Primary);
        let passed = until.map_or(0, |until| until.saturating_duration_since(self.base).as_micros() as u64);
        passed / self.rate
    }

    pub fn is_down(&self, now: u64) -> bool {
        now < self.down_until
    }

    /// The process ends, and everybody who waits for it hears that.
    pub fn crash(&mut self, until: u64) {
        let gone = self.waiting.drain(..).map(|(_, user, id, _)| (user, id));
        let asked = self.inbox.drain(..).map(|(_, asked)| (asked.user, asked.id));
        self.news.answers.extend(gone.chain(asked).map(|(user, id)| (user, id, Said::Uncertain)));
        self.shard = Shard::new(0, self.config.clone(), Arc::default());
        self.life = Life::Follows(Candidate::new(0, &self.config, 0));
        self.open = None;
        self.sent.clear();
        self.window = None;
        self.gave_away = 0;
        self.hand_over = None;
        self.down_until = until.max(1);
        self.paused_until = 0;
    }

    /// What it does now, and what it asks of the log.
    pub fn turn(&mut self, now: u64, log: &Log<'_>, token: &mut u64, rng: &mut Rng) -> Vec<(u64, Request)> {
        let mut out = Vec::new();
        if self.is_down(now) {
            return out;
        }
        if self.down_until > 0 {
            self.down_until = 0;
            self.follow_anew();
            self.loads_until = now + rng.between(0, 60);
        }
        let at = self.instant(now);
        self.shard.set_clock(at, UNIX_MS + now as i64);
        // Sockets and timers of a process that wakes come in any order.
        if rng.chance(500) {
            self.run_commands(now);
            self.live(now, at, log, token, &mut out);
        } else {
            self.live(now, at, log, token, &mut out);
            self.run_commands(now);
        }
        self.shard.flush(false);
        self.hear_log();
        self.send_blocks(now, at, token, &mut out);
        if now < self.cut_until {
            out.clear();
        }
        out
    }

    fn follow_anew(&mut self) {
        self.lives += u64::from(self.mistake != Mistake::ShowsWhatItHasSoFar);
        let snapshot = self.snapshots.lock().clone();
        self.restored += u64::from(snapshot.position > 0);
        self.shard.follow(match self.mistake {
            Mistake::BeginsBehindTheTrim => {
                let mut data = Replayer::new(self.config.limits.clone());
                (data.position, data.chain) = (snapshot.position, snapshot.chain);
                data
            }
            _ => snapshot.load(&self.config.limits),
        });
        self.life = Life::Follows(Candidate::new(0, &self.config, self.gave_away));
        self.open = None;
        self.window = None;
    }

    /// Runs what users have sent.
    fn run_commands(&mut self, now: u64) {
        let mut due: Vec<(u64, Asked)> = Vec::new();
        self.inbox.retain(|(at, asked)| {
            let is_due = *at <= now;
            if is_due {
                due.push((*at, asked.clone()));
            }
            !is_due
        });
        for (_, Asked { user, id, line, writes, stale }) in due {
            let careless = self.mistake == Mistake::ReadsBeyondTheLease && !writes;
            let replica = stale && self.shard.admits_stale_reads();
            let admitted =
                replica || self.shard.admit(writes).is_ok() || careless && self.shard.role() == Role::Primary;
            if !admitted {
                self.news.answers.push((user, id, Said::Loading));
                continue;
            }
            let args: OwnedArgs = line.split(' ').collect();
            let row = proxy_engine::resolve(args.as_args()).expect("a known command");
            let mut reply = Reply::new(Protocol::Resp2);
            let ran = self.shard.run(row, args.as_args(), 0, None, &mut reply);
            if replica {
                assert_eq!(ran.gate, 0, "a replica shows what isn't durable");
                self.news.answers.push((user, id, Said::Stale(reply.take(), self.lives)));
            } else if ran.gate > 0 && self.mistake != Mistake::AnswersBeforeItIsDurable {
                self.waiting.push((ran.gate, user, id, reply.take()));
            } else {
                self.news.answers.push((user, id, Said::Reply(reply.take())));
            }
        }
    }

    /// The committer's part: what has become durable is answered, and a term that the log refuses ends.
    fn hear_log(&mut self) {
        let failure = self.shard.poll_log(Waker::noop());
        let durable = self.shard.durable();
        let (ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(gate, ..)| *gate <= durable);
        self.waiting = waiting;
        self.news
            .answers
            .extend(ready.into_iter().map(|(_, user, id, reply)| (user, id, Said::Reply(reply))));
        if let Some(error) = failure {
            self.lose_term(&error.to_string());
        }
    }

    fn lose_term(&mut self, why: &str) {
        self.shard.demote(why);
        let careless = self.mistake == Mistake::AnswersWhatWasLost;
        let lost = self.waiting.drain(..).map(|(_, user, id, reply)| {
            let said = if careless { Said::Reply(reply) } else { Said::Uncertain };
            (user, id, said)
        });
        self.news.answers.extend(lost);
        self.news.lost_terms += 1;
        self.gave_away = 0;
        self.follow_anew();
    }

    fn live(&mut self, now: u64, at: Instant, log: &Log<'_>, token: &mut u64, out: &mut Vec<(u64, Request)>) {
        let late = self.open.as_ref().is_some_and(|open| at >= open.until);
        if late && let Some(open) = self.open.take() {
            let sent = self.sent.remove(&open.token);
            self.unanswered(at, sent);
        }
        match &mut self.life {
            Life::Follows(_) => self.pursue(now, at, log, token, out),
            Life::Serves(incumbent) => {
                if self.open.is_some() && self.shard.role() != Role::Demoted {
                    return;
                }
                let hand = Hand {
                    role: self.shard.role(),
                    lease_until: self.shard.lease_until(),
                    settled: self.shard.tail_gate() == 0,
                };
                let wish = &mut self.hand_over;
                let duty = incumbent.due(at, hand, || wish.take().map(|to| format!("node-{to}")));
                self.carry_out(at, duty, token, out);
            }
        }
    }

    fn carry_out(&mut self, at: Instant, duty: Duty, token: &mut u64, out: &mut Vec<(u64, Request)>) {
        let epoch = self.shard.epoch().unwrap_or(0);
        match duty {
            Duty::Wait(_) => {}
            Duty::Settle(_) => self.shard.flush(false),
            Duty::Drain => self.shard.drain(),
            Duty::Renew(patience) => {
                if self.mistake == Mistake::BelievesInWhatItSent {
                    self.shard.renewed(at + self.config.lease - self.config.lease_margin);
                }
                let request = Request::Propose(Command::Renew { epoch });
                self.ask(at, patience, Sent::Renew, request, token, out);
            }
            Duty::Release(patience) => {
                let request = Request::Propose(Command::Release { epoch });
                self.ask(at, patience, Sent::Release, request, token, out);
            }
            Duty::HandedTo(to) => {
                self.shard.step_down();
                self.gave_away = epoch;
                self.life = Life::Follows(Candidate::new(0, &self.config, epoch));
                self.window = None;
                self.news.handed_to = to.strip_prefix("node-").and_then(|number| number.parse().ok());
            }
            Duty::Lost(why) => self.lose_term(&why),
        }
    }

    fn ask(
        &mut self,
        at: Instant,
        patience: Duration,
        sent: Sent,
        request: Request,
        token: &mut u64,
        out: &mut Vec<(u64, Request)>,
    ) {
        *token += 1;
        self.sent.insert(*token, (at, sent));
        self.open = Some(Open { token: *token, until: at + patience });
        out.push((*token, request));
    }

    /// A candidate's turn; meanwhile it reads.
    fn pursue(
        &mut self,
        now: u64,
        at: Instant,
        log: &Log<'_>,
        token: &mut u64,
        out: &mut Vec<(u64, Request)>,
    ) {
        let claims = self.open.as_ref().and_then(|open| self.sent.get(&open.token));
        if !matches!(claims, Some((_, Sent::Claim { .. })))
            && now >= self.cut_until.max(self.stalled_until).max(self.loads_until)
            && !self.read(log)
        {
            // What it holds isn't what the log holds.
            return self.follow_anew();
        }
        if self.open.is_some() {
            return;
        }
        let Life::Follows(candidate) = &mut self.life else { return };
        let (position, chain) = (self.shard.tail(), self.shard.chain());
        match candidate.due(at, position) {
            Pursuit::Wait(_) => {}
            Pursuit::Look => self.ask(at, PATIENCE, Sent::Look, Request::ReadIndex, token, out),
            Pursuit::CatchUp(tail) if self.mistake == Mistake::ClaimsWithoutTheLog => {
                let Pursuit::Claim(claim) = candidate.due(at, tail) else { return };
                self.send_claim(at, claim, (tail, 0), token, out);
            }
            Pursuit::CatchUp(_) => {}
            Pursuit::Claim(claim) => self.send_claim(at, claim, (position, chain), token, out),
        }
    }

    fn send_claim(
        &mut self,
        at: Instant,
        claim: logsvc_client::Claim,
        (position, chain): (Position, u64),
        token: &mut u64,
        out: &mut Vec<(u64, Request)>,
    ) {
        let request = Request::Propose(Command::Claim(Claim {
            expected_epoch: claim.expected_epoch,
            expected_tail: claim.expected_tail,
            owner: claim.owner,
            lease_ms: claim.lease_ms,
        }));
        self.ask(at, PATIENCE, Sent::Claim { position, chain }, request, token, out);
    }

    /// Reads on from the log replica next to it. False when the log doesn't continue what it holds.
    fn read(&mut self, log: &Log<'_>) -> bool {
        let from = self.shard.tail() + 1;
        // Any of the five machines; those without the log have nothing.
        let near = [self.number, self.number + 1, self.number + 2, self.number + 3, self.number + 4];
        let found =
            near.iter().find_map(|at| log.blocks(at % 5, from, READ_BLOCKS).filter(|b| !b.is_empty()));
        found.unwrap_or_default().iter().all(|block| self.shard.apply_log(block).is_ok())
    }

    /// No answer came, or none that says anything.
    fn unanswered(&mut self, at: Instant, sent: Option<(Instant, Sent)>) {
        let Some((when, sent)) = sent else { return };
        let unknown = || LogError::Uncertain("no answer".into());
        match (&mut self.life, sent) {
            (Life::Follows(candidate), Sent::Look) => {
                candidate.looked(at, None, Standing::default());
            }
            (Life::Follows(candidate), Sent::Claim { position, chain }) => {
                candidate.claimed(at, (when, position, chain), Err(unknown()));
            }
            (Life::Serves(incumbent), Sent::Renew) => {
                incumbent.renewed(at, when, None);
            }
            (Life::Serves(incumbent), Sent::Release) => incumbent.released(),
            _ => {}
        }
    }

    /// An answer of the log.
    pub fn answered(
        &mut self,
        now: u64,
        token: u64,
        result: &Result<Change, Refusal>,
        about: Option<&GroupStatus>,
        model: Option<&mut Model>,
    ) {
        let Some((when, sent)) = self.sent.remove(&token) else { return };
        if self.is_down(now) || now < self.cut_until {
            return drop(self.sent.insert(token, (when, sent)));
        }
        let at = self.instant(now);
        self.shard.set_clock(at, UNIX_MS + now as i64);
        if let Sent::Append { window, block } = sent {
            if let Some(model) = model {
                self.appended(&window, &block, result, model);
            }
            return;
        }
        // What was given up counts no more.
        if self.open.take_if(|open| open.token == token).is_none() {
            return;
        }
        let outcome = match result {
            Ok(Change::Applied { outcome, .. }) => Ok(outcome),
            Ok(_) => Ok(&Outcome::Blank),
            Err(refusal) => Err(refusal),
        };
        let standing = Standing { appointed: self.appointed, rank: self.number as u32 };
        match (&mut self.life, sent) {
            (Life::Follows(candidate), Sent::Look) => {
                let about = about.filter(|status| status.role == LogRole::Leader).and_then(describe);
                candidate.looked(at, about.as_ref(), standing);
            }
            (Life::Follows(candidate), Sent::Claim { position, chain }) => {
                let outcome = claim_outcome(outcome);
                let chain = match &outcome {
                    Ok(claimed) if self.mistake == Mistake::ClaimsWithoutTheLog => claimed.chain,
                    _ => chain,
                };
                let verdict = candidate.claimed(at, (when, position, chain), outcome);
                self.judge(at, verdict);
            }
            (Life::Serves(incumbent), Sent::Renew) => {
                let answer = match outcome {
                    Ok(Outcome::Fenced { epoch }) => Err(LogError::Fenced { epoch: *epoch }),
                    Ok(Outcome::Renewed { .. }) => Ok(()),
                    _ => Err(LogError::Unavailable(String::new())),
                };
                if let Some(until) = incumbent.renewed(at, when, Some(&answer)) {
                    self.shard.renewed(until);
                }
            }
            (Life::Serves(incumbent), Sent::Release) => incumbent.released(),
            _ => {}
        }
    }

    /// The answer with this token is to a question, not to an append.
    pub fn has_asked(&self, token: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.token == token)
    }

    fn judge(&mut self, at: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Won { epoch, lease_until } => {
                let window = Arc::new(AppendWindow::new(0, epoch, false));
                let blocks = Arc::<Mutex<Vec<Bytes>>>::default();
                let outbox = Outbox { window: Arc::clone(&window), blocks: Arc::clone(&blocks) };
                self.shard.promote(epoch, Box::new(outbox), lease_until);
                self.window = Some((window, blocks));
                self.life = Life::Serves(Incumbent::new(0, &self.config, at));
                self.appointed = false;
                self.hand_over = None;
                self.news.terms += 1;
            }
            Verdict::GoOn => {}
            Verdict::Diverged(_) | Verdict::Failed(_) => self.follow_anew(),
        }
    }

    fn appended(
        &mut self,
        window: &AppendWindow,
        block: &Bytes,
        result: &Result<Change, Refusal>,
        model: &mut Model,
    ) {
        let block = Block::decode(block.clone()).expect("its own block");
        match result {
            Ok(Change::Applied { outcome: Outcome::Appended { last, .. }, .. }) => {
                model.acknowledged(0, &block);
                window.acknowledge(*last);
            }
            Ok(Change::Applied { outcome: Outcome::Fenced { epoch }, .. }) => {
                model.fenced += 1;
                window.refuse(LogError::Fenced { epoch: *epoch });
            }
            Ok(Change::Applied { outcome: Outcome::Gap { tail, .. }, .. }) => {
                let got = block.header.first_position;
                window.refuse(LogError::Gap { expected: tail + 1, got });
            }
            _ => window.interrupt(),
        }
    }

    /// Sends what the shard has handed over, and again what may be lost.
    fn send_blocks(&mut self, now: u64, at: Instant, token: &mut u64, out: &mut Vec<(u64, Request)>) {
        let Some((window, blocks)) = &self.window else { return };
        let mut blocks = blocks.lock();
        if window.progress().in_flight_bytes() > 0 && now >= self.resent_at + RESEND_MS {
            // What is on its way may be lost; as if the connection had been opened anew.
            self.resent_at = now;
            blocks.clear();
            window.resend(|block| blocks.push(block));
        }
        for block in blocks.drain(..) {
            *token += 1;
            let sent = Sent::Append { window: Arc::clone(window), block: block.clone() };
            self.sent.insert(*token, (at, sent));
            out.push((*token, Request::Propose(Command::Append(block))));
        }
        while self.sent.len() > 500 {
            self.sent.pop_first();
        }
    }
}

fn describe(status: &GroupStatus) -> Option<ShardDescription> {
    let shard = status.shard.as_ref()?;
    Some(ShardDescription {
        shard: 0,
        epoch: shard.epoch,
        owner: Some(shard.owner.clone()).filter(|owner| !owner.is_empty()),
        lease_ms: shard.lease_ms,
        lease_remaining_ms: status.lease_remaining_ms,
        tail: shard.tail,
        chain: shard.chain,
        ..ShardDescription::default()
    })
}

fn claim_outcome(outcome: Result<&Outcome, &Refusal>) -> Result<Claimed, LogError> {
    match outcome {
        Ok(Outcome::Claimed { epoch, tail, chain }) => {
            Ok(Claimed { epoch: *epoch, tail: *tail, chain: *chain })
        }
        Ok(Outcome::Conflict { epoch, .. }) => Err(LogError::Conflict { expected: 0, found: *epoch }),
        Err(Refusal::LeaseHeld { owner, remaining_ms }) => {
            Err(LogError::LeaseHeld { owner: owner.clone(), remaining_ms: *remaining_ms })
        }
        Err(Refusal::Uncertain) => Err(LogError::Uncertain(String::new())),
        _ => Err(LogError::Unavailable(String::new())),
    }
}
