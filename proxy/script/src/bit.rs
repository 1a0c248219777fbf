//! The `bit` library: operations on 32-bit integers, with LuaBitOp's rules.

use mlua::{Lua, Table, Value, Variadic};

use crate::{errors, number};

/// A number as 32 bits: rounded to an integer, then taken modulo 2^32.
fn bits(lua: &Lua, args: &[Value], at: usize, function: &str) -> mlua::Result<i32> {
    let Some(number) = args.get(at).and_then(|value| number::coerced(lua, value)) else {
        return Err(errors::type_of_argument(lua, at + 1, function, "number", args.get(at)));
    };
    // The magic addend rounds to even and leaves the low bits at the end of the mantissa.
    Ok((number + 6_755_399_441_055_744.0).to_bits() as i32)
}

fn hex(value: i32, digits: i32) -> String {
    let upper = digits < 0;
    let n = digits.unsigned_abs().min(8) as usize;
    let text = format!("{value:08x}");
    let text = text.get(8 - n..).unwrap_or_default().to_owned();
    if upper { text.to_ascii_uppercase() } else { text }
}

/// The library's table.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let unary: [(&'static str, fn(i32) -> i32); 3] =
        [("tobit", |x| x), ("bnot", |x| !x), ("bswap", i32::swap_bytes)];
    for (name, f) in unary {
        let function = lua.create_function(move |lua, args: Variadic<Value>| {
            Ok(f64::from(f(bits(lua, &args, 0, name)?)))
        })?;
        table.raw_set(name, function)?;
    }
    let folds: [(&'static str, fn(i32, i32) -> i32); 3] =
        [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];
    for (name, f) in folds {
        let function = lua.create_function(move |lua, args: Variadic<Value>| {
            let mut value = bits(lua, &args, 0, name)?;
            for at in 1..args.len() {
                value = f(value, bits(lua, &args, at, name)?);
            }
            Ok(f64::from(value))
        })?;
        table.raw_set(name, function)?;
    }
    let shifts: [(&'static str, fn(i32, u32) -> i32); 5] = [
        ("lshift", |x, n| x << n),
        ("rshift", |x, n| ((x as u32) >> n) as i32),
        ("arshift", |x, n| x >> n),
        ("rol", i32::rotate_left),
        ("ror", i32::rotate_right),
    ];
    for (name, f) in shifts {
        let function = lua.create_function(move |lua, args: Variadic<Value>| {
            let value = bits(lua, &args, 0, name)?;
            Ok(f64::from(f(value, bits(lua, &args, 1, name)? as u32 & 31)))
        })?;
        table.raw_set(name, function)?;
    }
    let tohex = lua.create_function(|lua, args: Variadic<Value>| {
        let value = bits(lua, &args, 0, "tohex")?;
        let digits = if args.len() > 1 { bits(lua, &args, 1, "tohex")? } else { 8 };
        Ok(hex(value, digits))
    })?;
    table.raw_set("tohex", tohex)?;
    Ok(table)
}
