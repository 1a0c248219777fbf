//! The HyperLogLog commands. A HyperLogLog is a string in Redis's own form, byte for byte: `sketch` knows the
//! form, `sparse` its run-length half, `estimate` counts and hashes. What is logged is the bytes that change.

mod estimate;
mod sketch;
mod sparse;

use proxy_store::{Elem, Entry, ExpireChange, Handle, Key};

use crate::call::Call;
use crate::errors::Fail;
use estimate::{cardinality, place_and_rank};
use sketch::{CACHE, Sketch};

const NOT_SKETCH: Fail = Fail::text("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: Fail = Fail::text("INVALIDOBJ Corrupted HLL object detected");

/// The HyperLogLog at a key, as its bytes.
fn find<'a>(call: &mut Call<'a>, key: Key<'a>) -> Result<Option<(&'a [u8], Entry<'a>)>, Fail> {
    match call.find_string(key)? {
        None => Ok(None),
        Some((Elem::Bytes(bytes), entry)) if sketch::is_sketch(bytes) => Ok(Some((bytes, entry))),
        Some(_) => Err(NOT_SKETCH),
    }
}

/// Logs what turns `old` into `sketch`, and little more than that.
fn log(call: &mut Call<'_>, key: Key<'_>, handle: Option<Handle>, old: &[u8], sketch: &mut Sketch) {
    let mut handle = handle;
    if sketch::is_sketch(old)
        && sketch::is_dense(old)
        && let Some(runs) = sketch.changed_runs()
    {
        let new = sketch.bytes();
        for run in runs {
            let (before, after) = (old.get(run.clone()), new.get(run.clone()));
            if let Some(bytes) = after.filter(|_| before != after) {
                call.fx.set_range(key, handle.take(), run.start as u32, bytes);
            }
        }
        return;
    }
    let new = sketch.bytes();
    if new.len() < old.len() || old.is_empty() {
        let expire = if old.is_empty() { ExpireChange::Clear } else { ExpireChange::Keep };
        return call.fx.set_string(key, handle, new, expire);
    }
    let (head, registers) = new.split_at(sketch::HEADER.min(new.len()));
    for (offset, new) in [(0, head), (head.len(), registers)] {
        let old = old.get(offset..).unwrap_or_default();
        let differs = |at: &usize| old.get(*at) != new.get(*at);
        let (first, last) = ((0..new.len()).find(differs), (0..new.len()).rfind(differs));
        if let (Some(first), Some(last)) = (first, last) {
            call.fx.set_range(key, handle.take(), (offset + first) as u32, &new[first..=last]);
        }
    }
}

/// PFADD key [element ...]
pub(crate) fn pfadd(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(1);
    let found = find(call, key)?;
    let old = found.as_ref().map_or(&b""[..], |(bytes, _)| bytes);
    let sparse_max = call.ks.limits().hll_sparse_max_bytes;
    let mut sketch =
        if found.is_some() { Sketch::new(old.to_vec(), sparse_max) } else { Sketch::empty(sparse_max) };
    let mut changed = found.is_none();
    for element in call.args.slice(2..).iter() {
        let (place, rank) = place_and_rank(element);
        changed |= sketch.raise(place, rank).ok_or(CORRUPT)?;
    }
    if changed {
        sketch.forget_estimate();
        let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
        log(call, key, handle, old, &mut sketch);
    }
    call.out.integer(i64::from(changed));
    Ok(())
}

