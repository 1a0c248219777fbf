//! A history of what concurrent clients asked and were answered, and the question whether one Redis could have given
//! those answers: linearizability of each key, by stateright's tester.
//!
//! An operation whose outcome is unknown (`-UNCERTAIN`, a lost connection) stays open: it may have taken effect at any
//! moment after it was sent, or never. A client goes on under a new name after it.

pub mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// What is asked of one key, or of the two keys of a pair.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Get,
    Set(String),
    Incr,
    Push(String),
    Range,
    Add(String),
    Remove(String),
    Members,
    Score(String),
    Ranking,
    Field(String, String),
    Fields,
    /// Counts up the one key and appends to the other, by MULTI or by a script.
    Both(String, Way),
    /// Reads both keys at once, by MULTI or by a script.
    ReadBoth(Way),
}

/// How two keys are changed as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Multi,
    Script,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Ret {
    Done,
    Value(Option<String>),
    Number(i64),
    List(Vec<String>),
    /// The count, and the length of the list.
    Both(i64, i64),
    /// The count, and the list.
    Whole(i64, Vec<String>),
}

/// One key of a Redis that does one thing after another.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Register(Option<String>),
    Counter(i64),
    List(Vec<String>),
    Set(BTreeSet<String>),
    SortedSet(BTreeMap<String, i64>),
    Hash(BTreeMap<String, String>),
    /// A counter and a list that change together.
    Pair(i64, Vec<String>),
}

impl SequentialSpec for Object {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match (self, op) {
            (Self::Register(value), Op::Get) => Ret::Value(value.clone()),
            (Self::Register(value), Op::Set(new)) => {
                *value = Some(new.clone());
                Ret::Done
            }
            (Self::Counter(count), Op::Get) => Ret::Value((*count > 0).then(|| count.to_string())),
            (Self::Counter(count), Op::Incr) => {
                *count += 1;
                Ret::Number(*count)
            }
            (Self::List(items), Op::Push(item)) => {
                items.push(item.clone());
                Ret::Number(items.len() as i64)
            }
            (Self::List(items), Op::Range) => Ret::List(items.clone()),
            (Self::Set(members), Op::Add(member)) => Ret::Number(i64::from(members.insert(member.clone()))),
            (Self::Set(members), Op::Remove(member)) => Ret::Number(i64::from(members.remove(member))),
            (Self::Set(members), Op::Members) => Ret::List(members.iter().cloned().collect()),
            (Self::SortedSet(scores), Op::Score(member)) => {
                let score = scores.entry(member.clone()).or_default();
                *score += 1;
                Ret::Number(*score)
            }
            (Self::SortedSet(scores), Op::Ranking) => {
                let mut ranking: Vec<(i64, &String)> =
                    scores.iter().map(|(member, score)| (*score, member)).collect();
                ranking.sort_unstable();
                Ret::List(
                    ranking
                        .into_iter()
                        .flat_map(|(score, member)| [member.clone(), score.to_string()])
                        .collect(),
                )
            }
            (Self::Hash(fields), Op::Field(name, value)) => {
                Ret::Number(i64::from(fields.insert(name.clone(), value.clone()).is_none()))
            }
            (Self::Hash(fields), Op::Fields) => {
                Ret::List(fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect())
            }
            (Self::Pair(count, items), Op::Both(item, _)) => {
                *count += 1;
                items.push(item.clone());
                Ret::Both(*count, items.len() as i64)
            }
            (Self::Pair(count, items), Op::ReadBoth(_)) => Ret::Whole(*count, items.clone()),
            (object, op) => panic!("{op:?} on {object:?}"),
        }
    }
}

/// An event of a history.
#[derive(Clone, Debug)]
pub enum Event {
    Asked(Op),
    Answered(Ret),
}

/// Events of all clients, by key.
#[derive(Default)]
pub struct History(Mutex<BTreeMap<String, Vec<(Instant, u64, Event)>>>);

impl History {
    /// Notes an event of a client's name. `at`: taken before sending, or after receiving.
    pub fn note(&self, key: &str, at: Instant, name: u64, event: Event) {
        self.0.lock().unwrap().entry(key.to_owned()).or_default().push((at, name, event));
    }

    /// Operations asked.
    pub fn len(&self) -> usize {
        let asked = |events: &Vec<(Instant, u64, Event)>| {
            events.iter().filter(|(_, _, event)| matches!(event, Event::Asked(_))).count()
        };
        self.0.lock().unwrap().values().map(asked).sum()
    }

    /// All keys that were asked about.
    pub fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// How often all counters, lists and pairs were added to: what was answered, and what is unknown.
    pub fn additions(&self) -> (u64, u64) {
        let (mut answered, mut unknown) = (0, 0);
        for events in self.0.lock().unwrap().values() {
            let mut open = BTreeMap::new();
            for (_, name, event) in events {
                match event {
                    Event::Asked(op) => {
                        let adds = matches!(op, Op::Incr | Op::Push(_) | Op::Both(..));
                        open.insert(*name, adds);
                    }
                    Event::Answered(_) => answered += u64::from(open.remove(name) == Some(true)),
                }
            }
            unknown += open.values().filter(|adds| **adds).count() as u64;
        }
        (answered, unknown)
    }

    /// Checks every key; the error names one that no order of its operations explains.
    pub fn check(&self) -> Result<(), String> {
        for (key, events) in &*self.0.lock().unwrap() {
            let mut events = events.clone();
            events.sort_by_key(|(at, ..)| *at);
            let events: Vec<(u64, Event)> =
                events.into_iter().map(|(_, name, event)| (name, event)).collect();
            if !is_linearizable(object_of(key), &events) {
                return Err(format!("{key}: {events:?}"));
            }
        }
        Ok(())
    }
}

/// What a key's name says that it is.
pub fn object_of(key: &str) -> Object {
    match key.split(':').next() {
        Some("counter") => Object::Counter(0),
        Some("list") => Object::List(Vec::new()),
        Some("set") => Object::Set(BTreeSet::new()),
        Some("zset") => Object::SortedSet(BTreeMap::new()),
        Some("hash") => Object::Hash(BTreeMap::new()),
        Some("pair") => Object::Pair(0, Vec::new()),
        _ => Object::Register(None),
    }
}

/// Whether an order of the operations, within their times, explains all answers.
pub fn is_linearizable(object: Object, events: &[(u64, Event)]) -> bool {
    let mut tester = LinearizabilityTester::new(object);
    for (name, event) in events {
        let fed = match event {
            Event::Asked(op) => tester.on_invoke(*name, op.clone()).map(|_| ()),
            Event::Answered(ret) => tester.on_return(*name, ret.clone()).map(|_| ()),
        };
        fed.unwrap();
    }
    tester.is_consistent()
}
