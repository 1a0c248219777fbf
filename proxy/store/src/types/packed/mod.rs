//! Packed forms in Redis's own byte formats: listpack and intset. Small collections live in them, and dumps and
//! snapshots copy them verbatim.

pub(crate) mod entry;
pub(crate) mod intset;
pub(crate) mod listpack;

pub(crate) use entry::Entry;
pub(crate) use intset::Intset;
pub(crate) use listpack::Listpack;
