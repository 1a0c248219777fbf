//! Time against size: what an operation that should cost O(1) or O(log n) takes on values of a thousand to a million
//! elements. The figure is the server's CPU time for each command, so that the network's noise stays out.

use crate::measure::Measured;
use crate::servers::{Kind, Server};
use crate::wire::Wire;

/// Sizes that are compared.
pub const SIZES: [u64; 3] = [1_000, 30_000, 1_000_000];
/// Commands of one measurement.
const COMMANDS: u64 = 20_000;

/// An operation: what Redis documents, and how it is written. Each `@` is another number below the size.
#[derive(Debug)]
pub struct Operation {
    pub claim: &'static str,
    pub command: &'static str,
}

const fn op(claim: &'static str, command: &'static str) -> Operation {
    Operation { claim, command }
}

/// All of them, in the order of the report.
pub const OPERATIONS: [Operation; 26] = [
    op("O(1)", "GET str:@"),
    op("O(1)", "SET str:@ value"),
    op("O(1)", "EXISTS str:@"),
    op("O(1)", "EXPIRE str:@ 1000"),
    op("O(1)", "RANDOMKEY"),
    op("O(1)", "HGET h f:@"),
    op("O(1)", "HSET h f:@ value"),
    op("O(1)", "HLEN h"),
    op("O(1)", "HRANDFIELD h"),
    op("O(1)", "SISMEMBER s m:@"),
    op("O(1)", "SADD s m:@"),
    op("O(1)", "SRANDMEMBER s"),
    op("O(1)", "SCARD s"),
    op("O(1)", "LPUSH l value"),
    op("O(1)", "RPOP l"),
    op("O(1)", "LLEN l"),
    op("O(1)", "ZSCORE z m:@"),
    op("O(log n)", "ZADD z @ m:@"),
    op("O(log n)", "ZINCRBY z 1 m:@"),
    op("O(log n)", "ZRANK z m:@"),
    op("O(log n)", "ZCOUNT z @ @"),
    op("O(log n)", "ZRANGE z @ 1000000 BYSCORE LIMIT 0 10 WITHSCORES"),
    op("O(log n)", "ZLEXCOUNT lex [m:@ +"),
    op("O(1)", "XADD x * f v"),
    op("O(1)", "XLEN x"),
    op("O(log n)", "XRANGE x @ + COUNT 10"),
];

/// A sequence that looks random and is the same in every run.
fn scrambled(number: u64, below: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % below
}

fn fill(wire: &mut Wire, size: u64) {
    let mut words = |name: &str, key: &str, each: &dyn Fn(u64) -> Vec<String>| {
        for first in (0..size).step_by(100) {
            let mut request = vec![name.to_owned(), key.to_owned()];
            request.extend((first..(first + 100).min(size)).flat_map(each));
            wire.queue(&request);
        }
    };
    words("HSET", "h", &|at| vec![format!("f:{at}"), format!("value:{at}")]);
    words("SADD", "s", &|at| vec![format!("m:{at}")]);
    words("RPUSH", "l", &|at| vec![format!("value:{at}")]);
    words("ZADD", "z", &|at| vec![at.to_string(), format!("m:{at}")]);
    words("ZADD", "lex", &|at| vec!["0".to_owned(), format!("m:{at}")]);
    for at in 0..size {
        wire.queue(&["XADD", "x", &format!("{}-0", at + 1), "f", "v"]);
        wire.queue(&["SET", &format!("str:{at}"), "value"]);
    }
    wire.wait();
}

/// Runs all operations on both servers at all sizes.
pub fn measure(into: &mut Measured) {
    for kind in [Kind::Fastkeep, Kind::RedisMemory] {
        for size in SIZES {
            let server = Server::start(kind);
            let mut wire = Wire::connect(server.port);
            fill(&mut wire, size);
            for operation in &OPERATIONS {
                let before = server.cpu_ns();
                for number in 0..COMMANDS {
                    let mut salt = number * 2;
                    let words: Vec<String> = operation
                        .command
                        .split(' ')
                        .map(|word| {
                            salt += u64::from(word.contains('@'));
                            word.replace('@', &scrambled(salt, size).to_string())
                        })
                        .collect();
                    wire.queue(&words);
                }
                wire.wait();
                let each = (server.cpu_ns() - before) as f64 / COMMANDS as f64;
                println!("{kind:?} {} of {size}: {each:.0} ns", operation.command);
                into.growth.insert((operation.command, size, kind), each);
            }
        }
    }
}
