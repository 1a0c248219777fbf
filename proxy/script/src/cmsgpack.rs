//! The `cmsgpack` library: MessagePack, with the choices of lua-cmsgpack 0.4.

use mlua::{Lua, LuaString, MultiValue, Table, Value, Variadic};

use crate::errors;
use crate::number::{self, to_i64};
use crate::vm::State;

/// Tables nested deeper are packed as nil.
const DEEPEST_PACKED: usize = 16;
/// Data nested deeper is refused: the thread's stack is finite.
const DEEPEST_UNPACKED: usize = 2000;
/// What a function may return.
const MOST_VALUES: usize = 7900;

/// The library's table.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        table.raw_set(name, text)?;
    }
    let pack = lua.create_function(|lua, args: Variadic<Value>| {
        if args.is_empty() {
            return Err(errors::argument(lua, 0, "pack", "MessagePack pack needs input."));
        }
        let mut out = Vec::new();
        let state = State::of(lua)?;
        args.iter().try_for_each(|value| pack(value, (0, &state), &mut out))?;
        lua.create_string(out)
    })?;
    table.raw_set("pack", pack)?;
    let all = lua.create_function(|lua, args: Variadic<Value>| unpack(lua, &args, "unpack", 0, 0))?;
    table.raw_set("unpack", all)?;
    let one = lua.create_function(|lua, args: Variadic<Value>| {
        let offset = int(lua, &args, 1, "unpack_one", Some(0))?;
        unpack(lua, &args, "unpack_one", 1, offset)
    })?;
    table.raw_set("unpack_one", one)?;
    let limited = lua.create_function(|lua, args: Variadic<Value>| {
        let limit = int(lua, &args, 1, "unpack_limit", None)?;
        let offset = int(lua, &args, 2, "unpack_limit", Some(0))?;
        unpack(lua, &args, "unpack_limit", limit, offset)
    })?;
    table.raw_set("unpack_limit", limited)?;
    Ok(table)
}

fn int(lua: &Lua, args: &[Value], at: usize, function: &str, default: Option<i64>) -> mlua::Result<i64> {
    match (args.get(at), default) {
        (None | Some(Value::Nil), Some(default)) => Ok(default),
        (arg, _) => match arg.and_then(|arg| number::coerced(lua, arg)) {
            Some(value) => Ok(to_i64(value)),
            None => Err(errors::type_of_argument(lua, at + 1, function, "number", arg)),
        },
    }
}

/// Packs a value that is `depth` tables deep.
fn pack(value: &Value, (depth, state): (usize, &State), out: &mut Vec<u8>) -> mlua::Result<()> {
    state.makes(out.len())?;
    match value {
        Value::String(text) => pack_string(&text.as_bytes(), out),
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(_) | Value::Number(_) => pack_number(number::of(value).unwrap_or_default(), out),
        Value::Table(table) if depth < DEEPEST_PACKED => return pack_table(table, (depth + 1, state), out),
        _ => out.push(0xc0),
    }
    Ok(())
}

