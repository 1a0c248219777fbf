//! The one room with unsafe code: entry nodes and the hash table that grows one bucket at a time.
//!
//! Why unsafe is allowed here and nowhere else: a key costs one allocation whose layout is decided byte by byte,
//! and a table lane is a pointer with sixteen hash bits on top; safe Rust has no words for either, and the bytes
//! they save are what the product is measured by. The rules that keep it in:
//!
//! - Only this module sees addresses. Outside there are owned nodes ([`EntryBox`]), references whose
//!   lifetime is that of the table they were read from, and [`Place`]s, which are checked numbers.
//! - A lane owns its node. A node enters a table by value and leaves it by value.
//! - Tables and nodes are neither `Clone` nor `Sync`.
//!
//! [`Table`] knows of its nodes only what [`Node`] says: an owned thin pointer to a block that can tell its key's bytes.
//! Entries are such nodes.
#![allow(unsafe_code)]
// Blocks are allocated with the alignment that is cast to, or accessed unaligned.
#![allow(clippy::cast_ptr_alignment)]

mod alloc;
mod entry;
mod hasher;
mod lane;
mod split;
mod table;

pub(crate) use entry::{EntryBox, EntryMut, EntryRef, LONGEST_STRING, NewValue};
pub(crate) use hasher::Hasher;
pub(crate) use table::{CURSOR_BITS, Place, Table};

#[cfg(test)]
mod table_tests;
