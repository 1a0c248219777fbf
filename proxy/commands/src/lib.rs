//! The command table: the one place that says which commands exist, what they may do, where their
//! keys are, how they are routed and how they are documented. Pure data and lookups. The engine adds
//! one function a row, the server one answer a session row; COMMAND, ACL, routing, docs and the test
//! generators read the table.

mod flags;
mod id;
mod keys;
mod lookup;
mod row;
mod table;

pub use flags::{Categories, Flags, KeyFlags};
pub use id::Id;
pub use keys::KeysError;
pub use lookup::lookup;
pub use row::{Arg, ArgKind, Begin, Find, Group, KeySpec, Merge, Routing, Row};
pub use table::{row, rows};

#[cfg(test)]
mod tests;
