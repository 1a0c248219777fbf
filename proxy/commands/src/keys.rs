//! Key positions of one call: what COMMAND GETKEYS prints, what routing and ACL look at.
//! Arguments come as a count and a function, so that any argument store can be walked.

use crate::{Begin, Find, Id, KeyFlags, Row};

/// Why the keys of a call can't be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeysError {
    /// The command has no keys at all.
    NoKeys,
    /// A count of keys is no number, not positive, or larger than the arguments that follow.
    BadCount,
}

impl Row {
    /// True when first/last/step say everything about the keys.
    pub const fn has_plain_keys(&self) -> bool {
        self.first_key > 0 && !self.flags.has(crate::Flags::MOVABLEKEYS)
    }

    /// Positions of the keys of a call with `argc` arguments when [`Row::has_plain_keys`]:
    /// an iterator over argument positions, the first one first.
    pub fn plain_keys(&self, argc: usize) -> impl Iterator<Item = usize> + use<> {
        let last = if self.last_key < 0 {
            argc.checked_sub(self.last_key.unsigned_abs() as usize)
        } else {
            Some((self.last_key as usize).min(argc.saturating_sub(1)))
        };
        let first = self.first_key.max(0) as usize;
        let end = if first == 0 { 0 } else { last.map_or(0, |last| last + 1) };
        (first..end.max(first)).step_by(self.step.max(1) as usize)
    }

    /// Calls `found(position, flags)` for every key of a call with `argc` arguments, the name at 0.
    /// `arg(i)` gives an argument's bytes. A call may be reported in part before an error.
    pub fn for_each_key<'a>(
        &self,
        argc: usize,
        arg: impl Fn(usize) -> &'a [u8],
        mut found: impl FnMut(usize, KeyFlags),
    ) -> Result<(), KeysError> {
        if self.specs.iter().all(|spec| spec.flags.has(KeyFlags::NOT_KEY)) {
            return Err(KeysError::NoKeys);
        }
        if self.id == Id::Migrate {
            let flags = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::DELETE;
            let keys = migrated(argc, &arg).ok_or(KeysError::BadCount)?;
            keys.for_each(|at| found(at, flags));
            return Ok(());
        }
        for spec in self.specs {
            let begin = match spec.begin {
                Begin::Index(begin) => begin as usize,
                Begin::Keyword { word, from } => match behind(word, from as usize, argc, &arg) {
                    Some(begin) => begin,
                    None => continue,
                },
                Begin::Unknown => {
                    if self.id == Id::Sort
                        && spec.flags.has(KeyFlags::OW)
                        && let Some(at) = sort_destination(argc, &arg)
                    {
                        found(at, spec.flags);
                    }
                    continue;
                }
            };
            let (first, count, step) = match spec.find {
                Find::Unknown => continue,
                Find::Range { last, step, limit } => {
                    let last = match last {
                        0.. => begin + last as usize,
                        // That fraction of what is left.
                        _ if limit > 1 => {
                            let count = argc.saturating_sub(begin) / limit as usize;
                            (begin + count).saturating_sub(last.unsigned_abs() as usize)
                        }
                        _ => argc.saturating_sub(last.unsigned_abs() as usize),
                    };
                    if last >= argc || last < begin {
                        return Err(KeysError::BadCount);
                    }
                    (begin, (last - begin) / step as usize + 1, step as usize)
                }
                Find::Count { count_at, first, step } => {
                    let at = begin + count_at as usize;
                    let first = begin + first as usize;
                    let step = step as usize;
                    let count =
                        if at < argc { parse_count(arg(at)) } else { None }.ok_or(KeysError::BadCount)?;
                    if count == 0 || first + (count - 1).saturating_mul(step) >= argc {
                        return Err(KeysError::BadCount);
                    }
                    (first, count, step)
                }
            };
            let flags =
                if spec.flags.has(KeyFlags::VARIABLE) { self.flags_of_call(argc, &arg) } else { spec.flags };
            for i in 0..count {
                found(first + i * step, flags);
            }
        }
        Ok(())
    }

    /// Flags that depend on the arguments: SET reads the old value only with GET, BITFIELD may only read.
    fn flags_of_call<'a>(&self, argc: usize, arg: &impl Fn(usize) -> &'a [u8]) -> KeyFlags {
        let is = |at: usize, word: &str| at < argc && arg(at).eq_ignore_ascii_case(word.as_bytes());
        let changes = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        if self.id == Id::Set {
            let reads = (3..argc).any(|at| is(at, "GET"));
            return if reads { changes } else { KeyFlags::OW | KeyFlags::UPDATE };
        }
        let mut at = 2;
        while at < argc {
            at += match () {
                () if is(at, "GET") && at + 2 < argc => 3,
                () if is(at, "OVERFLOW") && at + 1 < argc => 2,
                () => return changes,
            };
        }
        KeyFlags::RO | KeyFlags::ACCESS
    }
}

/// The position behind `word`; the last argument is no such word, because nothing stands behind it.
fn behind<'a>(word: &str, from: usize, argc: usize, arg: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let last = argc.saturating_sub(1);
    (from..last).find(|at| arg(*at).eq_ignore_ascii_case(word.as_bytes())).map(|at| at + 1)
}

/// Where SORT stores: behind its last STORE that is no other option's argument.
fn sort_destination<'a>(argc: usize, arg: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let (mut destination, mut at) = (None, 2);
    while at < argc {
        let is = |word: &str| arg(at).eq_ignore_ascii_case(word.as_bytes());
        if is("LIMIT") {
            at += 2;
        } else if is("GET") || is("BY") {
            at += 1;
        } else if is("STORE") && at + 1 < argc {
            destination = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    destination
}

/// The keys of MIGRATE: the third argument, or all behind KEYS where that is empty. `None` when there are both, or none.
fn migrated<'a>(argc: usize, arg: &impl Fn(usize) -> &'a [u8]) -> Option<std::ops::Range<usize>> {
    let mut at = 6;
    while argc > 7 && at < argc {
        let is = |word: &str| arg(at).eq_ignore_ascii_case(word.as_bytes());
        if is("KEYS") {
            return (arg(3).is_empty() && at + 1 < argc).then_some(at + 1..argc);
        }
        at += match () {
            () if is("AUTH") => 2,
            () if is("AUTH2") => 3,
            () => 1,
        };
    }
    Some(3..4)
}

/// A small non-negative decimal number; longer than nine digits is no count of arguments.
fn parse_count(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0usize, |n, b| b.is_ascii_digit().then(|| n * 10 + (b - b'0') as usize))
}
