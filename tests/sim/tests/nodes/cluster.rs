//! Nodes and users over the simulated log: who is told what, what goes wrong with nodes, and how soon all goes on.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use logsvc_raft::{Change, GroupStatus, Refusal, Request};

use crate::model::Model;
use crate::node::{Mistake, Node};
use crate::rng::Rng;
use crate::snapshotter::{Snapshotter, Store};
use crate::user::{History, USERS, User};
use crate::world::{Answered, LEASE_MS, Log, Owners};

const NODES: usize = 3;
/// Two, as when one that stands still was replaced.
const SNAPSHOTTERS: usize = 2;
/// From the end of all faults to the next answered write: the log may have to elect and to rebuild first.
const AFTER_FAULTS_MS: u64 = 6_000;
/// From the kill of a primary, with nothing else wrong, to the next answered write: what is left of the lease by a slow clock, the
/// wait of the last in rank, and some looks and round trips.
const FAILOVER_MS: u64 = LEASE_MS + 400 + 250;

/// What runs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub written: u64,
    pub read: u64,
    pub read_stale: u64,
    pub uncertain: u64,
    pub terms: u64,
    pub lost_terms: u64,
    pub handed_over: u64,
    pub crashes: u64,
    pub pauses: u64,
    pub cuts: u64,
    pub snapshots: u64,
    /// How often a node began with one.
    pub restored: u64,
    /// Longest time from the end of all faults to an answered write.
    pub resumed_ms: u64,
    /// Longest time from the kill of a primary to an answered write.
    pub failover_ms: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.written, other.written),
            (&mut self.read, other.read),
            (&mut self.read_stale, other.read_stale),
            (&mut self.uncertain, other.uncertain),
            (&mut self.terms, other.terms),
            (&mut self.lost_terms, other.lost_terms),
            (&mut self.handed_over, other.handed_over),
            (&mut self.crashes, other.crashes),
            (&mut self.pauses, other.pauses),
            (&mut self.cuts, other.cuts),
            (&mut self.snapshots, other.snapshots),
            (&mut self.restored, other.restored),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.resumed_ms = self.resumed_ms.max(other.resumed_ms);
        self.failover_ms = self.failover_ms.max(other.failover_ms);
    }
}

pub struct Cluster {
    nodes: Vec<Node>,
    users: Vec<User>,
    snapshotters: Vec<Snapshotter>,
    history: History,
    totals: Totals,
    report: Arc<Mutex<Totals>>,
    rng: Rng,
    print: bool,
    healed_at: u64,
    killed_at: u64,
    /// Answers to questions of nodes that come later than others.
    late: Vec<Late>,
}

struct Late {
    due: u64,
    at: usize,
    token: u64,
    result: Result<Change, Refusal>,
    about: Option<GroupStatus>,
}

