//! A redis-server of the tests' own, on a free port and in a folder that vanishes, with a minimal client.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    child: Child,
    folder: tempfile::TempDir,
    stream: BufReader<TcpStream>,
}

/// One reply.
#[derive(Debug)]
pub enum Reply {
    Text(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
    Nothing,
}

impl Reply {
    pub fn text(self) -> String {
        match self {
            Reply::Text(text) => text,
            other => panic!("not a status: {other:?}"),
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        match self {
            Reply::Bytes(bytes) => bytes,
            other => panic!("not a string: {other:?}"),
        }
    }
}

impl Redis {
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(folder.path())
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "redis-server doesn't answer: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { child, folder, stream: BufReader::new(stream) }
    }

    pub fn rdb_path(&self) -> PathBuf {
        self.folder.path().join("dump.rdb")
    }

    pub fn call(&mut self, args: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend(format!("${}\r\n", arg.len()).into_bytes());
            request.extend(*arg);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        self.reply()
    }

    pub fn call_text(&mut self, args: &[&str]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.call(&args)
    }

    pub fn ok(&mut self, args: &[&str]) {
        assert_eq!(self.call_text(args).text(), "OK", "{args:?}");
    }

    pub fn integer(&mut self, args: &[&[u8]]) -> i64 {
        match self.call(args) {
            Reply::Integer(value) => value,
            other => panic!("not an integer: {other:?}"),
        }
    }

    pub fn strings(&mut self, args: &[&[u8]]) -> Vec<Vec<u8>> {
        match self.call(args) {
            Reply::Array(items) => items.into_iter().map(Reply::bytes).collect(),
            other => panic!("not an array: {other:?}"),
        }
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" => Reply::Text(rest.into()),
            ":" => Reply::Integer(rest.parse().unwrap()),
            "$" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Bytes(bytes)
            }
            "*" => Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.reply()).collect()),
            _ => panic!("an error: {line}"),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
