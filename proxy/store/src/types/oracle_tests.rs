//! Packed bytes and encodings against a real redis-server: the same random changes on both sides, then the server's
//! DUMP must hold exactly our listpack or intset, and OBJECT ENCODING must agree at every border.
//!
//! Starts a server of its own on a free port. Without redis-server installed it prints a notice and passes.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

struct Oracle {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Oracle {
    /// A server with empty data and the default settings; `None` when none is installed.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--rdbcompression", "no", "--dir"]).arg(std::env::temp_dir());
        let Ok(process) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("NOTICE: redis-server is not installed; packed bytes were not compared with it");
            return None;
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(format!("127.0.0.1:{port}")) {
                Ok(stream) => return Some(Self { process, stream: BufReader::new(stream) }),
                Err(error) if Instant::now() > deadline => panic!("redis-server did not come up: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Sends a command; the text or bytes of a flat reply.
    fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(!line.starts_with('-'), "{line}");
        let Some(len) = line.strip_prefix('$') else { return line.trim_end().as_bytes().to_vec() };
        let len: i64 = len.trim_end().parse().unwrap();
        if len < 0 {
            return Vec::new();
        }
        let mut body = vec![0; len as usize + 2];
        self.stream.read_exact(&mut body).unwrap();
        body.truncate(len as usize);
        body
    }

    fn encoding(&mut self) -> String {
        String::from_utf8(self.call(&[b"OBJECT", b"ENCODING", b"k"])).unwrap()
    }

    /// The key's DUMP without version and checksum: the type byte, and the strings of the body.
    fn dump(&mut self) -> (u8, Dump) {
        let mut bytes = self.call(&[b"DUMP", b"k"]);
        bytes.truncate(bytes.len() - 10);
        (bytes[0], Dump { bytes, at: 1 })
    }
}

struct Dump {
    bytes: Vec<u8>,
    at: usize,
}

impl Dump {
    fn length(&mut self) -> usize {
        let first = self.bytes[self.at];
        self.at += 1;
        match first >> 6 {
            0 => usize::from(first),
            1 => {
                self.at += 1;
                usize::from(first & 0x3f) << 8 | usize::from(self.bytes[self.at - 1])
            }
            _ => {
                self.at += 4;
                u32::from_be_bytes(self.bytes[self.at - 4..self.at].try_into().unwrap()) as usize
            }
        }
    }

