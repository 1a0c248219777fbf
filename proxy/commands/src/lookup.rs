//! From a command's name to its row: the name is upper-cased into one 16-byte integer and found in an
//! open-addressed table that is built at compile time. On the path of every request.

use crate::Row;
use crate::table::ALL;

/// Slots of the hash table: a power of two, well above twice the number of commands.
const SIZE: usize = 1024;
const EMPTY: u16 = u16::MAX;

static TABLE: [(u128, u16); SIZE] = build();

/// The row of a command, whatever the case of the letters. Subcommands are found with
/// [`Row::subcommand`].
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Row> {
    let word = word(name);
    let mut at = hash(word);
    loop {
        let (found, index) = TABLE[at];
        if index == EMPTY {
            return None;
        }
        if found == word {
            let row = ALL[index as usize];
            if row.name.len() == name.len()
                && (name.len() <= 16 || row.name.as_bytes().eq_ignore_ascii_case(name))
            {
                return Some(row);
            }
        }
        at = (at + 1) % SIZE;
    }
}

impl Row {
    /// A container's subcommand by its own name (`get` of `config`), in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Row> {
        let skip = self.name.len() + 1;
        self.subcommands.iter().find(|row| row.name.as_bytes()[skip..].eq_ignore_ascii_case(name))
    }
}

/// The first 16 bytes, upper-cased, zero-filled.
#[inline]
const fn word(name: &[u8]) -> u128 {
    let mut out = 0u128;
    let mut i = 0;
    while i < name.len() && i < 16 {
        out |= (name[i].to_ascii_uppercase() as u128) << (8 * i);
        i += 1;
    }
    out
}

#[inline]
const fn hash(word: u128) -> usize {
    let folded = (word as u64) ^ ((word >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SIZE
}

// Runs in the compiler only; no stack holds the array.
#[allow(clippy::large_stack_arrays)]
const fn build() -> [(u128, u16); SIZE] {
    assert!(ALL.len() * 2 < SIZE);
    let mut table = [(0, EMPTY); SIZE];
    let mut i = 0;
    while i < ALL.len() {
        let word = word(ALL[i].name.as_bytes());
        let mut at = hash(word);
        while table[at].1 != EMPTY {
            at = (at + 1) % SIZE;
        }
        table[at] = (word, i as u16);
        i += 1;
    }
    table
}