impl Cluster {
    pub fn new(seed: u64, mistake: Mistake, report: Arc<Mutex<Totals>>, print: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x6e6f_6465);
        // Only differences count, so the run doesn't depend on when it is.
        let base = Instant::now();
        let store = Store::default();
        let mut node = |number| Node::new(number, mistake, base, rng.between(960, 1040), Arc::clone(&store));
        let nodes = (0..NODES).map(&mut node).collect();
        Self {
            nodes,
            users: (0..USERS).map(User::new).collect(),
            snapshotters: (0..SNAPSHOTTERS).map(|_| Snapshotter::new(Arc::clone(&store), mistake)).collect(),
            history: History::default(),
            totals: Totals::default(),
            report,
            rng,
            print,
            healed_at: 0,
            killed_at: 0,
            late: Vec::new(),
        }
    }

    /// Brings what a node has said to whom it concerns.
    fn spread(&mut self, at: usize, now: u64) {
        let news = std::mem::take(&mut self.nodes[at].news);
        for (user, id, said) in news.answers {
            if self.print {
                println!("{now:>7} node {at} to user {user}, {id}: {said:?}");
            }
            let delay = self.rng.between(1, 4);
            self.users[user].mailbox.push((now + delay, id, said));
        }
        self.totals.terms += news.terms;
        self.totals.lost_terms += news.lost_terms;
        if self.print && (news.terms, news.lost_terms) != (0, 0) {
            println!("{now:>7} node {at}: terms {} lost {}", news.terms, news.lost_terms);
        }
        if let Some(to) = news.handed_to {
            self.totals.handed_over += 1;
            // The metadata says so; now and then nobody hears it.
            self.nodes[to].appointed = self.rng.chance(800);
        }
    }

    fn crash(&mut self, at: usize, now: u64, for_ms: u64) {
        self.nodes[at].crash(now + for_ms);
        self.totals.crashes += 1;
        self.spread(at, now);
    }

    fn primary(&self, now: u64) -> Option<usize> {
        (0..NODES).find(|at| self.nodes[*at].believes_until() > now && !self.nodes[*at].is_down(now))
    }

    /// How soon writes are answered again.
    fn measure(&mut self, now: u64) {
        if self.history.last_write != now {
            return;
        }
        if self.healed_at > 0 && self.totals.resumed_ms == 0 {
            self.totals.resumed_ms = now - self.healed_at;
            let took = self.totals.resumed_ms;
            assert!(took <= AFTER_FAULTS_MS, "no write was answered for {took} ms after all faults");
        }
        // Until then answers of the killed one may be on their way.
        if self.killed_at > 0 && now > self.killed_at + 10 && self.totals.failover_ms == 0 {
            self.totals.failover_ms = now - self.killed_at;
            let took = self.totals.failover_ms;
            assert!(took <= FAILOVER_MS, "a killed primary was followed after {took} ms");
        }
    }

    fn settle(&mut self) {
        self.totals.written = self.history.writes;
        self.totals.read = self.history.reads;
        self.totals.read_stale = self.history.stale_reads;
        self.totals.uncertain = self.history.uncertain;
        self.totals.snapshots = self.snapshotters.iter().map(|snapshotter| snapshotter.made).sum();
        self.totals.restored = self.nodes.iter().map(|node| node.restored).sum();
        *self.report.lock().unwrap() = self.totals.clone();
    }
}

impl Owners for Cluster {
    fn count(&self) -> usize {
        NODES + USERS + SNAPSHOTTERS
    }

    fn pace(&self) -> (u64, u64) {
        (1, 5)
    }

    fn paused_until(&mut self, at: usize) -> &mut u64 {
        match at.checked_sub(NODES) {
            None => &mut self.nodes[at].paused_until,
            Some(user) if user < USERS => &mut self.users[user].paused_until,
            Some(other) => &mut self.snapshotters[other - USERS].paused_until,
        }
    }

    fn beliefs(&self) -> Vec<(String, u64)> {
        self.nodes.iter().map(|node| (node.name.clone(), node.believes_until())).collect()
    }

    fn turn(
        &mut self,
        at: usize,
        now: u64,
        log: &Log<'_>,
        token: &mut u64,
        rng: &mut Rng,
    ) -> Vec<(u64, Request)> {
        let Some(user) = at.checked_sub(NODES) else {
            let (due, late) =
                std::mem::take(&mut self.late).into_iter().partition(|late| late.at == at && late.due <= now);
            self.late = late;
            let due: Vec<Late> = due;
            for Late { token, result, about, .. } in due {
                self.nodes[at].answered(now, token, &result, about.as_ref(), None);
            }
            let asked = self.nodes[at].turn(now, log, token, rng);
            self.spread(at, now);
            return asked;
        };
        if let Some(at) = user.checked_sub(USERS) {
            return self.snapshotters[at].turn(now, log, token, rng).into_iter().collect();
        }
        let asked = self.users[user].turn(now, NODES, &mut self.history, rng);
        self.measure(now);
        if let Some((node, asked)) = asked {
            if self.print {
                println!("{now:>7} user {user}, {} to node {node}: {}", asked.id, asked.line);
            }
            if self.nodes[node].is_down(now) {
                // The connection is refused: certainly not run.
                let said = crate::node::Said::Loading;
                self.users[user].mailbox.push((now + 10, asked.id, said));
            } else {
                let delay = self.rng.between(1, 6);
                self.nodes[node].inbox.push((now + delay, asked));
            }
        }
        Vec::new()
    }

