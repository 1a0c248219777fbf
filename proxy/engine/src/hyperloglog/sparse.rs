//! The sparse form of a HyperLogLog: registers as runs. `00nnnnnn` is n + 1 registers of zero, `01nnnnnn
//! nnnnnnnn` the same for up to 16384, `1rrrrrnn` n + 1 registers of rank r + 1. How runs are split and joined
//! decides the bytes of the value, so it follows Redis step by step.

use std::fmt::Write;

use super::sketch::REGISTERS;

/// One run of all registers, zero.
pub(super) const EMPTY: [u8; 2] = [0x7f, 0xff];

const SHORT_ZEROS: usize = 64;
const LONGEST_RANKS: usize = 4;
const HIGHEST_RANK: u8 = 32;
/// Runs that are looked at for joining after a change.
const JOIN_SCAN: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Zeros; how many bytes the run takes.
    Zeros(usize, usize),
    Ranks(u8, usize),
}

impl Run {
    /// The run at `at`; `None` when there is none or it is cut off.
    fn read(runs: &[u8], at: usize) -> Option<Run> {
        let first = *runs.get(at)?;
        Some(match first >> 6 {
            0 => Run::Zeros(usize::from(first) + 1, 1),
            1 => {
                let second = *runs.get(at + 1)?;
                Run::Zeros((usize::from(first & 63) << 8 | usize::from(second)) + 1, 2)
            }
            _ => Run::Ranks((first >> 2 & 31) + 1, usize::from(first & 3) + 1),
        })
    }

    fn registers(self) -> usize {
        match self {
            Run::Zeros(count, _) | Run::Ranks(_, count) => count,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Run::Zeros(_, bytes) => bytes,
            Run::Ranks(..) => 1,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Run::Zeros(..) => 0,
            Run::Ranks(rank, _) => rank,
        }
    }
}

fn put_zeros(out: &mut Vec<u8>, count: usize) {
    let code = count.wrapping_sub(1);
    match count {
        0 => {}
        1..=SHORT_ZEROS => out.push(code as u8),
        _ => out.extend_from_slice(&[(code >> 8) as u8 | 0x40, code as u8]),
    }
}

fn put_ranks(out: &mut Vec<u8>, rank: u8, count: usize) {
    if count > 0 {
        out.push(ranks_byte(rank, count));
    }
}

fn ranks_byte(rank: u8, count: usize) -> u8 {
    0x80 | (rank - 1) << 2 | (count - 1) as u8
}

/// How raising went.
pub(super) enum Raised {
    /// Whether the register was lower.
    Done(bool),
    /// Nothing was changed: the rank, or the runs, would be more than this form may hold.
    TooLarge,
}

/// Raises the register at `place` to `rank`, unless the runs would grow beyond `limit` bytes. `None`: the runs
/// end before that register.
pub(super) fn raise(runs: &mut Vec<u8>, place: usize, rank: u8, limit: usize) -> Option<Raised> {
    if rank > HIGHEST_RANK {
        return Some(Raised::TooLarge);
    }
    let (mut at, mut first, mut before) = (0, 0, 0);
    let run = loop {
        let run = Run::read(runs, at)?;
        if place < first + run.registers() {
            break run;
        }
        before = at;
        at += run.bytes();
        first += run.registers();
    };
    if run.rank() >= rank {
        return Some(Raised::Done(false));
    }
    let (left, right) = (place - first, first + run.registers() - 1 - place);
    let mut split = Vec::with_capacity(5);
    match run {
        Run::Zeros(..) => {
            put_zeros(&mut split, left);
            put_ranks(&mut split, rank, 1);
            put_zeros(&mut split, right);
        }
        Run::Ranks(old, _) => {
            put_ranks(&mut split, old, left);
            put_ranks(&mut split, rank, 1);
            put_ranks(&mut split, old, right);
        }
    }
    if split.len() > run.bytes() && runs.len() + split.len() - run.bytes() > limit {
        return Some(Raised::TooLarge);
    }
    runs.splice(at..at + run.bytes(), split);
    join(runs, before);
    Some(Raised::Done(true))
}

/// Joins neighbours of equal rank among the runs from `at` on.
fn join(runs: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_SCAN {
        match (Run::read(runs, at), Run::read(runs, at + 1)) {
            (Some(Run::Ranks(rank, a)), Some(Run::Ranks(other, b)))
                if rank == other && a + b <= LONGEST_RANKS =>
            {
                // The joined run may go on being joined with the one behind it.
                runs[at + 1] = ranks_byte(rank, a + b);
                runs.remove(at);
            }
            (Some(run), _) => at += run.bytes(),
            (None, _) => return,
        }
    }
}

/// All registers; `None` when there are not exactly as many as there must be.
pub(super) fn registers(runs: &[u8]) -> Option<Vec<u8>> {
    let mut registers = Vec::with_capacity(REGISTERS);
    let mut at = 0;
    while at < runs.len() {
        let run = Run::read(runs, at)?;
        if registers.len() + run.registers() > REGISTERS {
            return None;
        }
        registers.resize(registers.len() + run.registers(), run.rank());
        at += run.bytes();
    }
    (registers.len() == REGISTERS).then_some(registers)
}

/// The runs as PFDEBUG DECODE shows them.
pub(super) fn describe(runs: &[u8]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(run) = Run::read(runs, at) {
        let _ = match run {
            Run::Zeros(count, 1) => write!(text, "z:{count} "),
            Run::Zeros(count, _) => write!(text, "Z:{count} "),
            Run::Ranks(rank, count) => write!(text, "v:{rank},{count} "),
        };
        at += run.bytes();
    }
    text.trim_end().to_owned()
}
