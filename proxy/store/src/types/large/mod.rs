//! What large collections are made of: elements in a dense array of segments (so choosing one at random is one
//! index), a hash table that grows a bucket at a time over their numbers (so nothing stalls and SCAN keeps its
//! promise), and a counted B+tree over (score, number) for sorted sets. All of it safe code.

mod hashing;
mod members;
mod segments;
mod table;
pub(crate) mod tree;

pub(crate) use members::{Member, Members, Named};
