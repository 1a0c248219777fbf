//! Proves that the engine answers hash, list, set and sorted set commands as redis-server does: the same
//! random requests go to both, in RESP2 and RESP3, every reply is compared, and at the end the keys, their
//! encodings, a replica that replayed the effects, and DEBUG DIGEST.
//!
//! `FASTKEEP_SEED` and `FASTKEEP_COMMANDS` choose another run. Needs redis-server 7.0 on the path.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use proxy_engine::testing::TestDb;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::families::collections::{Collections, Command};

/// A reply as a tree. Numbers and texts keep their type byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    Line(Vec<u8>),
    Bulk(Vec<u8>),
    Many(u8, Vec<Frame>),
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Frame::Line(line) => write!(f, "{}", line.escape_ascii()),
            Frame::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Frame::Many(tag, frames) => {
                write!(f, "{}", char::from(*tag))?;
                f.debug_list().entries(frames).finish()
            }
        }
    }
}

/// The same reply with unsigned zeros: Redis keeps or loses a score's sign by its set's encoding.
fn unsigned(frame: Frame) -> Frame {
    match frame {
        Frame::Line(line) if line == b",-0" => Frame::Line(b",0".to_vec()),
        Frame::Bulk(bytes) if bytes == b"-0" => Frame::Bulk(b"0".to_vec()),
        Frame::Many(tag, frames) => Frame::Many(tag, frames.into_iter().map(unsigned).collect()),
        other => other,
    }
}

fn read_frame(from: &mut impl BufRead) -> Frame {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).unwrap();
    line.truncate(line.len() - 2);
    let count = || std::str::from_utf8(&line[1..]).unwrap().parse::<i64>().unwrap();
    match line[0] {
        b'$' | b'*' if line == b"$-1" || line == b"*-1" => Frame::Line(line),
        b'$' => {
            let mut bytes = vec![0; count() as usize + 2];
            from.read_exact(&mut bytes).unwrap();
            bytes.truncate(bytes.len() - 2);
            Frame::Bulk(bytes)
        }
        b'*' | b'~' | b'%' | b'>' => {
            let factor = if line[0] == b'%' { 2 } else { 1 };
            Frame::Many(line[0], (0..count() * factor).map(|_| read_frame(from)).collect())
        }
        _ => Frame::Line(line),
    }
}