    fn string(&mut self) -> &[u8] {
        let len = self.length();
        self.at += len;
        &self.bytes[self.at - len..self.at]
    }
}

/// Strings and integers around every border of the listpack's forms.
fn word(rng: &mut SmallRng) -> Vec<u8> {
    let borders = [0, 127, 128, 4095, 4096, 32767, 32768, 8388607, 8388608, 2147483647, 2147483648, i64::MAX];
    match rng.random_range(0..5) {
        0 => {
            let border: i64 = borders[rng.random_range(0..borders.len())];
            let value = border.saturating_add(rng.random_range(-1..2));
            if rng.random() { value } else { value.wrapping_neg() }.to_string().into_bytes()
        }
        1 => vec![b'a' + rng.random_range(0..20u8); rng.random_range(0..65)],
        2 => format!("{:05}", rng.random_range(0..50)).into_bytes(),
        3 => rng.random_range(-99..999).to_string().into_bytes(),
        _ => format!("{}.5", rng.random_range(0..30)).into_bytes(),
    }
}

#[test]
fn packed_bytes_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    for seed in 0..25 {
        let mut rng = SmallRng::seed_from_u64(seed);
        compare_hash(&mut rng, &mut oracle);
        compare_zset(&mut rng, &mut oracle);
        compare_set(&mut rng, &mut oracle);
        compare_list(&mut rng, &mut oracle);
    }
}

fn compare_hash(rng: &mut SmallRng, oracle: &mut Oracle) {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for _ in 0..150 {
        let (field, value) = (word(rng), word(rng));
        if rng.random_range(0..4) > 0 {
            hash.set(&field, &value, &limits);
            oracle.call(&[b"HSET", b"k", &field, &value]);
        } else {
            hash.remove(&field);
            oracle.call(&[b"HDEL", b"k", &field]);
        }
        assert_eq!(if hash.is_empty() { "" } else { hash.encoding() }, oracle.encoding());
    }
    let (kind, mut dump) = oracle.dump();
    assert_eq!(kind, 16);
    assert_eq!(hash.listpack().unwrap(), dump.string());
    oracle.call(&[b"DEL", b"k"]);
}

fn compare_zset(rng: &mut SmallRng, oracle: &mut Oracle) {
    let limits = Limits::default();
    let mut zset = ZSet::new();
    for _ in 0..100 {
        let member = word(rng);
        let score = match rng.random_range(0..4) {
            0 => f64::from(rng.random_range(-5..5)),
            1 => rng.random_range(-1e3..1e3),
            2 => 10f64.powi(rng.random_range(-20..25)),
            _ => [f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0, 4611686018427387904.0, 1e15]
                [rng.random_range(0..6)],
        };
        if rng.random_range(0..4) > 0 {
            zset.insert(&member, score, &limits);
            oracle.call(&[b"ZADD", b"k", format!("{score:e}").as_bytes(), &member]);
        } else {
            zset.remove(&member);
            oracle.call(&[b"ZREM", b"k", &member]);
        }
    }
    let (kind, mut dump) = oracle.dump();
    assert_eq!(kind, 17);
    assert_eq!(zset.listpack().unwrap().escape_ascii().to_string(), dump.string().escape_ascii().to_string());
    oracle.call(&[b"DEL", b"k"]);
}

fn compare_set(rng: &mut SmallRng, oracle: &mut Oracle) {
    let limits = Limits::default();
    let mut set = Set::new();
    let shift = rng.random_range(0..50);
    for _ in 0..100 {
        let member = (rng.random_range(-100i64..100) << shift).to_string();
        if rng.random_range(0..3) > 0 {
            set.add(member.as_bytes(), &limits);
            oracle.call(&[b"SADD", b"k", member.as_bytes()]);
        } else {
            set.remove(member.as_bytes());
            oracle.call(&[b"SREM", b"k", member.as_bytes()]);
        }
    }
    let (kind, mut dump) = oracle.dump();
    assert_eq!(kind, 11);
    assert_eq!(set.intset().unwrap(), dump.string());
    oracle.call(&[b"DEL", b"k"]);
}

fn compare_list(rng: &mut SmallRng, oracle: &mut Oracle) {
    let limits = Limits::default();
    let mut list = List::new();
    for _ in 0..rng.random_range(1..1500) {
        let value =
            if rng.random_range(0..50) == 0 { vec![b'z'; rng.random_range(0..9000)] } else { word(rng) };
        let (end, command): (End, &[u8]) =
            if rng.random() { (End::Left, b"LPUSH") } else { (End::Right, b"RPUSH") };
        list.push(end, &value, &limits);
        oracle.call(&[command, b"k", &value]);
    }
    let (kind, mut dump) = oracle.dump();
    assert_eq!(kind, 18);
    let chunks: Vec<ListChunk<'_>> = list.chunks().collect();
    assert_eq!(chunks.len(), dump.length());
    for chunk in chunks {
        assert_eq!(dump.length(), 2);
        let ListChunk::Packed(bytes) = chunk else { panic!("a huge element") };
        assert_eq!(bytes, dump.string());
    }
    oracle.call(&[b"DEL", b"k"]);
}

#[test]
fn encodings_change_where_redis_changes_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let limits = Limits::default();
    let (mut hash, mut set, mut zset) = (Hash::new(), Set::new(), ZSet::new());
    for i in 0..515 {
        let name = i.to_string();
        oracle.call(&[b"HSET", b"k", name.as_bytes(), b"v"]);
        hash.set(name.as_bytes(), b"v", &limits);
        assert_eq!(oracle.encoding(), hash.encoding(), "{i}");
    }
    oracle.call(&[b"DEL", b"k"]);
    for i in 0..515 {
        let name = i.to_string();
        oracle.call(&[b"SADD", b"k", name.as_bytes()]);
        set.add(name.as_bytes(), &limits);
        assert_eq!(oracle.encoding(), set.encoding(), "{i}");
    }
    oracle.call(&[b"DEL", b"k"]);
    for i in 0..131 {
        let name = i.to_string();
        oracle.call(&[b"ZADD", b"k", b"1", name.as_bytes()]);
        zset.insert(name.as_bytes(), 1.0, &limits);
        assert_eq!(oracle.encoding(), zset.encoding(), "{i}");
    }
    oracle.call(&[b"DEL", b"k"]);
    for len in [0, 1, 63, 64, 65, 66] {
        let long = vec![b'x'; len];
        let (mut by_field, mut by_value, mut zset) = (Hash::new(), Hash::new(), ZSet::new());
        by_field.set(&long, b"v", &limits);
        by_value.set(b"f", &long, &limits);
        zset.insert(&long, 1.0, &limits);
        oracle.call(&[b"HSET", b"k", &long, b"v"]);
        assert_eq!(oracle.encoding(), by_field.encoding(), "{len}");
        oracle.call(&[b"DEL", b"k"]);
        oracle.call(&[b"HSET", b"k", b"f", &long]);
        assert_eq!(oracle.encoding(), by_value.encoding(), "{len}");
        oracle.call(&[b"DEL", b"k"]);
        oracle.call(&[b"ZADD", b"k", b"1", &long]);
        assert_eq!(oracle.encoding(), zset.encoding(), "{len}");
        oracle.call(&[b"DEL", b"k"]);
    }
}
