//! Function libraries: code by name. Data like any other, but of no slot; what it means only the script host knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::key::Position;

/// The libraries of a shard.
#[derive(Debug, Default)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Arc<[u8]>>,
    changes: u64,
    changed: Position,
}

impl Libraries {
    /// The code of a library.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<[u8]>> {
        self.by_name.get(name)
    }

    /// Names and code, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Arc<[u8]>)> {
        self.by_name.iter().map(|(name, code)| (name.as_slice(), code))
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Rises with every change of this object.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Position of the last change; answers that rest on libraries wait for it.
    pub fn changed(&self) -> Position {
        self.changed
    }

    /// Bytes of all code.
    pub fn bytes(&self) -> usize {
        self.by_name.iter().map(|(name, code)| name.len() + code.len()).sum()
    }

    pub(super) fn set(&mut self, name: &[u8], code: &[u8], position: Position) {
        self.by_name.insert(name.to_vec(), code.into());
        self.note(position);
    }

    pub(super) fn delete(&mut self, name: &[u8], position: Position) {
        if self.by_name.remove(name).is_some() {
            self.note(position);
        }
    }

    fn note(&mut self, position: Position) {
        self.changes += 1;
        self.changed = position;
    }
}

/// The name that a library's first line (`#!lua name=...`) gives it.
pub fn library_name(code: &[u8]) -> Option<&[u8]> {
    let line = code.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    line.split(u8::is_ascii_whitespace).find_map(|word| word.strip_prefix(b"name="))
}

#[cfg(test)]
mod tests {
    use super::library_name;

    #[test]
    fn names_stand_in_the_first_line() {
        assert_eq!(library_name(b"#!lua name=lib\nreturn"), Some(&b"lib"[..]));
        assert_eq!(library_name(b"#!lua  flags=x name=a_b\n"), Some(&b"a_b"[..]));
        assert_eq!(library_name(b"#!lua\nname=no"), None);
        assert_eq!(library_name(b"name=no"), None);
    }
}
