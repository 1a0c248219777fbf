//! The slow log: what took longer than `slowlog-log-slower-than`, the newest first, of all workers.

use std::collections::VecDeque;

use parking_lot::Mutex;
use proxy_resp::Args;

/// Arguments of an entry, and bytes of an argument; what is more is told in words.
const ARGS_MAX: usize = 32;
const ARG_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) unix_s: i64,
    pub(crate) us: u64,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) addr: String,
    pub(crate) name: Vec<u8>,
}

/// The entries, and the number of the next one, which RESET leaves as it is.
#[derive(Default)]
pub(crate) struct SlowLog(Mutex<(VecDeque<Entry>, u64)>);

impl SlowLog {
    /// Adds an entry and keeps no more than `max`.
    pub(crate) fn add(&self, entry: Entry, max: usize) {
        let mut log = self.0.lock();
        let id = log.1;
        log.1 += 1;
        log.0.push_front(Entry { id, ..entry });
        log.0.truncate(max);
    }

    /// The newest entries, at most `count`.
    pub(crate) fn newest(&self, count: usize) -> Vec<Entry> {
        self.0.lock().0.iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().0.len()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().0.clear();
    }
}

/// Arguments as an entry keeps them; `hidden` tells which are secret.
pub(crate) fn shortened(args: Args<'_>, hidden: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let kept = args.len().min(ARGS_MAX);
    let mut short = Vec::with_capacity(kept);
    for at in 0..kept {
        if at + 1 == ARGS_MAX && args.len() > ARGS_MAX {
            short.push(format!("... ({} more arguments)", args.len() - at).into_bytes());
        } else if hidden(at) {
            short.push(crate::secrets::REDACTED.to_vec());
        } else {
            let arg = args.at(at);
            let mut text = arg.get(..ARG_MAX).unwrap_or(arg).to_vec();
            if arg.len() > ARG_MAX {
                text.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_MAX).as_bytes());
            }
            short.push(text);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use proxy_resp::OwnedArgs;

    use super::*;

    #[test]
    fn keeps_the_newest_and_shortens_arguments() {
        let log = SlowLog::default();
        for us in 0..5 {
            let entry =
                Entry { id: 0, unix_s: 1, us, args: Vec::new(), addr: String::new(), name: Vec::new() };
            log.add(entry, 3);
        }
        let ids =
            |log: &SlowLog, n| log.newest(n).iter().map(|entry| (entry.id, entry.us)).collect::<Vec<_>>();
        assert_eq!(ids(&log, 10), [(4, 4), (3, 3), (2, 2)]);
        assert_eq!(ids(&log, 1), [(4, 4)]);
        log.clear();
        assert_eq!(log.len(), 0);

        let mut args = OwnedArgs::default();
        (0..40).for_each(|n| args.push(if n == 1 { [b'x'; 130].to_vec() } else { b"a".to_vec() }.as_slice()));
        let short = shortened(args.as_args(), |at| at == 2);
        assert_eq!(short.len(), 32);
        assert!(short[1].ends_with(b"xx... (2 more bytes)"));
        assert_eq!(short[2], b"(redacted)");
        assert_eq!(short[31], b"... (9 more arguments)");
    }
}
