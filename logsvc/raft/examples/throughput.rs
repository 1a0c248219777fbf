//! What the driver itself costs: three nodes in one thread over a disk that keeps nothing, a number of 128 byte
//! appends outstanding. Prints appends per second; a real disk and network come on top.
//! `cargo run --release -p logsvc-raft --example throughput`
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Instant;

use logsvc_api::{BlockBuilder, RecordKind};
use logsvc_raft::{
    Change, Claim, Command, GroupId, Input, LogEntry, LogStorage, Node, NodeConfig, Outcome, Recovered,
    ReplicaId, Request, Role, StorageError, WriteBatch,
};

#[derive(Clone)]
struct NoDisk;

impl LogStorage for NoDisk {
    fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        Ok(Vec::new())
    }
    fn load(&self, _group: GroupId) -> Result<Option<Recovered>, StorageError> {
        Ok(None)
    }
    fn entries(&self, group: GroupId, low: u64, _: u64, _: usize) -> Result<Vec<LogEntry>, StorageError> {
        Err(StorageError::Missing { group, index: low })
    }
    fn write(&self, _batches: &[WriteBatch]) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Drains all nodes until nothing moves any more; returns the outcomes of requests.
fn settle(nodes: &mut [Node<NoDisk>]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut inputs: VecDeque<(usize, Input)> = VecDeque::new();
    loop {
        let mut moved = false;
        for (at, node) in nodes.iter_mut().enumerate() {
            let out = node.drain();
            moved |= out.more || out.write.is_some() || !out.messages.is_empty();
            for message in out.messages {
                inputs.push_back((usize::from(message.to) - 1, Input::Receive { frame: message.to_bytes() }));
            }
            if let Some(batch) = out.write {
                inputs.push_back((at, Input::Persisted { ticket: batch.ticket }));
            }
            for answer in out.answers {
                if let Ok(Change::Applied { outcome, .. }) = answer.result {
                    outcomes.push(outcome);
                }
            }
        }
        while let Some((at, input)) = inputs.pop_front() {
            nodes[at].step(input);
        }
        if !moved {
            return outcomes;
        }
    }
}

fn main() {
    let voters: Vec<_> = (1..=3).map(|node| ReplicaId::new(node, 7)).collect();
    let mut nodes: Vec<_> = (1..=3u16)
        .map(|node| {
            let peers = (1..=3).filter(|peer| *peer != node).collect();
            let mut made = Node::open(NodeConfig::new(1, node, peers), NoDisk).unwrap();
            let replica = voters[usize::from(node) - 1];
            made.step(Input::Bootstrap { group: 0, replica, voters: voters.clone() });
            made
        })
        .collect();
    let mut now_ms = 0;
    let leader = loop {
        now_ms += 20;
        for node in &mut nodes {
            node.step(Input::Tick { now_ms });
        }
        settle(&mut nodes);
        let leads = |node: &Node<NoDisk>| node.status(0).is_some_and(|status| status.role == Role::Leader);
        if let Some(leader) = nodes.iter().position(leads) {
            break leader;
        }
    };
    let claim = Claim { expected_epoch: 0, expected_tail: 0, owner: "me".to_owned(), lease_ms: 1000 };
    let request = Request::Propose(Command::Claim(claim));
    nodes[leader].step(Input::Request { group: 0, token: 0, request });
    println!("{:?}", settle(&mut nodes));
    let mut builder = BlockBuilder::new(0, 0, 0);
    for (outstanding, body) in [(1, 128), (16, 128), (256, 128), (16, 65_536)] {
        let rounds = (if body > 1000 { 20_000 } else { 400_000 }) / outstanding;
        let started = Instant::now();
        for _ in 0..rounds {
            for token in 0..outstanding {
                builder.begin(RecordKind::Effects).resize(builder_end(body), 7);
                builder.commit();
                let request = Request::Propose(Command::Append(builder.seal(1, 0, 1)));
                nodes[leader].step(Input::Request { group: 0, token, request });
            }
            let accepted = settle(&mut nodes);
            assert_eq!(accepted.len() as u64, outstanding, "{accepted:?}");
        }
        let rate = (rounds * outstanding) as f64 / started.elapsed().as_secs_f64();
        println!(
            "{body} bytes x {outstanding} outstanding: {rate:.0} appends/s on one thread for three nodes"
        );
    }
}

/// The builder's buffer holds the header and the record's prefix before the body.
fn builder_end(body: usize) -> usize {
    logsvc_api::HEADER_BYTES + 5 + body
}