/// redis-server with one connection to it.
struct Oracle {
    server: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Oracle {
    fn start(resp3: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let server = Process::new("redis-server")
            .args(["--port", &port, "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let started = Instant::now();
        let stream = loop {
            match TcpStream::connect(format!("127.0.0.1:{port}")) {
                Ok(stream) => break stream,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut oracle = Self { server, stream: BufReader::new(stream) };
        oracle.line(if resp3 { "HELLO 3" } else { "HELLO 2" });
        oracle
    }

    fn run(&mut self, command: &Command) -> Frame {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for arg in command {
            request.extend(format!("${}\r\n", arg.len()).into_bytes());
            request.extend(arg);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        read_frame(&mut self.stream)
    }

    fn line(&mut self, line: &str) -> Frame {
        self.run(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }

    fn encoding(&mut self, key: &[u8]) -> Frame {
        self.run(&vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.to_vec()])
    }
}

fn ours(db: &mut TestDb, command: &Command) -> Frame {
    let reply = db.run(command);
    let mut rest = reply.as_slice();
    let frame = read_frame(&mut rest);
    assert!(rest.is_empty(), "bytes after the reply of {}", show(command));
    frame
}

fn show(command: &Command) -> String {
    command.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect::<Vec<_>>().join(" ")
}

fn name(command: &Command) -> String {
    String::from_utf8_lossy(&command[0]).to_ascii_uppercase()
}

/// Commands whose reply both sides draw at random: kind and size must agree.
fn is_random(command: &Command) -> bool {
    matches!(name(command).as_str(), "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER")
}

/// Commands whose elements come in an order that nobody promises.
fn is_unordered(command: &Command) -> bool {
    matches!(
        name(command).as_str(),
        "SMEMBERS"
            | "SINTER"
            | "SUNION"
            | "SDIFF"
            | "HGETALL"
            | "HKEYS"
            | "HVALS"
            | "HSCAN"
            | "SSCAN"
            | "ZSCAN"
            | "SPOP"
    )
}

/// The shape of a random reply: every element counts, none of its bytes.
fn shape(frame: &Frame) -> Frame {
    match frame {
        Frame::Bulk(_) => Frame::Bulk(Vec::new()),
        Frame::Line(line) if line[0] == b',' => Frame::Line(b",".to_vec()),
        Frame::Many(tag, frames) => Frame::Many(*tag, frames.iter().map(shape).collect()),
        Frame::Line(_) => frame.clone(),
    }
}

/// Sorts what has no order; pairs stay together.
fn sorted(command: &Command, frame: &Frame) -> Frame {
    let Frame::Many(tag, frames) = frame else { return frame.clone() };
    if name(command).ends_with("SCAN") {
        let inner: Vec<Frame> = frames[1..].iter().map(|f| sort_flat(f, name(command) != "SSCAN")).collect();
        return Frame::Many(*tag, [frames[..1].to_vec(), inner].concat());
    }
    sort_flat(frame, name(command) == "HGETALL")
}

fn sort_flat(frame: &Frame, paired: bool) -> Frame {
    let Frame::Many(tag, frames) = frame else { return frame.clone() };
    let mut chunks: Vec<Vec<Frame>> =
        frames.chunks(if paired { 2 } else { 1 }).map(<[Frame]>::to_vec).collect();
    chunks.sort();
    Frame::Many(*tag, chunks.concat())
}

/// Packed collections answer in an order of their own, which must agree, too.
fn order_counts(oracle: &mut Oracle, command: &Command) -> bool {
    let listed = matches!(name(command).as_str(), "SMEMBERS" | "HGETALL" | "HKEYS" | "HVALS");
    listed && matches!(oracle.encoding(&command[1]), Frame::Bulk(e) if e == b"listpack" || e == b"intset")
}

fn agree(oracle: &mut Oracle, command: &Command, theirs: &Frame, ours: &Frame) -> bool {
    theirs == ours
        || is_random(command) && shape(theirs) == shape(ours)
        || is_unordered(command)
            && sorted(command, theirs) == sorted(command, ours)
            && !order_counts(oracle, command)
}

/// Removes from the oracle what our SPOP has chosen; whether it was all there.
fn pop_the_same(oracle: &mut Oracle, command: &Command, ours: &Frame) -> bool {
    let chosen = match ours {
        Frame::Bulk(member) => vec![member.clone()],
        Frame::Many(_, members) => members
            .iter()
            .map(|member| match member {
                Frame::Bulk(bytes) => bytes.clone(),
                other => format!("{other:?}").into_bytes(),
            })
            .collect(),
        Frame::Line(_) => return false,
    };
    let count = chosen.len();
    let request = [vec![b"SREM".to_vec(), command[1].clone()], chosen].concat();
    oracle.run(&request) == Frame::Line(format!(":{count}").into_bytes())
}

fn pops_members(frame: &Frame) -> bool {
    matches!(frame, Frame::Bulk(_)) || matches!(frame, Frame::Many(_, members) if !members.is_empty())
}

/// Where two long replies part.
fn first_difference(theirs: &Frame, ours: &Frame) -> String {
    let (Frame::Many(_, a), Frame::Many(_, b)) = (theirs, ours) else { return String::new() };
    let parted = a.iter().zip(b).position(|(a, b)| a != b);
    parted.map(|at| format!("\nat {at}: {:?} but ours {:?}", a[at], b[at])).unwrap_or_default()
}

fn differential(seed: u64, commands: usize, resp3: bool) {
    let mut oracle = Oracle::start(resp3);
    let mut db = if resp3 { TestDb::new().resp3() } else { TestDb::new() };
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut differences = Vec::new();
    for number in 0..commands {
        let command = Collections { rng: &mut rng }.command();
        let ours = ours(&mut db, &command);
        let same = if name(&command) == "SPOP" && pops_members(&ours) {
            pop_the_same(&mut oracle, &command, &ours)
        } else {
            let (theirs, ours) = (unsigned(oracle.run(&command)), unsigned(ours.clone()));
            let same = agree(&mut oracle, &command, &theirs, &ours);
            if !same {
                eprintln!("redis: {theirs:?}{}", first_difference(&theirs, &ours));
            }
            same
        };
        if !same {
            eprintln!("ours:  {ours:?}\n#{number} {}\n", show(&command));
            differences.push(show(&command));
            assert!(differences.len() < 40, "too many differences");
        }
    }
    for key in Collections::all_keys() {
        let encoding = vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.into()];
        assert_eq!(oracle.run(&encoding), self::ours(&mut db, &encoding), "encoding of {key}");
    }
    let Frame::Line(digest) = oracle.line("DEBUG DIGEST") else { panic!("no digest") };
    assert_eq!(String::from_utf8_lossy(&digest[1..]), db.digest(), "digest");
    db.check();
    assert!(differences.is_empty(), "seed {seed}: {} differences: {differences:#?}", differences.len());
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn replies_and_data_agree_in_resp2() {
    differential(setting("FASTKEEP_SEED", 1), setting("FASTKEEP_COMMANDS", 30_000) as usize, false);
}

#[test]
fn replies_and_data_agree_in_resp3() {
    differential(setting("FASTKEEP_SEED", 2), setting("FASTKEEP_COMMANDS", 30_000) as usize, true);
}
