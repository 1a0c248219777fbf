//! A node's part in the election for one shard, as values without thread, clock, log or socket: whoever drives them asks what is
//! due, does it, and reports what came of it, each time with the time. In production that is `follow` and `keeper`; in the
//! simulation (`tests/sim`) events in an order that follows from a seed.
//!
//! ```text
//!   Candidate   look --not free--> wait ... look --free--> wait by rank, look again --> catch up --> claim --won--> Incumbent
//!   Incumbent   wait --> renew --> wait ...  lease out, or refused: lost
//!                                  told to hand over: drain --> settle --> release: handed over
//! ```
//! The log's leader counts a lease from when it saw what extended it, an incumbent from before it sent that, and less a margin for
//! clocks that differ: so nobody can claim before the incumbent has stopped believing in its lease.

use std::time::{Duration, Instant};

use logsvc_api::{Epoch, Position, ShardId};
use logsvc_client::{Claim, Claimed, LogError, ShardDescription};

use crate::{Role, ShardConfig};

/// First and longest pause between attempts to reach the log.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// What each place behind the first waits longer before it claims.
const RANK_STEP: Duration = Duration::from_millis(200);
/// How long a shard that was handed to another node is left to it.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(2);
/// Longest time between two looks at the lease.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether all that was written is durable, while a shard is handed over.
const SETTLE_EVERY: Duration = Duration::from_millis(1);

/// What an election needs to know of a node.
#[derive(Debug, Clone)]
struct Terms {
    shard: ShardId,
    owner: String,
    lease: Duration,
    /// What the owner believes in: the lease less the margin.
    belief: Duration,
}

impl Terms {
    fn new(shard: ShardId, config: &ShardConfig) -> Self {
        let belief = config.lease.saturating_sub(config.lease_margin);
        Self { shard, owner: config.owner.clone(), lease: config.lease, belief }
    }
}

/// What a candidate does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pursuit {
    /// Nothing until then, unless what the cluster wants changes; that is told by [`Candidate::reconsider`].
    Wait(Instant),
    /// Ask the log's leader about the shard: [`Candidate::looked`].
    Look,
    /// Read and apply the log up to this position. If that can't be done now: [`Candidate::give_up`].
    CatchUp(Position),
    /// Send this claim: [`Candidate::claimed`].
    Claim(Claim),
}

/// Whose turn it is to claim a shard that is free.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    /// It was handed to this node.
    pub appointed: bool,
    /// The node's place among those who should try, 0 the first.
    pub rank: u32,
}

/// What came of a claim.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The shard is this node's until then, at first.
    Won {
        /// Epoch of the new term.
        epoch: Epoch,
        /// End of what it may believe in.
        lease_until: Instant,
    },
    /// Go on asking [`Candidate::due`].
    GoOn,
    /// What this node holds isn't what the log holds: it is useless.
    Diverged(String),
    /// The log refused for another reason.
    Failed(LogError),
}

enum Stage {
    Look {
        at: Option<Instant>,
    },
    /// It was free then; others come first until `turn`. It looks again `at`, because they may have come and be gone.
    Turn {
        epoch: Epoch,
        own: bool,
        turn: Instant,
        at: Instant,
    },
    /// It is this node's turn, once it has the log up to `tail`.
    CatchUp {
        epoch: Epoch,
        tail: Position,
    },
}

/// A follower that may become the primary.
pub struct Candidate {
    terms: Terms,
    /// The epoch that this node has given away, 0 for none: others come first.
    gave_away: Epoch,
    /// A record that only a newer version understands is next: it can't be caught up with.
    stuck: bool,
    pause: Duration,
    stage: Stage,
}

impl Candidate {
    /// A follower that looks at once. `gave_away`: the epoch that it has handed over, 0 for none.
    pub fn new(shard: ShardId, config: &ShardConfig, gave_away: Epoch) -> Self {
        let terms = Terms::new(shard, config);
        Self { terms, gave_away, stuck: false, pause: RETRY_FIRST, stage: Stage::Look { at: None } }
    }

    /// A record of a newer version is next: it looks at the log, but never claims.
    pub fn get_stuck(&mut self) {
        self.stuck = true;
    }

    /// What to do at `now`, with the log applied up to `position`.
    pub fn due(&self, now: Instant, position: Position) -> Pursuit {
        match self.stage {
            Stage::Look { at: Some(at) } | Stage::Turn { at, .. } if now < at => Pursuit::Wait(at),
            Stage::Look { .. } | Stage::Turn { .. } => Pursuit::Look,
            Stage::CatchUp { tail, .. } if position < tail => Pursuit::CatchUp(tail),
            Stage::CatchUp { epoch, .. } => Pursuit::Claim(Claim {
                shard: self.terms.shard,
                owner: self.terms.owner.clone(),
                lease_ms: self.terms.lease.as_millis() as u64,
                expected_epoch: epoch,
                expected_tail: position,
            }),
        }
    }

