//! Starting a replica in a process of its own: whether it forms a cluster with the others, goes on, comes back as a newcomer, or waits.
//!
//! A disk goes through the stages empty (0), forming (1), founding (2), member (3), and takes a step only when all others have come
//! far enough: forming when all others are empty or forming; founding when all others are forming at least. So whoever meets a
//! founding member while its own disk is empty knows that its disk was there before and is wiped, or that it comes later; it
//! asks the log which number it has there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use logsvc_client::tcp::{Endpoint, TcpConfig, TcpLog};
use logsvc_client::wire::{Complaint, Hello, LinkTls, Standing};
use logsvc_client::{ROSTER, Roster};
use logsvc_raft::NodeNumber;
use parking_lot::Mutex;

use super::peers::probe;
use super::roster_file;
use crate::StartError;
use crate::identity::{Identity, Stage};
use crate::replica::Birth;

const TOO_FEW: &str =
    "refusing to serve: this disk is empty and too few of the other replicas have data; nothing was changed";
/// Patience with the log when an empty disk asks it.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);
/// Rounds between two log lines about waiting.
const QUIET_ROUNDS: u32 = 25;

/// What the decision is made from.
pub struct Forming {
    pub dir: PathBuf,
    /// Its number; of an empty disk, what it would be if a cluster were founded now.
    pub number: Arc<AtomicU16>,
    pub az: String,
    /// Where the others will look for it.
    pub address: String,
    /// The log as this process knows it.
    pub roster: Mutex<Roster>,
    pub shards: u32,
    pub peers: HashMap<NodeNumber, String>,
    pub hello: Hello,
    pub tls: Option<LinkTls>,
    pub complaint: Arc<Complaint>,
    pub auto_replace: bool,
    /// What it waits for, in words.
    pub waits: Arc<Mutex<String>>,
    /// What this process answers to probes meanwhile.
    pub standing: Arc<Mutex<Standing>>,
}

/// What the disk says now, and what the others made of it.
enum Step {
    Write(Stage, u64),
    Go(Birth),
    /// The cluster's number, and whether a majority of the others as configured has data.
    Learn(u64, bool),
    Wait(&'static str),
}

impl Forming {
    /// Returns once it is clear how to start; the identity is written by then.
    pub async fn decide(&self) -> Result<(Identity, Birth), StartError> {
        let mut rounds = 0;
        loop {
            let found = self.read()?;
            let others = self.ask().await;
            match self.step(found.as_ref(), &others) {
                Step::Go(birth) => {
                    if let Some(identity) = found {
                        return Ok((identity, birth));
                    }
                }
                Step::Write(stage, cluster) => self.write(stage, cluster)?,
                Step::Learn(cluster, most) => match self.learn().await {
                    Ok(()) => self.write(Stage::Member, cluster)?,
                    Err(why) => {
                        self.wait(if most { &why } else { TOO_FEW }, &others, &mut rounds).await;
                    }
                },
                Step::Wait(why) => self.wait(why, &others, &mut rounds).await,
            }
        }
    }

    /// Says now and then why it waits, and who doesn't answer; then a pause.
    async fn wait(&self, why: &str, others: &[Option<Standing>], rounds: &mut u32) {
        let silent = self.peers.values().zip(others).filter(|(_, standing)| standing.is_none());
        let silent: Vec<&str> = silent.map(|(address, _)| address.as_str()).collect();
        let why = if silent.is_empty() {
            why.to_owned()
        } else {
            format!("{why}; no answer from {}", silent.join(", "))
        };
        if rounds.is_multiple_of(QUIET_ROUNDS) {
            tracing::warn!(az = self.az, why, "not serving yet");
        }
        *rounds += 1;
        *self.waits.lock() = why;
        tokio::time::sleep(PAUSE).await;
    }

    fn step(&self, found: Option<&Identity>, others: &[Option<Standing>]) -> Step {
        let formed: Vec<&Standing> =
            others.iter().flatten().filter(|other| other.stage >= Stage::Founding as u8).collect();
        let all =
            |least: u8| others.iter().all(|other| other.as_ref().is_some_and(|other| other.stage >= least));
        match found.map(|identity| identity.stage) {
            Some(Stage::Member) => Step::Go(Birth::Joining),
            Some(Stage::Founding) => Step::Go(Birth::Founding),
            Some(Stage::Forming) if all(1) => {
                Step::Write(Stage::Founding, found.map_or(0, |identity| identity.cluster))
            }
            Some(Stage::Forming) => Step::Wait("waiting for the other replicas to form the cluster with"),
            None if !formed.is_empty() => self.wiped(&formed, others.len() + 1),
            None if all(0) => {
                // One draws the cluster's number; the others take it over.
                let drawn = others.iter().flatten().map(|other| other.cluster).find(|cluster| *cluster != 0);
                match drawn {
                    Some(cluster) => Step::Write(Stage::Forming, cluster),
                    None if self.peers.keys().all(|peer| *peer > self.number.load(Relaxed)) => {
                        Step::Write(Stage::Forming, rand::random::<u64>().max(1))
                    }
                    None => Step::Wait("waiting for the first replica to begin forming the cluster"),
                }
            }
            None => Step::Wait("this disk is empty, and not all other replicas answer: a cluster may exist"),
        }
    }

