//! A history of what concurrent clients asked and were answered, and the question whether one Redis could have given
//! those answers: linearizability of each key, by stateright's tester.
//!
//! An operation whose outcome is unknown (`-UNCERTAIN`, a lost connection) stays open: it may have taken effect at any
//! moment after it was sent, or never. A client goes on under a new name after it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// What is asked of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Get,
    Set(String),
    Incr,
    Push(String),
    Range,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Ret {
    Done,
    Value(Option<String>),
    Number(i64),
    List(Vec<String>),
}

/// One key of a Redis that does one thing after another.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Register(Option<String>),
    Counter(i64),
    List(Vec<String>),
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