    fn answered(&mut self, now: u64, answer: &Answered<'_>, model: &mut Model) {
        let Answered { at, token, result, about } = answer;
        if let Some(at) = at.checked_sub(NODES + USERS) {
            return self.snapshotters[at].answered(*token, *about);
        }
        let node = &mut self.nodes[*at];
        if self.healed_at == 0 && node.has_asked(*token) && self.rng.chance(100) {
            let due = now + self.rng.between(20, 240);
            let (result, about) = ((*result).clone(), about.cloned());
            return self.late.push(Late { due, at: *at, token: *token, result, about });
        }
        node.answered(now, *token, result, *about, Some(model));
        self.spread(*at, now);
    }

    fn chaos(&mut self, now: u64, rng: &mut Rng) -> Option<&'static str> {
        // Seldom enough that terms begin in between.
        if rng.chance(500) {
            return None;
        }
        // The primary is hit more often than others.
        let any = rng.below(NODES as u64) as usize;
        let at = if rng.chance(500) { self.primary(now).unwrap_or(any) } else { any };
        match rng.below(10) {
            8 => {
                let at = rng.below(SNAPSHOTTERS as u64) as usize;
                self.snapshotters[at].crash(now + rng.between(20, 800));
                Some("crash of a snapshotter")
            }
            9 => {
                let at = rng.below(SNAPSHOTTERS as u64) as usize;
                self.snapshotters[at].paused_until = now + rng.between(50, 1_200);
                Some("pause of a snapshotter")
            }
            0 | 1 => {
                let for_ms = rng.between(20, 800);
                self.crash(at, now, for_ms);
                Some("crash of a node")
            }
            2 | 3 => {
                // Longer than a lease, mostly.
                self.nodes[at].paused_until = now + rng.between(50, 1_200);
                self.totals.pauses += 1;
                Some("pause of a node")
            }
            4 => {
                self.nodes[at].cut_until = now + rng.between(50, 1_000);
                self.totals.cuts += 1;
                Some("node cut from the log")
            }
            5 => {
                let at =
                    (0..NODES).map(|step| (any + step) % NODES).find(|at| self.primary(now) != Some(*at))?;
                self.nodes[at].stalled_until = now + rng.between(100, 1_000);
                Some("reads of a node stall")
            }
            _ => {
                let at = self.primary(now)?;
                let to = (at + 1 + rng.below(NODES as u64 - 1) as usize) % NODES;
                self.nodes[at].hand_over = Some(to);
                Some("hand-over")
            }
        }
    }

    fn heal(&mut self, now: u64) {
        self.healed_at = now;
        for node in &mut self.nodes {
            node.cut_until = 0;
            node.stalled_until = 0;
            node.hand_over = None;
            node.paused_until = node.paused_until.min(now);
            node.down_until = node.down_until.min(now + 1);
        }
        self.users.iter_mut().for_each(|user| user.paused_until = now);
        for snapshotter in &mut self.snapshotters {
            snapshotter.paused_until = snapshotter.paused_until.min(now);
            snapshotter.down_until = snapshotter.down_until.min(now + 1);
        }
    }

    fn done(&self) -> u64 {
        self.history.writes
    }

    /// All goes on: then a primary is killed, and another one has to follow soon.
    fn is_content(&mut self, now: u64) -> bool {
        let wrote = self.history.last_write;
        if self.killed_at == 0 {
            if let Some(primary) = self.primary(now).filter(|_| wrote + 50 > now) {
                self.killed_at = now;
                self.crash(primary, now, 20_000);
            }
            return false;
        }
        self.settle();
        self.totals.failover_ms > 0
    }
}