    /// Returns once enough of the others have data to rebuild this replica from.
    pub async fn others_have_data(&self) {
        let mut rounds = 0;
        loop {
            let others = self.ask().await;
            let formed = others.iter().flatten().filter(|other| other.stage >= Stage::Founding as u8).count();
            if formed * 2 > others.len() + 1 {
                return;
            }
            let why = "this disk's database is damaged and too few of the other replicas answer; nothing was changed";
            self.wait(why, &others, &mut rounds).await;
        }
    }

    /// The disk is empty, the cluster isn't new.
    fn wiped(&self, formed: &[&Standing], total: usize) -> Step {
        if !self.auto_replace {
            return Step::Wait("this disk is empty in an existing cluster, and auto_replace is off");
        }
        // An answer of the log's leader proves a majority, whatever is configured here.
        let most = formed.len() * 2 > total;
        Step::Learn(formed.first().map_or(0, |other| other.cluster), most)
    }

    /// Finds out from the log which number this process has in it.
    async fn learn(&self) -> Result<(), String> {
        let zone = |az: &str, address: &str| Endpoint { az: az.to_owned(), address: address.to_owned() };
        let others: Vec<Endpoint> = {
            let roster = self.roster.lock();
            let others = roster.members.iter().filter(|member| member.zone != self.az);
            others.map(|member| zone(&member.zone, &member.address)).collect()
        };
        let config =
            TcpConfig { endpoints: others, az: self.az.clone(), deadline: PATIENCE, tls: self.tls.clone() };
        let log = TcpLog::connect(config).map_err(|error| error.to_string())?;
        let found =
            log.meta_get(ROSTER).await.map_err(|error| format!("the log's roster can't be read: {error}"))?;
        let roster = found.and_then(|found| Roster::decode(&found.value));
        let roster = roster.ok_or("the log has no roster yet that can be read")?;
        let own = roster.in_zone(&self.az).ok_or_else(|| {
            format!("no replica of the log is wanted in {}; `fastkeep ctl log add` adds one", self.az)
        })?;
        if own.address != self.address {
            return Err(format!(
                "the log's replica in {} is at {}, not at {}; `fastkeep ctl log replace` replaces it",
                self.az, own.address, self.address
            ));
        }
        tracing::warn!(
            az = self.az,
            number = own.number,
            "this disk is empty; it is filled from the other replicas"
        );
        self.number.store(own.number, Relaxed);
        roster_file::write(&self.dir, &roster)?;
        *self.roster.lock() = roster;
        Ok(())
    }

    fn read(&self) -> Result<Option<Identity>, StartError> {
        let found = Identity::read(&self.dir).map_err(|error| StartError::Corrupt(error.to_string()))?;
        let Some(identity) = found else { return Ok(None) };
        if identity.az != self.az
            || identity.node != self.number.load(Relaxed)
            || identity.shards != self.shards
        {
            return Err(StartError::Mismatch(format!(
                "{} was created for zone {} as replica {} with {} shards",
                self.dir.display(),
                identity.az,
                identity.node,
                identity.shards
            )));
        }
        self.publish(&identity);
        Ok(Some(identity))
    }

    /// Sets the stage on disk. A wiped member's is written like any other: its groups are missing, so it joins.
    pub fn write(&self, stage: Stage, cluster: u64) -> Result<(), StartError> {
        let identity = Identity {
            cluster,
            node: self.number.load(Relaxed),
            az: self.az.clone(),
            shards: self.shards,
            stage,
        };
        identity.write(&self.dir)?;
        self.publish(&identity);
        Ok(())
    }

    fn publish(&self, identity: &Identity) {
        *self.standing.lock() =
            Standing { cluster: identity.cluster, stage: identity.stage as u8, az: self.az.clone() };
    }

    async fn ask(&self) -> Vec<Option<Standing>> {
        let probes = self.peers.values().map(|address| {
            let (address, hello, tls) = (address.clone(), self.hello.clone(), self.tls.clone());
            let complaint = Arc::clone(&self.complaint);
            tokio::spawn(async move {
                let standing = probe(&address, &hello, tls.as_ref()).await;
                if let (Err(error), true) = (&standing, tls.is_some()) {
                    complaint.tell(format!("the log replica at {address} can't be asked: {error}"));
                }
                standing.ok()
            })
        });
        let mut answers = Vec::new();
        for probe in probes.collect::<Vec<_>>() {
            answers.push(probe.await.ok().flatten());
        }
        answers
    }
}
