//! BITFIELD: integers of 1 to 64 bits at any bit of a string. Operations see what operations before them
//! wrote, so written bytes are kept beside the string until all is decided; what is logged is those bytes.

use std::collections::BTreeMap;

use proxy_store::IntBuf;
use smallvec::SmallVec;

use super::bit_offset;
use crate::call::Call;
use crate::errors::Fail;

const KIND: Fail = Fail::text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);
const OVERFLOW: Fail = Fail::text("ERR Invalid OVERFLOW type specified");
const READ_ONLY: Fail = Fail::text("ERR BITFIELD_RO only supports the GET subcommand");

/// What happens to a number that doesn't fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// An integer type: u1 to u63, i1 to i64.
#[derive(Clone, Copy)]
struct Kind {
    signed: bool,
    bits: u32,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    action: Action,
    kind: Kind,
    /// The field's first bit.
    at: usize,
    overflow: Overflow,
}

impl Kind {
    fn parse(text: &[u8]) -> Result<Self, Fail> {
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(KIND),
        };
        let widest = if signed { 64 } else { 63 };
        match proxy_resp::parse_i64(digits) {
            Some(bits) if (1..=widest).contains(&bits) => Ok(Self { signed, bits: bits as u32 }),
            _ => Err(KIND),
        }
    }

    /// The number that the field's bits mean.
    fn read(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (raw << unused) as i64 >> unused } else { raw as i64 }
    }

    /// What SET takes a number for. Redis finds the distance to the largest number that fits by a subtraction that
    /// wraps around: numbers far below the smallest count as too large, which saturation shows.
    fn set_value(self, value: i64) -> i128 {
        let max = (1i64 << (self.bits.min(63) - 1)) - 1;
        let wraps = self.bits < 64 && value < 0 && max.wrapping_sub(value) < 0;
        i128::from(value) + if wraps { 1 << 64 } else { 0 }
    }

    /// `value` made to fit, or nothing when it doesn't and must not be made to.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let magnitude = if self.signed { self.bits - 1 } else { self.bits };
        let max = (1i128 << magnitude) - 1;
        let min = if self.signed { -max - 1 } else { 0 };
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.read(value as u64 & (u64::MAX >> (64 - self.bits)))),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }
}

/// BITFIELD key [GET type offset | [OVERFLOW WRAP|SAT|FAIL] SET type offset value | INCRBY ...] ...
pub(crate) fn bitfield(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, false)
}

/// BITFIELD_RO key [GET type offset ...]
pub(crate) fn bitfield_ro(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, true)
}

fn parse(call: &Call<'_>) -> Result<SmallVec<[Operation; 4]>, Fail> {
    let mut operations = SmallVec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < call.args.len() {
        let rest = call.args.len() - at - 1;
        if call.is(at, "OVERFLOW") && rest >= 1 {
            overflow = match () {
                () if call.is(at + 1, "WRAP") => Overflow::Wrap,
                () if call.is(at + 1, "SAT") => Overflow::Saturate,
                () if call.is(at + 1, "FAIL") => Overflow::Fail,
                () => return Err(OVERFLOW),
            };
            at += 2;
            continue;
        }
        let action: fn(i64) -> Action = match () {
            () if call.is(at, "GET") && rest >= 2 => |_| Action::Get,
            () if call.is(at, "SET") && rest >= 3 => Action::Set,
            () if call.is(at, "INCRBY") && rest >= 3 => Action::Add,
            () => return Err(Fail::SYNTAX),
        };
        let kind = Kind::parse(call.args.at(at + 1))?;
        let offset = bit_offset(call.args.at(at + 2), Some(kind.bits))?;
        let reads = matches!(action(0), Action::Get);
        let action = action(if reads { 0 } else { call.int(at + 3)? });
        operations.push(Operation { action, kind, at: offset, overflow });
        at += if reads { 3 } else { 4 };
    }
    Ok(operations)
}

fn run(call: &mut Call<'_>, read_only: bool) -> Result<(), Fail> {
    let operations = parse(call)?;
    let writes = || operations.iter().filter(|operation| !matches!(operation.action, Action::Get));
    if read_only && writes().next().is_some() {
        return Err(READ_ONLY);
    }
    // A string is made long enough for every field that is written, whether the writing succeeds or not.
    let needed = writes().map(|operation| (operation.at + operation.kind.bits as usize).div_ceil(8)).max();
    let key = call.key(1);
    let found = call.find_string(key)?;
    let mut handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let mut digits = IntBuf::new();
    let bytes = found.as_ref().map_or(&b""[..], |(value, _)| value.as_bytes(&mut digits));
    let mut fields = Fields { bytes, written: BTreeMap::new() };
    call.out.array(operations.len());
    for operation in &operations {
        match fields.run(*operation) {
            Some(number) => call.out.integer(number),
            None => call.out.null(),
        }
    }
    if let Some(last) = needed.filter(|needed| *needed > bytes.len()).map(|needed| needed - 1) {
        fields.written.entry(last).or_insert(0);
    }
    for (offset, run) in fields.runs() {
        call.fx.set_range(key, handle.take(), offset as u32, &run);
    }
    Ok(())
}