/// PFCOUNT key [key ...]
pub(crate) fn pfcount(call: &mut Call<'_>) -> Result<(), Fail> {
    if call.args.len() > 2 {
        let registers = joined(call, 1)?.registers;
        call.out.integer(cardinality(&registers) as i64);
        return Ok(());
    }
    let key = call.key(1);
    let Some((bytes, entry)) = find(call, key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let count = if let Some(known) = sketch::known_estimate(bytes) {
        known
    } else {
        let count = cardinality(&sketch::registers(bytes).ok_or(CORRUPT)?);
        // The estimate is kept in the value, as in Redis, where the value is a part of the answer to GET.
        if call.is_primary() {
            let handle = call.handle(&entry);
            call.fx.set_range(key, handle, CACHE as u32, &count.to_le_bytes());
        }
        count
    };
    call.out.integer(count as i64);
    Ok(())
}

/// Several HyperLogLogs as one.
struct Joined {
    registers: Vec<u8>,
    /// Whether one of them is dense.
    dense: bool,
}

/// Joins those at the arguments from `first` on; missing ones count as empty.
fn joined(call: &mut Call<'_>, first: usize) -> Result<Joined, Fail> {
    let mut joined = Joined { registers: vec![0; sketch::REGISTERS], dense: false };
    for at in first..call.args.len() {
        let Some((bytes, _)) = find(call, call.key(at))? else { continue };
        joined.dense |= sketch::is_dense(bytes);
        let registers = sketch::registers(bytes).ok_or(CORRUPT)?;
        joined.registers.iter_mut().zip(registers).for_each(|(most, rank)| *most = (*most).max(rank));
    }
    Ok(joined)
}

/// PFMERGE destkey [sourcekey ...]
pub(crate) fn pfmerge(call: &mut Call<'_>) -> Result<(), Fail> {
    let Joined { registers, dense } = joined(call, 1)?;
    let key = call.key(1);
    let found = find(call, key)?;
    let old = found.as_ref().map_or(&b""[..], |(bytes, _)| bytes);
    let sparse_max = call.ks.limits().hll_sparse_max_bytes;
    let mut sketch =
        if found.is_some() { Sketch::new(old.to_vec(), sparse_max) } else { Sketch::empty(sparse_max) };
    if dense {
        sketch.make_dense().ok_or(CORRUPT)?;
    }
    for (place, rank) in registers.into_iter().enumerate().filter(|(_, rank)| *rank > 0) {
        sketch.raise(place, rank).ok_or(CORRUPT)?;
    }
    sketch.forget_estimate();
    let handle = call.handle_of(found.as_ref().map(|(_, entry)| entry));
    let effects = call.fx.len();
    log(call, key, handle, old, &mut sketch);
    if call.fx.len() == effects {
        call.touched = Some(1);
    }
    call.out.ok();
    Ok(())
}

/// PFDEBUG ENCODING|DECODE|TODENSE|GETREG key
pub(crate) fn pfdebug(call: &mut Call<'_>) -> Result<(), Fail> {
    let key = call.key(2);
    let (bytes, entry) =
        find(call, key)?.ok_or(const { Fail::text("ERR The specified key does not exist") })?;
    let handle = call.handle(&entry);
    if call.is(1, "ENCODING") {
        call.out.simple(if sketch::is_dense(bytes) { "dense" } else { "sparse" });
    } else if call.is(1, "DECODE") {
        if sketch::is_dense(bytes) {
            return Err(Fail::text("ERR HLL encoding is not sparse"));
        }
        call.out.bulk(sparse::describe(sketch::body(bytes)).as_bytes());
    } else if call.is(1, "TODENSE") || call.is(1, "GETREG") {
        let mut sketch = Sketch::new(bytes.to_vec(), call.ks.limits().hll_sparse_max_bytes);
        sketch.make_dense().ok_or(CORRUPT)?;
        if !sketch::is_dense(bytes) {
            log(call, key, handle, bytes, &mut sketch);
        }
        if call.is(1, "TODENSE") {
            call.out.integer(i64::from(!sketch::is_dense(bytes)));
        } else {
            let registers = sketch::registers(sketch.bytes()).ok_or(CORRUPT)?;
            call.out.array(registers.len());
            registers.into_iter().for_each(|rank| call.out.integer(i64::from(rank)));
        }
    } else {
        let mut text = b"ERR Unknown PFDEBUG subcommand '".to_vec();
        text.extend_from_slice(Fail::quotable(call.args.at(1), 128));
        text.push(b'\'');
        return Err(Fail::owned(text));
    }
    Ok(())
}

/// PFSELFTEST: both forms get the same elements, must hold the same registers, and must count them well.
pub(crate) fn pfselftest(call: &mut Call<'_>) -> Result<(), Fail> {
    const ELEMENTS: u64 = 20_000;
    /// Three times the standard error of 16384 registers.
    const TOLERANCE: f64 = 3.0 * 1.04 / 128.0;
    let failed = |what: &str| Fail::owned(format!("ERR TESTFAILED {what}"));
    let sparse_max = call.ks.limits().hll_sparse_max_bytes;
    let (mut dense, mut sparse) = (Sketch::empty(sparse_max), Sketch::empty(sparse_max));
    dense.make_dense().ok_or(CORRUPT)?;
    for element in 0..ELEMENTS {
        let (place, rank) = place_and_rank(&element.to_le_bytes());
        dense.raise(place, rank).ok_or(CORRUPT)?;
        sparse.raise(place, rank).ok_or(CORRUPT)?;
        let added = element + 1;
        if !added.is_power_of_two() && added != ELEMENTS {
            continue;
        }
        let registers = sketch::registers(dense.bytes()).ok_or(CORRUPT)?;
        if Some(&registers) != sketch::registers(sparse.bytes()).as_ref() {
            return Err(failed("dense and sparse registers differ"));
        }
        let error = (cardinality(&registers) as f64 - added as f64).abs();
        if error > (added as f64 * TOLERANCE).max(1.0) {
            return Err(failed("the estimate is too far off"));
        }
    }
    call.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestDb;

    #[test]
    fn bytes_are_those_of_redis() {
        let mut db = TestDb::new();
        db.line("PFADD h a");
        db.line("PFADD h b c d e f g");
        let expected: &[u8] = b"$38\r\nHYLL\x01\0\0\0\0\0\0\0\0\0\0\x80Fm\x80V\x0c\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ\r\n";
        assert_eq!(db.run(&["GET", "h"]), expected);
        assert_eq!(db.line("PFCOUNT h"), ":7");
        assert_eq!(db.run(&["GETRANGE", "h", "8", "15"]), b"$8\r\n\x07\0\0\0\0\0\0\0\r\n");
        assert_eq!(db.line("PFADD h a"), ":0");
        assert_eq!(db.line("PFADD h x"), ":1");
        assert_eq!(db.line("PFSELFTEST"), "+OK");
        db.check();
    }

    #[test]
    fn merging_keeps_the_lifetime_and_counts_each_once() {
        let mut db = TestDb::new();
        for i in 0..3000 {
            db.line(&format!("PFADD a x{i}"));
            db.line(&format!("PFADD b x{}", i + 1500));
        }
        db.line("PFADD c y");
        db.line("EXPIRE c 100");
        assert_eq!(db.line("PFDEBUG ENCODING a"), "+dense");
        let union = db.line("PFCOUNT a b");
        assert_eq!(db.line("PFMERGE c a b"), "+OK");
        assert_eq!(db.line("TTL c"), ":100");
        let count = |text: &str| text.trim_start_matches(':').parse::<f64>().unwrap_or(0.0);
        // Single registers of a dense one reach the replica, which the check at the end compares.
        let registers = db.run(&["GETRANGE", "c", "16", "-1"]);
        for i in 0..50 {
            db.line(&format!("PFADD c one-{i}"));
        }
        assert_ne!(db.run(&["GETRANGE", "c", "16", "-1"]), registers);
        db.line("PFMERGE c a b");
        assert!((count(&union) - 4500.0).abs() < 100.0, "{union}");
        assert!((count(&db.line("PFCOUNT c")) - count(&union) - 50.0).abs() <= 30.0);
        db.check();
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        let mut db = TestDb::new();
        db.line("SET s abc");
        db.line("RPUSH l 1");
        db.run(&[&b"SET"[..], b"cut", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f"]);
        for (line, expected) in [
            ("PFADD s a", "-WRONGTYPE Key is not a valid HyperLogLog string value."),
            ("PFCOUNT l", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("PFCOUNT cut", "-INVALIDOBJ Corrupted HLL object detected"),
            ("PFMERGE x cut", "-INVALIDOBJ Corrupted HLL object detected"),
            ("PFDEBUG ENCODING none", "-ERR The specified key does not exist"),
        ] {
            assert_eq!(db.line(line), expected, "{line}");
        }
    }
}
