//! LCS: the longest common subsequence of two strings, its length, or where it lies in both.

use proxy_store::IntBuf;

use crate::call::Call;
use crate::errors::{Fail, MAX_STRING};

const NOT_STRINGS: Fail = Fail::text("ERR The specified keys must contain string values");
const LEN_AND_IDX: Fail = Fail::text("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LARGE: Fail =
    Fail::text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    min_match: usize,
    with_match_len: bool,
}

/// A run of bytes that both strings share: first positions in each, and its length.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub(crate) fn lcs(call: &mut Call<'_>) -> Result<(), Fail> {
    let a = call.find_string(call.key(1)).map_err(|_| NOT_STRINGS)?;
    let b = call.find_string(call.key(2)).map_err(|_| NOT_STRINGS)?;
    let options = parse(call)?;
    let (mut a_digits, mut b_digits) = (IntBuf::new(), IntBuf::new());
    let a = a.as_ref().map_or(&b""[..], |(value, _)| value.as_bytes(&mut a_digits));
    let b = b.as_ref().map_or(&b""[..], |(value, _)| value.as_bytes(&mut b_digits));
    let cells = (a.len() + 1).saturating_mul(b.len() + 1);
    if cells.saturating_mul(size_of::<u32>()) > MAX_STRING {
        return Err(TOO_LARGE);
    }
    if options.len {
        call.out.integer(i64::from(length(a, b)));
        return Ok(());
    }
    let table = Table::new(a, b);
    if options.idx {
        reply_matches(call, &table, &options);
    } else {
        call.out.bulk(&table.subsequence());
    }
    Ok(())
}

fn parse(call: &Call<'_>) -> Result<Options, Fail> {
    let mut options = Options::default();
    let mut at = 3;
    while at < call.args.len() {
        if call.is(at, "IDX") {
            options.idx = true;
        } else if call.is(at, "LEN") {
            options.len = true;
        } else if call.is(at, "WITHMATCHLEN") {
            options.with_match_len = true;
        } else if call.is(at, "MINMATCHLEN") && at + 1 < call.args.len() {
            options.min_match = call.int(at + 1)?.max(0) as usize;
            at += 1;
        } else {
            return Err(Fail::SYNTAX);
        }
        at += 1;
    }
    if options.len && options.idx { Err(LEN_AND_IDX) } else { Ok(options) }
}

fn reply_matches(call: &mut Call<'_>, table: &Table<'_>, options: &Options) {
    call.out.map(2);
    call.out.bulk(b"matches");
    let mark = call.out.deferred_array();
    let mut count = 0;
    table.matches(&mut |found| {
        if found.len < options.min_match {
            return;
        }
        count += 1;
        call.out.array(2 + usize::from(options.with_match_len));
        for first in [found.a, found.b] {
            call.out.array(2);
            call.out.integer(first as i64);
            call.out.integer((first + found.len - 1) as i64);
        }
        if options.with_match_len {
            call.out.integer(found.len as i64);
        }
    });
    call.out.finish_array(mark, count);
    call.out.bulk(b"len");
    call.out.integer(i64::from(table.at(table.a.len(), table.b.len())));
}

/// The length alone needs two rows, not the table.
fn length(a: &[u8], b: &[u8]) -> u32 {
    let mut above = vec![0u32; b.len() + 1];
    let mut row = above.clone();
    for x in a {
        fill(*x, b, &above, &mut row);
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

/// One row of the table from the row above it.
fn fill(x: u8, b: &[u8], above: &[u32], row: &mut [u32]) {
    for (j, y) in b.iter().enumerate() {
        row[j + 1] = if x == *y { above[j] + 1 } else { above[j + 1].max(row[j]) };
    }
}

/// Lengths for every pair of prefixes.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    cells: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8]) -> Self {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            let (above, row) = cells[i * width..(i + 2) * width].split_at_mut(width);
            fill(*x, b, above, row);
        }
        Self { a, b, cells }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * (self.b.len() + 1) + j]
    }

    /// Calls `f` with the positions of each shared byte, last first.
    fn walk(&self, f: &mut dyn FnMut(usize, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                f(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.walk(&mut |i, _| out.push(self.a[i]));
        out.reverse();
        out
    }

    /// Calls `f` for each run of bytes that lie side by side in both strings, last first.
    fn matches(&self, f: &mut dyn FnMut(&Match)) {
        let mut open: Option<Match> = None;
        self.walk(&mut |i, j| match &mut open {
            Some(run) if run.a == i + 1 && run.b == j + 1 => {
                *run = Match { a: i, b: j, len: run.len + 1 };
            }
            _ => {
                if let Some(run) = open.replace(Match { a: i, b: j, len: 1 }) {
                    f(&run);
                }
            }
        });
        if let Some(run) = open {
            f(&run);
        }
    }
}
