//! Access control lists, as in Redis 7.0: who a user is, what their rules mean, and whether a command may run.
//!
//! Pure: no network, no log, no clock. [`Users`] is an immutable picture of all users; the server swaps it as a
//! whole. [`User::apply`] is ACL SETUSER, [`check_command`] the decision, [`User::describe`] what ACL LIST shows,
//! [`User::to_stored`] what is kept in the metadata log.

mod check;
mod describe;
mod log;
mod password;
mod rules;
mod selector;
mod stored;
mod user;
mod vocabulary;

pub use check::{Denied, Reason, check_command, check_sort};
pub use log::{Context, Entry, Event, Log};
pub use password::{Digest, digest};
pub use rules::Error;
pub use selector::{KeyPattern, Selector};
pub use stored::StoredError;
pub use user::{DEFAULT, Sanitize, User, Users, is_user_name};
pub use vocabulary::{category_names, commands_of};

#[cfg(test)]
mod tests;
