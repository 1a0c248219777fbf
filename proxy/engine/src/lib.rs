//! proxy-engine: what each command does. A command's function reads the keyspace, writes its reply and
//! the effects that say what is to change, and changes nothing itself; the shard applies the effects.
//!
//! The way of a request: [`resolve`] finds its row and checks its form, [`handler`] its function,
//! [`run`] calls it on a [`Call`] (arguments, keyspace, reply, effects). One file a family.

mod call;
mod dispatch;
mod errors;
mod parse;

pub use call::{Call, Context, Request};
pub use dispatch::{Handler, Run, handler, resolve, run};
pub use errors::{Fail, MAX_STRING};
pub use parse::{LongDouble, parse_double};
