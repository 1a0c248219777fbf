//! Scripts: chosen ones, which ask for every edge of conversions, libraries, errors and the sandbox, and drawn ones, which
//! move values of all shapes through cjson, cmsgpack, commands and answers.

use rand::Rng;
use rand::rngs::SmallRng;

use super::Draw;
use super::collections::Command;

/// The chosen ones.
pub fn chosen() -> impl Iterator<Item = &'static str> {
    include_str!("../../corpus/scripts.txt").trim_end().split("\n----\n")
}

/// Draws scripts.
pub struct Scripts<'a> {
    pub rng: &'a mut SmallRng,
}

impl Draw for Scripts<'_> {
    fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }
}

impl Scripts<'_> {
    fn text(&mut self, from: &[&str]) -> String {
        String::from_utf8_lossy(&self.pick(from)).into_owned()
    }

    /// A Lua expression of any value that an answer can hold.
    fn value(&mut self, depth: u32) -> String {
        let kinds = if depth > 3 { 6 } else { 12 };
        match self.rng.random_range(0..kinds) {
            0 => self.number(),
            1 => self.text(&[
                "'a'",
                "''",
                "'a b'",
                "'\\0\\255'",
                "'\\r\\n'",
                "'\"\\\\/'",
                "'12'",
                "ARGV[1]",
                "KEYS[1]",
            ]),
            2 => self.text(&["true", "false", "nil"]),
            3 => "cjson.null".into(),
            4 => format!("{{ok={}}}", self.text(&["'fine'", "1", "'a b'", "''"])),
            5 => format!("{{double={}}}", self.number()),
            6 => format!("{{err={}}}", self.text(&["'ERR x'", "'oops'", "'My text here'", "5"])),
            7 => format!("{{map={}}}", self.table(depth + 1, true)),
            8 => format!("{{set={}}}", self.table(depth + 1, true)),
            9 => self.table(depth + 1, true),
            _ => self.table(depth + 1, false),
        }
    }

    fn number(&mut self) -> String {
        let chosen = [
            "0", "-1", "1.5", "-2.25", "1e15", "2^53", "1e300", "-1e-10", "255", "65536", "2^31", "-2^31",
            "0.1",
        ];
        if self.chance(70) {
            self.text(&chosen)
        } else {
            self.rng.random_range(-100_000..100_000).to_string()
        }
    }

    fn table(&mut self, depth: u32, named: bool) -> String {
        let count = self.rng.random_range(0..5);
        let fields: Vec<String> = (0..count)
            .map(|_| {
                let value = self.value(depth);
                // One name at most: the order of several is Lua's own affair.
                if named && count == 1 { format!("{}={value}", self.text(&["a", "b", "_c"])) } else { value }
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn call(&mut self) -> String {
        self.text(&[
            "redis.call('SET', KEYS[1], ARGV[1])",
            "redis.call('GET', KEYS[1])",
            "redis.pcall('INCR', KEYS[1])",
            "redis.pcall('HSET', KEYS[2], 'f', ARGV[1])",
            "redis.pcall('HGETALL', KEYS[2])",
            "redis.pcall('LPUSH', KEYS[2], 1, 2.5, 'x')",
            "redis.pcall('LRANGE', KEYS[2], 0, -1)",
            "redis.pcall('SADD', KEYS[2], ARGV[1])",
            "redis.pcall('SMEMBERS', KEYS[2])",
            "redis.pcall('ZADD', KEYS[2], 1.5, ARGV[1])",
            "redis.pcall('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')",
            "redis.pcall('ZSCORE', KEYS[2], ARGV[1])",
            "redis.call('DEL', KEYS[2])",
            "redis.pcall('nosuch')",
            "redis.pcall('GET')",
            "redis.call('LPUSH', KEYS[1], 1)",
            "redis.call('TYPE', KEYS[2])",
            "redis.call('EXPIRE', KEYS[1], 1000)",
            "redis.call('EXISTS', KEYS[1], KEYS[2])",
            "redis.pcall('XADD', KEYS[2], '1-1', 'f', 'v')",
        ])
    }

    fn script(&mut self) -> String {
        let start = if self.chance(25) { "redis.setresp(3) " } else { "" };
        let body = match self.rng.random_range(0..8) {
            0 => format!("return {}", self.value(0)),
            1 => format!("local ok, e = pcall(cjson.encode, {}) return {{tostring(ok), e}}", self.value(0)),
            2 => format!(
                "return cjson.encode(cjson.decode(cjson.encode({{{}}})))",
                self.text(&["1,2,'x'", "a={1,{},cjson.null}", "'/'", "0.1"])
            ),
            3 => format!("return cmsgpack.pack({})", self.value(0)),
            4 => format!("return {{cmsgpack.unpack(cmsgpack.pack({}))}}", self.value(0)),
            5 => format!("{} return {}", self.call(), self.call()),
            6 => format!("return {{{}, {}, {}}}", self.call(), self.call(), self.value(1)),
            _ => format!(
                "local r = {} return {{type(r), tostring(type(r) == 'table' and (r.err or r.ok or #r))}}",
                self.call()
            ),
        };
        format!("{start}{body}")
    }

    /// A request that runs a script; now and then one that may only read.
    pub fn command(&mut self) -> Command {
        let script = self.script();
        let name = if self.chance(15) { "EVAL_RO" } else { "EVAL" };
        let value = self.text(&["v", "1", "2.5", "", "a b"]);
        let key = self.text(&["k1", "k2"]);
        [name, script.as_str(), "2", key.as_str(), "c", value.as_str()]
            .iter()
            .map(|arg| arg.as_bytes().to_vec())
            .collect()
    }
}