    /// What the cluster wants has changed: it looks at once.
    pub fn reconsider(&mut self) {
        if matches!(self.stage, Stage::Look { .. } | Stage::Turn { .. }) {
            self.stage = Stage::Look { at: None };
        }
    }

    /// It can't catch up now, or no answer came: it looks again.
    pub fn give_up(&mut self) {
        self.stage = Stage::Look { at: None };
    }

    /// What the log's leader said; `None`: it could not be asked.
    pub fn looked(&mut self, now: Instant, about: Option<&ShardDescription>, standing: Standing) {
        let Some(about) = about else {
            self.stage = match self.stage {
                Stage::Turn { .. } => Stage::Look { at: None },
                _ => Stage::Look { at: Some(now + self.pause) },
            };
            // Never much longer than between looks that succeed, or a failover waits for the next one.
            self.pause = (self.pause * 2).min(self.look_every().max(RETRY_FIRST));
            return;
        };
        self.pause = RETRY_FIRST;
        let left = Duration::from_millis(about.lease_remaining_ms);
        let own = about.owner.as_deref() == Some(&*self.terms.owner);
        let ready = Stage::CatchUp { epoch: about.epoch, tail: about.tail };
        if let Stage::Turn { epoch, own, turn, .. } = self.stage
            && about.epoch == epoch
            && (own || left.is_zero())
            && !self.stuck
        {
            // Still so after all that time? Then nobody who comes first wants it.
            let wait = Stage::Turn { epoch, own, turn, at: turn.min(now + self.look_every()) };
            self.stage = if now >= turn { ready } else { wait };
            return;
        }
        if self.stuck {
            self.stage = Stage::Look { at: Some(now + LOOK_EVERY) };
        } else if about.epoch == 0 || own || left.is_zero() {
            let turn = self.turn(about.epoch, own, standing);
            let at = now + turn.min(self.look_every());
            let wait = Stage::Turn { epoch: about.epoch, own, turn: now + turn, at };
            self.stage = if turn.is_zero() { ready } else { wait };
        } else {
            // Soon after it may have run out: 1 ms more than is left, because it is rounded down.
            let nap = (left + Duration::from_millis(1)).min(self.look_every());
            self.stage = Stage::Look { at: Some(now + nap) };
        }
    }

    /// A few times in a lease.
    fn look_every(&self) -> Duration {
        (self.terms.lease / 4).clamp(Duration::from_millis(20), LOOK_EVERY)
    }

    /// How long others come first.
    fn turn(&self, epoch: Epoch, own: bool, standing: Standing) -> Duration {
        if standing.appointed {
            return Duration::ZERO;
        }
        if self.gave_away != 0 && epoch == self.gave_away {
            return LEFT_TO_OTHERS;
        }
        // Its own epoch before a restart, or a claim whose answer was lost: nobody else may have it before its lease ends.
        if own { Duration::ZERO } else { RANK_STEP * standing.rank }
    }

    /// What became of the claim that was sent at `sent`, with the log applied up to a position and the checksum chain there.
    pub fn claimed(
        &mut self,
        now: Instant,
        (sent, position, chain): (Instant, Position, u64),
        outcome: Result<Claimed, LogError>,
    ) -> Verdict {
        self.stage = Stage::Look { at: None };
        match outcome {
            Ok(claimed) if claimed.tail != position || claimed.chain != chain => {
                Verdict::Diverged(format!("the claim was granted at position {}", claimed.tail))
            }
            // Granted after a long wait: too little of the lease is left to begin with it. It is our own now, so the next
            // claim comes at once.
            Ok(_) if now.saturating_duration_since(sent) * 2 > self.terms.lease => Verdict::GoOn,
            Ok(claimed) => Verdict::Won { epoch: claimed.epoch, lease_until: sent + self.terms.belief },
            Err(LogError::Conflict { .. } | LogError::LeaseHeld { .. }) => Verdict::GoOn,
            Err(LogError::Unavailable(_) | LogError::Uncertain(_)) => {
                self.stage = Stage::Look { at: Some(now + RETRY_FIRST) };
                Verdict::GoOn
            }
            Err(error) => Verdict::Failed(error),
        }
    }
}

