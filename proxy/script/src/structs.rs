//! The `struct` library: values to and from bytes, by a format.

use mlua::{Lua, LuaString, MultiValue, Table, Value, Variadic};

use crate::errors;
use crate::number::{self, to_i64};

const MOST_INTEGER: usize = 32;
const NATIVE_ALIGN: usize = 8;
const MOST_VALUES: usize = 7900;

/// The library's table.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(|lua, args: Variadic<Value>| pack(lua, &args))?)?;
    table.raw_set("unpack", lua.create_function(|lua, args: Variadic<Value>| unpack(lua, &args))?)?;
    table.raw_set("size", lua.create_function(|lua, args: Variadic<Value>| size(lua, &args))?)?;
    Ok(table)
}

fn string(lua: &Lua, arg: Option<&Value>, number: usize, function: &str) -> mlua::Result<LuaString> {
    match arg {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            lua.coerce_string(value.clone())?.ok_or_else(|| errors::text(lua, "not a string"))
        }
        other => Err(errors::type_of_argument(lua, number, function, "string", other)),
    }
}

/// A format being read: what it has switched so far.
struct Format<'a> {
    lua: &'a Lua,
    function: &'static str,
    rest: &'a [u8],
    big: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, function: &'static str, rest: &'a [u8]) -> Self {
        Self { lua, function, rest, big: false, align: 1 }
    }

    /// The next option and its size.
    fn next(&mut self) -> mlua::Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.count(1)?,
            b'i' | b'I' => {
                let size = self.count(4)?;
                if size > MOST_INTEGER {
                    let text = format!("integral size {size} is larger than limit of {MOST_INTEGER}");
                    return Err(errors::text(self.lua, text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    fn count(&mut self, default: usize) -> mlua::Result<usize> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse::<i32>().ok());
        number.map(|n| n as usize).ok_or_else(|| errors::text(self.lua, "integral size overflow"))
    }

    /// Bytes to skip at `len` before an option of this size.
    fn padding(&self, len: usize, option: u8, size: usize) -> usize {
        let size = size.min(self.align);
        if option == b'c' || size <= 1 {
            return 0;
        }
        (size - (len & (size - 1))) & (size - 1)
    }

    fn control(&mut self, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let align = self.count(NATIVE_ALIGN)?;
                if !align.is_power_of_two() {
                    return Err(errors::text(self.lua, format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            other => {
                let text = format!("invalid format option '{}'", other as char);
                return Err(errors::argument(self.lua, 1, self.function, &text));
            }
        }
        Ok(())
    }
}

fn pack(lua: &Lua, args: &[Value]) -> mlua::Result<LuaString> {
    let format = string(lua, args.first(), 1, "pack")?;
    let format = format.as_bytes();
    let mut format = Format::new(lua, "pack", &format);
    let mut out: Vec<u8> = Vec::new();
    let mut at = 1;
    while let Some((option, size)) = format.next()? {
        let padding = format.padding(out.len(), option, size);
        out.resize(out.len() + padding, 0);
        let arg = args.get(at).unwrap_or(&Value::Nil);
        let number = || {
            number::coerced(lua, arg)
                .ok_or_else(|| errors::type_of_argument(lua, at + 1, "pack", "number", Some(arg)))
        };
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_integer(number()?, size, format.big, &mut out);
                at += 1;
            }
            b'x' => out.push(0),
            b'f' | b'd' => {
                let number = number()?;
                let mut bytes = if option == b'f' {
                    (number as f32).to_le_bytes().to_vec()
                } else {
                    number.to_le_bytes().to_vec()
                };
                if format.big {
                    bytes.reverse();
                }
                out.extend_from_slice(&bytes);
                at += 1;
            }
            b'c' | b's' => {
                let text = string(lua, Some(arg), at + 1, "pack")?;
                at += 1;
                let text = text.as_bytes();
                let size = if size == 0 { text.len() } else { size };
                let Some(text) = text.get(..size) else {
                    return Err(errors::argument(lua, at + 1, "pack", "string too short"));
                };
                out.extend_from_slice(text);
                if option == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    lua.create_string(out)
}

fn put_integer(number: f64, size: usize, big: bool, out: &mut Vec<u8>) {
    let value = if number < 0.0 {
        to_i64(number) as u64
    } else if number < 18_446_744_073_709_551_616.0 {
        number as u64
    } else {
        0
    };
    let start = out.len();
    out.extend(value.to_le_bytes().into_iter().chain(std::iter::repeat(0)).take(size));
    if big {
        out[start..].reverse();
    }
}

fn get_integer(bytes: &[u8], big: bool, signed: bool) -> f64 {
    let shifted = |value: u64, b: &u8| value << 8 | u64::from(*b);
    let value = if big { bytes.iter().fold(0, shifted) } else { bytes.iter().rev().fold(0, shifted) };
    if !signed {
        return value as f64;
    }
    let unused = 64_u32.saturating_sub(bytes.len() as u32 * 8).min(63);
    (((value << unused) as i64) >> unused) as f64
}

fn unpack(lua: &Lua, args: &[Value]) -> mlua::Result<MultiValue> {
    let format = string(lua, args.first(), 1, "unpack")?;
    let data = string(lua, args.get(1), 2, "unpack")?;
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let start = match args.get(2) {
        None | Some(Value::Nil) => 1,
        Some(start) => match number::coerced(lua, start) {
            Some(start) => to_i64(start),
            None => return Err(errors::type_of_argument(lua, 3, "unpack", "number", Some(start))),
        },
    };
    if start < 1 {
        return Err(errors::argument(lua, 3, "unpack", "offset must be 1 or greater"));
    }
    let mut at = start as usize - 1;
    let mut format = Format::new(lua, "unpack", &format);
    let mut values: Vec<Value> = Vec::new();
    let short = || errors::argument(lua, 2, "unpack", "data string too short");
    while let Some((option, size)) = format.next()? {
        at = at.saturating_add(format.padding(at, option, size));
        let mut size = size;
        let mut field = data.get(at..).and_then(|rest| rest.get(..size)).ok_or_else(short)?;
        if values.len() >= MOST_VALUES {
            return Err(errors::text(lua, "stack overflow (too many results)"));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                values.push(Value::Number(get_integer(field, format.big, option.is_ascii_lowercase())));
            }
            b'x' => {}
            b'f' | b'd' => {
                let mut bytes = field.to_vec();
                if format.big {
                    bytes.reverse();
                }
                let number = match bytes.as_slice() {
                    [a, b, c, d] => f64::from(f32::from_le_bytes([*a, *b, *c, *d])),
                    other => other.try_into().map(f64::from_le_bytes).unwrap_or_default(),
                };
                values.push(Value::Number(number));
            }
            b'c' => {
                if size == 0 {
                    let before = values.pop().as_ref().and_then(number::of);
                    let Some(before) = before else {
                        return Err(errors::text(lua, "format 'c0' needs a previous size"));
                    };
                    size = usize::try_from(to_i64(before)).map_err(|_| short())?;
                    field = data.get(at..).and_then(|rest| rest.get(..size)).ok_or_else(short)?;
                }
                values.push(Value::String(lua.create_string(field)?));
            }
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(len) = rest.iter().position(|b| *b == 0) else {
                    return Err(errors::text(lua, "unfinished string in data"));
                };
                values.push(Value::String(lua.create_string(&rest[..len])?));
                size = len + 1;
            }
            other => format.control(other)?,
        }
        at += size;
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(values.into_iter().collect())
}

fn size(lua: &Lua, args: &[Value]) -> mlua::Result<f64> {
    let format = string(lua, args.first(), 1, "size")?;
    let format = format.as_bytes();
    let mut format = Format::new(lua, "size", &format);
    let mut total = 0_usize;
    while let Some((option, size)) = format.next()? {
        total += format.padding(total, option, size);
        match option {
            b's' => return Err(errors::argument(lua, 1, "size", "option 's' has no fixed size")),
            b'c' if size == 0 => {
                return Err(errors::argument(lua, 1, "size", "option 'c0' has no fixed size"));
            }
            other if !other.is_ascii_alphanumeric() => format.control(other)?,
            _ => {}
        }
        total = total.saturating_add(size);
    }
    Ok(total as f64)
}