/// A string and the bytes that were written over it.
struct Fields<'a> {
    bytes: &'a [u8],
    written: BTreeMap<usize, u8>,
}

impl Fields<'_> {
    /// Carries one operation out and returns what it answers.
    fn run(&mut self, Operation { action, kind, at, overflow }: Operation) -> Option<i64> {
        let old = kind.read(self.raw(at, kind.bits));
        let new = match action {
            Action::Get => return Some(old),
            // An unsigned field takes a negative number for a huge one.
            Action::Set(value) if !kind.signed => kind.fit(i128::from(value as u64), overflow)?,
            Action::Set(value) => kind.fit(kind.set_value(value), overflow)?,
            Action::Add(by) => kind.fit(i128::from(old) + i128::from(by), overflow)?,
        };
        self.write(at, kind.bits, new as u64);
        Some(if matches!(action, Action::Set(_)) { old } else { new })
    }

    fn byte(&self, index: usize) -> u8 {
        self.written.get(&index).or_else(|| self.bytes.get(index)).copied().unwrap_or(0)
    }

    /// The bytes of a field as one number, and how many bits of it lie behind the field.
    fn window(&self, at: usize, bits: u32) -> (u128, u32, std::ops::Range<usize>) {
        let bytes = at / 8..(at + bits as usize).div_ceil(8);
        let window = bytes.clone().fold(0u128, |window, index| window << 8 | u128::from(self.byte(index)));
        let behind = bytes.end * 8 - (at + bits as usize);
        (window, behind as u32, bytes)
    }

    fn raw(&self, at: usize, bits: u32) -> u64 {
        let (window, behind, _) = self.window(at, bits);
        (window >> behind) as u64 & (u64::MAX >> (64 - bits))
    }

    fn write(&mut self, at: usize, bits: u32, raw: u64) {
        let (window, behind, bytes) = self.window(at, bits);
        let mask = u128::from(u64::MAX >> (64 - bits)) << behind;
        let mut window = window & !mask | (u128::from(raw) << behind) & mask;
        for index in bytes.rev() {
            if self.bytes.get(index) == Some(&(window as u8)) {
                self.written.remove(&index);
            } else {
                self.written.insert(index, window as u8);
            }
            window >>= 8;
        }
    }

    /// Written bytes in runs, each with the offset of its first byte.
    fn runs(&self) -> Vec<(usize, Vec<u8>)> {
        let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
        for (&index, &byte) in &self.written {
            match runs.last_mut() {
                Some((start, run)) if *start + run.len() == index => run.push(byte),
                _ => runs.push((index, vec![byte])),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_apart_at_every_place_and_width() {
        for bits in 1..=64 {
            for at in 0..20 {
                let kind = Kind { signed: true, bits };
                let mut fields = Fields { bytes: &[0xa5; 12], written: BTreeMap::new() };
                let before: Vec<u8> = (0..12).map(|index| fields.byte(index)).collect();
                let set =
                    |value| Operation { action: Action::Set(value), kind, at, overflow: Overflow::Wrap };
                let old = fields.run(set(-1));
                let get = Operation { action: Action::Get, ..set(0) };
                assert_eq!(fields.run(get), Some(-1), "i{bits} at {at}");
                assert_eq!(fields.run(set(old.unwrap_or(0))), Some(-1));
                assert!(
                    (0..12).all(|index| fields.byte(index) == before[index]) && fields.written.is_empty()
                );
            }
        }
    }

    #[test]
    fn overflows_go_three_ways() {
        let u8 = Kind { signed: false, bits: 8 };
        let i4 = Kind { signed: true, bits: 4 };
        assert_eq!(u8.fit(256, Overflow::Wrap), Some(0));
        assert_eq!(u8.fit(-1, Overflow::Wrap), Some(255));
        assert_eq!(u8.fit(-1, Overflow::Saturate), Some(0));
        assert_eq!(u8.fit(300, Overflow::Saturate), Some(255));
        assert_eq!(u8.fit(300, Overflow::Fail), None);
        assert_eq!(i4.fit(8, Overflow::Wrap), Some(-8));
        assert_eq!(i4.fit(-9, Overflow::Saturate), Some(-8));
        assert_eq!(i4.fit(7, Overflow::Fail), Some(7));
        assert_eq!(i4.fit(i4.set_value(i64::MIN), Overflow::Saturate), Some(7));
        assert_eq!(i4.fit(i4.set_value(-9), Overflow::Saturate), Some(-8));
    }
}
