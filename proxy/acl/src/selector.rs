//! A selector: commands, keys and channels that go together. A user has one of their own and any number in
//! parentheses; a command runs when one of them allows all of it.

use std::collections::BTreeMap;

use proxy_commands::Categories;

use crate::vocabulary::{Command, by_category, subcommands};

/// Room for one bit a command. The last one belongs to no command: it says whether commands yet to come are allowed.
const WORDS: usize = 16;

/// One bit a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) const fn all(value: bool) -> Self {
        Self([if value { u64::MAX } else { 0 }; WORDS])
    }

    pub(crate) fn has(&self, bit: u16) -> bool {
        self.0.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    pub(crate) fn set(&mut self, bit: u16, value: bool) {
        if let Some(word) = self.0.get_mut(bit as usize / 64) {
            if value {
                *word |= 1 << (bit % 64);
            } else {
                *word &= !(1 << (bit % 64));
            }
        }
    }

    /// Whether commands yet to come are allowed.
    pub(crate) fn allows_future(&self) -> bool {
        self.has(WORDS as u16 * 64 - 1)
    }
}

/// A pattern for keys, and what may be done with those that match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPattern {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// A glob pattern.
    pub pattern: Vec<u8>,
}

/// Commands, keys and channels that go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    pub(crate) all_commands: bool,
    pub(crate) all_keys: bool,
    pub(crate) all_channels: bool,
    pub(crate) bits: Bits,
    /// By a command's bit: first arguments with which it may run although its bit isn't set.
    pub(crate) first_args: BTreeMap<u16, Vec<Vec<u8>>>,
    pub(crate) keys: Vec<KeyPattern>,
    pub(crate) channels: Vec<Vec<u8>>,
}

impl Selector {
    /// Allows nothing, but for all channels if `all_channels`.
    pub(crate) fn new(all_channels: bool) -> Self {
        Self {
            all_commands: false,
            all_keys: false,
            all_channels,
            bits: Bits::all(false),
            first_args: BTreeMap::new(),
            keys: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Allows everything.
    pub(crate) fn full() -> Self {
        let mut full = Self::new(true);
        full.all_keys = true;
        full.set_every_command(true);
        full
    }

    /// Whether it allows everything, commands yet to come included.
    pub fn is_full(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    pub(crate) fn set_every_command(&mut self, allow: bool) {
        self.all_commands = allow;
        self.bits = Bits::all(allow);
        self.first_args.clear();
    }

    /// Allows or forbids a command with its subcommands.
    pub(crate) fn set_command(&mut self, command: &Command, allow: bool) {
        self.first_args.remove(&command.bit);
        for bit in std::iter::once(command.bit).chain(subcommands(command).map(|sub| sub.bit)) {
            self.bits.set(bit, allow);
        }
        self.all_commands &= allow;
    }

    pub(crate) fn set_category(&mut self, category: Categories, allow: bool) {
        for command in by_category(category) {
            self.set_command(command, allow);
        }
    }

    /// Allows a command with this first argument.
    pub(crate) fn add_first_arg(&mut self, command: &Command, arg: &[u8]) {
        let args = self.first_args.entry(command.bit).or_default();
        if !args.iter().any(|known| known.eq_ignore_ascii_case(arg)) {
            args.push(arg.to_vec());
        }
    }

    /// Of a category's commands, as Redis 7.0 has them, how many are allowed and how many aren't.
    pub(crate) fn count(&self, category: Categories) -> (usize, usize) {
        by_category(category).filter(|command| !command.is_newer).fold((0, 0), |(on, off), command| {
            if self.bits.has(command.bit) { (on + 1, off) } else { (on, off + 1) }
        })
    }
}