/// What a primary does next for its term.
#[derive(Debug, PartialEq, Eq)]
pub enum Duty {
    /// Nothing until then, unless the term ends or the cluster wants something.
    Wait(Instant),
    /// Renew the lease, with this much patience: [`Incumbent::renewed`].
    Renew(Duration),
    /// Run nothing more: the shard is to be handed over.
    Drain,
    /// Hand the log what is open, and look again then whether it is durable.
    Settle(Instant),
    /// Give the lease back, with this much patience: [`Incumbent::released`].
    Release(Duration),
    /// The term is over; all that memory holds is in the log, and the shard is that node's.
    HandedTo(String),
    /// The term is over, and memory may hold writes that the log never took.
    Lost(String),
}

/// What an incumbent sees of its shard.
#[derive(Debug, Clone, Copy)]
pub struct Hand {
    /// What the node is for the shard.
    pub role: Role,
    /// End of the lease as far as known; accepted appends extend it, too.
    pub lease_until: Option<Instant>,
    /// All that was written is durable.
    pub settled: bool,
}

/// A primary during its term.
pub struct Incumbent {
    terms: Terms,
    next: Instant,
    to: Option<String>,
    released: bool,
    lost: Option<String>,
}

impl Incumbent {
    /// A term that begins at `now`.
    pub fn new(shard: ShardId, config: &ShardConfig, now: Instant) -> Self {
        let terms = Terms::new(shard, config);
        let next = now + Self::renew_every(&terms);
        Self { terms, next, to: None, released: false, lost: None }
    }

    /// A third would do; the rest is time to find the log's new leader when that has changed.
    fn renew_every(terms: &Terms) -> Duration {
        terms.lease / 4
    }

    /// What to do at `now`. `wish` takes the node that the shard is to be handed to, if there is one.
    pub fn due(&mut self, now: Instant, hand: Hand, wish: impl FnOnce() -> Option<String>) -> Duty {
        if let Some(why) = self.lost.take() {
            return Duty::Lost(why);
        }
        let lost = |why: &str| Duty::Lost(why.to_owned());
        if let Some(to) = &self.to {
            return match hand.lease_until {
                _ if self.released => Duty::HandedTo(to.clone()),
                Some(until) if hand.role == Role::Draining => match () {
                    () if hand.settled => Duty::Release(until.saturating_duration_since(now)),
                    () if now >= until => lost("the lease ran out while the shard was handed over"),
                    () => Duty::Settle(now + SETTLE_EVERY),
                },
                _ => lost("the log refused a block while the shard was handed over"),
            };
        }
        if hand.role != Role::Primary {
            return lost("the log refused a block");
        }
        let Some(until) = hand.lease_until else { return lost("the term has ended") };
        if now >= until {
            return lost("the lease ran out before the log renewed it");
        }
        self.to = wish().filter(|to| *to != self.terms.owner);
        if self.to.is_some() {
            return Duty::Drain;
        }
        if now >= self.next {
            Duty::Renew(until.saturating_duration_since(now))
        } else {
            Duty::Wait(self.next.min(until))
        }
    }

    /// What became of a renewal that was sent at `sent`; `None`: no answer came in time. Returns what the lease is extended to.
    pub fn renewed(
        &mut self,
        now: Instant,
        sent: Instant,
        outcome: Option<&Result<(), LogError>>,
    ) -> Option<Instant> {
        match outcome {
            Some(Ok(())) => {
                self.next = sent + Self::renew_every(&self.terms);
                return Some(sent + self.terms.belief);
            }
            Some(Err(LogError::Fenced { epoch })) => {
                self.lost = Some(format!("epoch {epoch} has begun elsewhere"));
            }
            Some(Err(_)) => self.next = now + RETRY_FIRST,
            None => self.next = now,
        }
        None
    }

