//! MEMORY USAGE: what one key costs. The other subcommands of MEMORY are the session's.

use crate::call::Call;
use crate::errors::Fail;

/// MEMORY USAGE key [SAMPLES count]: the bytes of the entry and all behind it. They are counted as they change, so
/// nothing is sampled; the option is checked and makes no difference.
pub(crate) fn usage(call: &mut Call<'_>) -> Result<(), Fail> {
    let mut at = 3;
    while at < call.args.len() {
        if !call.is(at, "SAMPLES") || at + 1 >= call.args.len() {
            return Err(Fail::SYNTAX);
        }
        if call.int(at + 1)? < 0 {
            return Err(Fail::SYNTAX);
        }
        at += 2;
    }
    match call.peek(call.key(2)) {
        Some(entry) => call.out.integer(entry.memory_bytes() as i64),
        None => call.out.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Usage is what the store counts, whatever is sampled; wrong options are refused as Redis refuses them; a
    //! question about a key is no use of it, a look at its value is.
    #![allow(clippy::unwrap_used)]

    use proxy_store::{AccessRule, Key};

    use crate::testing::TestDb;

    #[test]
    fn usage_counts_the_entry() {
        let mut db = TestDb::new();
        assert_eq!(db.line("MEMORY USAGE k"), "$-1");
        db.line("SET k 0123456789abcdef");
        let bytes = db.primary.find(Key::new(0, b"k")).entry().unwrap().memory_bytes();
        for line in ["MEMORY USAGE k", "MEMORY USAGE k SAMPLES 0", "memory usage k samples 3 SAMPLES 4"] {
            assert_eq!(db.line(line), format!(":{bytes}"));
        }
        db.line(&format!("RPUSH l {}", "x ".repeat(10_000)));
        let list = db.line("MEMORY USAGE l");
        assert!(list[1..].parse::<u64>().unwrap() > 20_000, "{list}");
        for line in ["MEMORY USAGE k SAMPLES", "MEMORY USAGE k SAMPLES -1", "MEMORY USAGE k NAMES 1"] {
            assert_eq!(db.line(line), "-ERR syntax error", "{line}");
        }
        assert_eq!(db.line("MEMORY USAGE k SAMPLES x"), "-ERR value is not an integer or out of range");
    }

    #[test]
    fn questions_are_no_uses() {
        let mut db = TestDb::new();
        db.line("SET k v");
        db.now_ms += 5_500;
        for line in
            ["EXISTS k", "TYPE k", "TTL k", "PTTL k", "EXPIRETIME k", "OBJECT ENCODING k", "MEMORY USAGE k"]
        {
            db.line(line);
            assert_eq!(db.line("OBJECT IDLETIME k"), ":5", "{line}");
        }
        for line in ["TOUCH k", "GET k", "STRLEN k", "APPEND k x", "SET k v", "EXPIRE k 1000", "RENAME k k"] {
            db.now_ms += 3_000;
            db.line(line);
            assert_eq!(db.line("OBJECT IDLETIME k"), ":0", "{line}");
        }
        assert_eq!(db.line("OBJECT IDLETIME none"), "$-1");
        let refused = db.line("OBJECT FREQ k");
        assert!(refused.starts_with("-ERR An LFU maxmemory policy is not selected, "), "{refused}");
    }

    #[test]
    fn restored_keys_get_what_is_given() {
        let mut db = TestDb::new();
        db.line("SET k v");
        let dump = db.run(&["DUMP", "k"]);
        let start = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let payload = dump[start..dump.len() - 2].to_vec();
        let restore = |db: &mut TestDb, option: &str, value: &str| {
            let words: [&[u8]; 7] =
                [b"RESTORE", b"k", b"0", &payload, b"REPLACE", option.as_bytes(), value.as_bytes()];
            assert_eq!(db.run(&words), b"+OK\r\n");
        };
        restore(&mut db, "IDLETIME", "1000");
        assert_eq!(db.line("OBJECT IDLETIME k"), ":1000");
        restore(&mut db, "FREQ", "200");
        assert_eq!(db.line("OBJECT IDLETIME k"), ":0");
        db.primary.set_access_rule(AccessRule { frequency: true, ..AccessRule::default() });
        restore(&mut db, "FREQ", "200");
        assert_eq!(db.line("OBJECT FREQ k"), ":200");
        db.check();
    }

    #[test]
    fn frequencies_go_with_the_key() {
        let mut db = TestDb::new();
        db.primary.set_access_rule(AccessRule { frequency: true, log_factor: 0, decay_minutes: 1 });
        db.line("SET k v");
        assert_eq!(db.line("OBJECT FREQ k"), ":5");
        for _ in 0..10 {
            db.line("GET k");
        }
        db.line("EXISTS k");
        assert_eq!(db.line("OBJECT FREQ k"), ":15");
        db.line("RENAME k l");
        assert_eq!(db.line("OBJECT FREQ l"), ":16");
        db.line("MOVE l 1");
        db.db = 1;
        assert_eq!(db.line("OBJECT FREQ l"), ":17");
        db.line("COPY l m");
        assert_eq!(db.line("OBJECT FREQ m"), ":5");
        db.now_ms += 4 * 60_000;
        assert_eq!(db.line("OBJECT FREQ l"), ":14");
        assert_eq!(db.line("OBJECT FREQ none"), "$-1");
        let refused = db.line("OBJECT IDLETIME l");
        assert!(
            refused.starts_with("-ERR An LFU maxmemory policy is selected, idle time not tracked. "),
            "{refused}"
        );
        db.check();
    }
}
