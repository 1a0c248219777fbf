//! Between replies and Lua values, in both directions and both protocols.

use mlua::{Lua, LuaString, Table, Value};
use proxy_resp::{Protocol, Reply};

use crate::number::{self, to_i64};
use crate::vm::State;

/// How deep a script's answer may nest.
const DEEPEST_REPLY: usize = 1000;

/// Reads one reply from `bytes`; it comes from this process and is well formed.
pub(crate) fn to_lua(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Reader { lua, rest: bytes }.value()
}

struct Reader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|b| *b == b'\r').unwrap_or(self.rest.len());
        let line = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn int(&mut self) -> i64 {
        proxy_resp::parse_i64(self.line()).unwrap_or(0)
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let bytes = self.rest.get(..len).unwrap_or_default();
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    /// A table with one field.
    fn field(&self, name: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn string(&self, bytes: &[u8]) -> mlua::Result<Value> {
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    fn value(&mut self) -> mlua::Result<Value> {
        let Some((tag, rest)) = self.rest.split_first() else { return Ok(Value::Nil) };
        self.rest = rest;
        match tag {
            b'$' => {
                let len = self.int();
                let Ok(len) = usize::try_from(len) else { return Ok(Value::Boolean(false)) };
                let bytes = self.bytes(len);
                self.string(bytes)
            }
            b':' => Ok(Value::Number(self.int() as f64)),
            b'+' => {
                let text = self.line();
                self.field("ok", self.string(text)?)
            }
            b'-' => {
                let text = self.line();
                Ok(Value::Table(error_table(self.lua, text)?))
            }
            b'*' | b'>' => {
                let count = self.int();
                let Ok(count) = usize::try_from(count) else { return Ok(Value::Boolean(false)) };
                let table = self.lua.create_table_with_capacity(count, 0)?;
                for at in 1..=count {
                    let value = self.value()?;
                    table.raw_set(at, value)?;
                }
                Ok(Value::Table(table))
            }
            b'_' => {
                self.line();
                Ok(Value::Nil)
            }
            b'#' => Ok(Value::Boolean(self.line() == b"t")),
            b',' => {
                let text = String::from_utf8_lossy(self.line()).into_owned();
                self.field("double", Value::Number(text.parse().unwrap_or(f64::NAN)))
            }
            b'(' => {
                let text = self.line();
                self.field("big_number", self.string(text)?)
            }
            b'=' => {
                let len = usize::try_from(self.int()).unwrap_or(0);
                let bytes = self.bytes(len);
                let table = self.lua.create_table_with_capacity(0, 2)?;
                table.raw_set("format", self.string(bytes.get(..3).unwrap_or_default())?)?;
                table.raw_set("string", self.string(bytes.get(4..).unwrap_or_default())?)?;
                self.field("verbatim_string", Value::Table(table))
            }
            b'%' => {
                let count = self.int().max(0);
                let table = self.lua.create_table_with_capacity(0, count as usize)?;
                for _ in 0..count {
                    let (key, value) = (self.value()?, self.value()?);
                    table.raw_set(key, value)?;
                }
                self.field("map", Value::Table(table))
            }
            b'~' => {
                let count = self.int().max(0);
                let table = self.lua.create_table_with_capacity(0, count as usize)?;
                for _ in 0..count {
                    let member = self.value()?;
                    table.raw_set(member, true)?;
                }
                self.field("set", Value::Table(table))
            }
            _ => Ok(Value::Nil),
        }
    }
}

/// The table that stands for an error reply.
pub(crate) fn error_table(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", lua.create_string(text)?)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(table)
}

/// Writes a script's answer, by the protocol that the script has chosen with `redis.setresp`.
pub(crate) fn to_reply(value: &Value, state: &State, out: &mut Reply) -> mlua::Result<()> {
    write(value, &Writing { state, start: out.len() }, out, 0)
}

/// An answer that is being written.
struct Writing<'a> {
    state: &'a State,
    /// Where it begins.
    start: usize,
}

fn write(value: &Value, to: &Writing<'_>, out: &mut Reply, depth: usize) -> mlua::Result<()> {
    to.state.makes(out.len() - to.start)?;
    let proto = to.state.proto.get();
    match value {
        Value::String(bytes) => out.bulk(&bytes.as_bytes()),
        Value::Boolean(value) => match proto {
            Protocol::Resp3 => out.bool(*value),
            Protocol::Resp2 if *value => out.integer(1),
            Protocol::Resp2 => out.null(),
        },
        Value::Integer(value) => out.integer(*value),
        Value::Number(value) => out.integer(to_i64(*value)),
        Value::Table(table) => write_table(table, to, out, depth)?,
        _ => out.null(),
    }
    Ok(())
}

fn text_field(table: &Table, name: &str) -> mlua::Result<Option<LuaString>> {
    Ok(match table.raw_get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// One line of a reply: line ends become spaces.
fn one_line(text: &LuaString) -> String {
    text.to_string_lossy().replace(['\r', '\n'], " ")
}

fn write_table(table: &Table, to: &Writing<'_>, out: &mut Reply, depth: usize) -> mlua::Result<()> {
    if depth >= DEEPEST_REPLY {
        out.error("ERR reached lua stack limit");
        return Ok(());
    }
    // Nothing but an array has an element 1; it is what most answers are.
    if let Some(text) = text_field(table, "err")? {
        out.error_bytes(&text.as_bytes());
        return Ok(());
    }
    if let Some(text) = text_field(table, "ok")? {
        out.simple_bytes(&text.as_bytes());
        return Ok(());
    }
    if let Some(value) = number::of(&table.raw_get::<Value>("double")?) {
        out.double(value);
        return Ok(());
    }
    if let Value::Table(map) = table.raw_get("map")? {
        let mark = out.deferred_map();
        let mut pairs = 0;
        map.for_each(|key: Value, value: Value| {
            write(&key, to, out, depth + 1)?;
            pairs += 1;
            write(&value, to, out, depth + 1)
        })?;
        out.finish_map(mark, pairs);
        return Ok(());
    }
    if let Value::Table(set) = table.raw_get("set")? {
        let mark = out.deferred_set();
        let mut members = 0;
        set.for_each(|member: Value, _: Value| {
            members += 1;
            write(&member, to, out, depth + 1)
        })?;
        out.finish_set(mark, members);
        return Ok(());
    }
    if let Some(digits) = text_field(table, "big_number")? {
        out.big_number(&one_line(&digits));
        return Ok(());
    }
    if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
        && let (Some(format), Some(text)) =
            (text_field(&verbatim, "format")?, text_field(&verbatim, "string")?)
    {
        let format: String = format.to_string_lossy().chars().take(3).collect();
        out.verbatim(&format, &text.as_bytes());
        return Ok(());
    }
    let mark = out.deferred_array();
    let mut count = 0;
    loop {
        let value: Value = table.raw_get(count + 1)?;
        if value.is_nil() {
            break;
        }
        write(&value, to, out, depth + 1)?;
        count += 1;
    }
    out.finish_array(mark, count);
    Ok(())
}