    /// The release was answered, or not: whatever became of it, nothing is served under this epoch any more.
    pub fn released(&mut self) {
        self.released = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ShardConfig {
        let (lease, lease_margin) = (Duration::from_secs(1), Duration::from_millis(100));
        ShardConfig { owner: "own".into(), lease, lease_margin, ..ShardConfig::default() }
    }

    fn about(epoch: Epoch, owner: &str, left: u64, tail: Position) -> ShardDescription {
        let owner = Some(owner.to_owned());
        ShardDescription { epoch, owner, lease_remaining_ms: left, tail, ..ShardDescription::default() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nobody_claims_before_the_lease_is_over_and_the_log_is_read() {
        let start = Instant::now();
        let mut candidate = Candidate::new(0, &config(), 0);
        assert_eq!(candidate.due(start, 5), Pursuit::Look);
        candidate.looked(start, Some(&about(3, "other", 40, 7)), Standing::default());
        let later = start + Duration::from_millis(41);
        assert_eq!(candidate.due(start, 5), Pursuit::Wait(later));
        assert_eq!(candidate.due(later, 5), Pursuit::Look);
        candidate.looked(later, Some(&about(3, "other", 0, 7)), Standing::default());
        assert_eq!(candidate.due(later, 5), Pursuit::CatchUp(7));
        let Pursuit::Claim(claim) = candidate.due(later, 7) else { panic!("no claim") };
        assert_eq!((claim.expected_epoch, claim.expected_tail), (3, 7));
        let won = Ok(Claimed { epoch: 4, tail: 7, chain: 70 });
        let lease_until = later + Duration::from_millis(900);
        assert_eq!(
            candidate.claimed(later + Duration::from_millis(300), (later, 7, 70), won),
            Verdict::Won { epoch: 4, lease_until },
            "counted from when it was sent"
        );
    }

    #[test]
    fn who_is_not_first_waits_and_who_differs_restores() {
        let start = Instant::now();
        let mut candidate = Candidate::new(0, &config(), 0);
        let third = Standing { rank: 2, appointed: false };
        candidate.looked(start, Some(&about(3, "other", 0, 7)), third);
        let (again, turn) = (start + SECOND / 4, start + RANK_STEP * 2);
        assert_eq!(candidate.due(start, 7), Pursuit::Wait(again));
        assert_eq!(candidate.due(again, 7), Pursuit::Look);
        candidate.looked(again, Some(&about(3, "other", 0, 7)), third);
        assert_eq!(candidate.due(again, 7), Pursuit::Wait(turn));
        candidate.looked(turn, Some(&about(4, "quicker", 30, 7)), third);
        assert_eq!(candidate.due(turn, 7), Pursuit::Wait(turn + Duration::from_millis(31)));
        candidate.looked(turn, Some(&about(4, "quicker", 0, 7)), Standing { appointed: true, rank: 2 });
        assert!(matches!(candidate.due(turn, 7), Pursuit::Claim(_)));
        let granted = Ok(Claimed { epoch: 5, tail: 7, chain: 71 });
        assert!(matches!(candidate.claimed(turn, (turn, 7, 70), granted), Verdict::Diverged(_)));
    }

    #[test]
    fn a_late_grant_and_a_newer_record_are_not_served() {
        let start = Instant::now();
        let mut candidate = Candidate::new(0, &config(), 0);
        candidate.looked(start, Some(&about(0, "", 0, 0)), Standing::default());
        assert!(matches!(candidate.due(start, 0), Pursuit::Claim(_)));
        let granted = Ok(Claimed { epoch: 1, tail: 0, chain: 1 });
        let late = start + Duration::from_millis(501);
        assert_eq!(candidate.claimed(late, (start, 0, 1), granted), Verdict::GoOn);
        candidate.get_stuck();
        candidate.looked(late, Some(&about(1, "own", 0, 0)), Standing::default());
        assert_eq!(candidate.due(late, 0), Pursuit::Wait(late + LOOK_EVERY));
    }

    #[test]
    fn a_term_ends_with_its_lease_or_in_good_order() {
        let start = Instant::now();
        let hand = |role, settled, until| Hand { role, settled, lease_until: Some(until) };
        let none = || None;
        let mut incumbent = Incumbent::new(0, &config(), start);
        let until = start + SECOND;
        let serving = hand(Role::Primary, true, until);
        let first = start + SECOND / 4;
        assert_eq!(incumbent.due(start, serving, none), Duty::Wait(first));
        assert_eq!(incumbent.due(first, serving, none), Duty::Renew(SECOND * 3 / 4));
        assert_eq!(incumbent.renewed(until, first, Some(&Ok(()))), Some(first + Duration::from_millis(900)));
        assert!(matches!(incumbent.due(until, serving, none), Duty::Lost(_)));
        assert_eq!(incumbent.renewed(start, start, Some(&Err(LogError::Fenced { epoch: 9 }))), None);
        assert!(matches!(incumbent.due(start, serving, none), Duty::Lost(why) if why.contains("epoch 9")));

        let mut incumbent = Incumbent::new(0, &config(), start);
        assert_eq!(incumbent.due(start, serving, || Some("own".into())), Duty::Wait(first));
        assert_eq!(incumbent.due(start, serving, || Some("heir".into())), Duty::Drain);
        let open = hand(Role::Draining, false, until);
        assert_eq!(incumbent.due(start, open, none), Duty::Settle(start + SETTLE_EVERY));
        let done = hand(Role::Draining, true, until);
        assert_eq!(incumbent.due(start, done, none), Duty::Release(SECOND));
        incumbent.released();
        assert_eq!(incumbent.due(start, done, none), Duty::HandedTo("heir".into()));
    }
}
