//! The fastkeep binary: composition root.
fn main() {}
