//! tests-differential: random commands that go to redis-server and to us, and must be answered alike.
//!
//! `families` chooses the commands, `target` sends them (to an address, or to the engine in this process),
//! `agreement` says what counts as equal. `live` compares two running servers, `rounds` adds crashes and
//! snapshots; `seeded` holds one family against redis-server; the binary and the tests of this crate put them together.

pub mod agreement;
pub mod exchange;
pub mod families;
pub mod frame;
pub mod live;
pub mod rounds;
pub mod seeded;
pub mod served;
pub mod target;