/// A header: `small` with the length in it, or the tag for lengths of one, two or four bytes.
fn header(len: usize, small: Option<(u8, usize)>, tags: [Option<u8>; 3], out: &mut Vec<u8>) {
    match (small, tags) {
        (Some((tag, most)), _) if len <= most => out.push(tag | len as u8),
        (_, [Some(tag), ..]) if len <= 0xff => out.extend_from_slice(&[tag, len as u8]),
        (_, [_, Some(tag), _]) if len <= 0xffff => {
            out.push(tag);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        (_, [.., tag]) => {
            out.push(tag.unwrap_or(0xc0));
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

fn pack_string(bytes: &[u8], out: &mut Vec<u8>) {
    header(bytes.len(), Some((0xa0, 31)), [Some(0xd9), Some(0xda), Some(0xdb)], out);
    out.extend_from_slice(bytes);
}

fn pack_number(value: f64, out: &mut Vec<u8>) {
    let whole = to_i64(value);
    if whole as f64 == value && value < 9_223_372_036_854_775_808.0 {
        match whole {
            0..=0x7f => out.push(whole as u8),
            0x80..=0xff => out.extend_from_slice(&[0xcc, whole as u8]),
            0x100..=0xffff => tagged(0xcd, &(whole as u16).to_be_bytes(), out),
            0x1_0000..=0xffff_ffff => tagged(0xce, &(whole as u32).to_be_bytes(), out),
            0x1_0000_0000.. => tagged(0xcf, &whole.to_be_bytes(), out),
            -32..=-1 => out.push(whole as u8),
            -0x80..=-33 => out.extend_from_slice(&[0xd0, whole as u8]),
            -0x8000..=-0x81 => tagged(0xd1, &(whole as i16).to_be_bytes(), out),
            -0x8000_0000..=-0x8001 => tagged(0xd2, &(whole as i32).to_be_bytes(), out),
            _ => tagged(0xd3, &whole.to_be_bytes(), out),
        }
    } else if f64::from(value as f32) == value {
        tagged(0xca, &(value as f32).to_be_bytes(), out);
    } else {
        tagged(0xcb, &value.to_be_bytes(), out);
    }
}

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn pack_table(table: &Table, inside: (usize, &State), out: &mut Vec<u8>) -> mlua::Result<()> {
    let (mut count, mut highest, mut array) = (0_usize, 0_i64, true);
    table.for_each(|key: Value, _: Value| {
        count += 1;
        match number::of(&key) {
            Some(key) if key >= 1.0 && key.floor() == key => highest = highest.max(to_i64(key)),
            _ => array = false,
        }
        Ok(())
    })?;
    if array && highest == count as i64 {
        header(count, Some((0x90, 15)), [None, Some(0xdc), Some(0xdd)], out);
        for at in 1..=count {
            pack(&table.raw_get(at)?, inside, out)?;
        }
        return Ok(());
    }
    header(count, Some((0x80, 15)), [None, Some(0xde), Some(0xdf)], out);
    table.for_each(|key: Value, value: Value| {
        pack(&key, inside, out)?;
        pack(&value, inside, out)
    })
}

fn unpack(lua: &Lua, args: &[Value], function: &str, limit: i64, offset: i64) -> mlua::Result<MultiValue> {
    let data: LuaString = match args.first() {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            lua.coerce_string(value.clone())?.ok_or_else(|| errors::text(lua, "not a string"))?
        }
        other => return Err(errors::type_of_argument(lua, 1, function, "string", other)),
    };
    let data = data.as_bytes();
    let len = data.len();
    if limit < 0 || offset < 0 {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(errors::text(lua, text));
    }
    let Some(rest) = data.get(offset as usize..) else {
        return Err(errors::text(lua, format!("Start offset {offset} greater than input length {len}.")));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all { usize::MAX } else { limit as usize };
    let mut reader = Reader { lua, rest };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && values.len() < limit {
        if values.len() >= MOST_VALUES {
            let text =
                "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
            return Err(errors::text(lua, text));
        }
        values.push(reader.value(0)?);
    }
    if !all {
        let next = if reader.rest.is_empty() { -1 } else { (len - reader.rest.len()) as i64 };
        values.insert(0, Value::Number(next as f64));
    }
    Ok(values.into_iter().collect())
}

struct Reader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(errors::text(self.lua, "Missing bytes in input.")),
        }
    }

    fn number<const N: usize>(&mut self) -> mlua::Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn string(&mut self, len: usize) -> mlua::Result<Value> {
        let bytes = self.take(len)?;
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    fn check(&self, depth: usize, function: &str) -> mlua::Result<()> {
        if depth >= DEEPEST_UNPACKED {
            return Err(errors::text(self.lua, format!("stack overflow (in function {function})")));
        }
        Ok(())
    }

    fn array(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        self.check(depth, "mp_decode_to_lua_array")?;
        let table = self.lua.create_table()?;
        for at in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(at, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        self.check(depth, "mp_decode_to_lua_hash")?;
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            match number::of(&key) {
                _ if key.is_nil() => return Err(errors::raw("table index is nil")),
                Some(number) if number.is_nan() => return Err(errors::raw("table index is NaN")),
                _ => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let [tag] = self.number()?;
        let number = match tag {
            0..=0x7f => f64::from(tag),
            0xe0..=0xff => f64::from(tag as i8),
            0xcc => f64::from(self.number::<1>()?[0]),
            0xcd => f64::from(u16::from_be_bytes(self.number()?)),
            0xce => f64::from(u32::from_be_bytes(self.number()?)),
            // Signed, as lua-cmsgpack takes it.
            0xcf => i64::from_be_bytes(self.number()?) as f64,
            0xd0 => f64::from(self.number::<1>()?[0] as i8),
            0xd1 => f64::from(i16::from_be_bytes(self.number()?)),
            0xd2 => f64::from(i32::from_be_bytes(self.number()?)),
            0xd3 => i64::from_be_bytes(self.number()?) as f64,
            0xca => f64::from(f32::from_be_bytes(self.number()?)),
            0xcb => f64::from_be_bytes(self.number()?),
            0xc0 => return Ok(Value::Nil),
            0xc2 => return Ok(Value::Boolean(false)),
            0xc3 => return Ok(Value::Boolean(true)),
            0xa0..=0xbf => return self.string(usize::from(tag & 0x1f)),
            0xd9 => {
                let [len] = self.number()?;
                return self.string(usize::from(len));
            }
            0xda => {
                let len = u16::from_be_bytes(self.number()?);
                return self.string(usize::from(len));
            }
            0xdb => {
                let len = u32::from_be_bytes(self.number()?);
                return self.string(len as usize);
            }
            0x90..=0x9f => return self.array(usize::from(tag & 0xf), depth),
            0xdc => {
                let len = u16::from_be_bytes(self.number()?);
                return self.array(usize::from(len), depth);
            }
            0xdd => {
                let len = u32::from_be_bytes(self.number()?);
                return self.array(len as usize, depth);
            }
            0x80..=0x8f => return self.map(usize::from(tag & 0xf), depth),
            0xde => {
                let len = u16::from_be_bytes(self.number()?);
                return self.map(usize::from(len), depth);
            }
            0xdf => {
                let len = u32::from_be_bytes(self.number()?);
                return self.map(len as usize, depth);
            }
            _ => return Err(errors::text(self.lua, "Bad data format in input.")),
        };
        Ok(Value::Number(number))
    }
}
