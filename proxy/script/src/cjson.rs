//! The `cjson` library: JSON to and from Lua values, with the limits, options and messages of lua-cjson 2.1.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value, Variadic};

use crate::errors;
use crate::number;
use crate::vm::State;

/// Nesting is never followed deeper, whatever the options say: the thread's stack is finite.
const DEEPEST: usize = 2000;

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Kept,
    Null,
}

/// The options of one instance of the library.
#[derive(Clone)]
struct Options {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: usize,
    decode_depth: usize,
    precision: usize,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// The library's table, with options of its own.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let options = Rc::new(RefCell::new(Options::default()));
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    table.raw_set("new", lua.create_function(|lua, _: Variadic<Value>| library(lua))?)?;
    let at = Rc::clone(&options);
    let encode = lua.create_function(move |lua, args: Variadic<Value>| {
        let [value] = args.as_slice() else {
            return Err(errors::argument(lua, 1, "encode", "expected 1 argument"));
        };
        let options = at.borrow().clone();
        let mut out = Vec::new();
        let state = State::of(lua)?;
        Encoder { lua, options: &options, state: &state, out: &mut out, walks: 0 }.value(value, 0)?;
        lua.create_string(out)
    })?;
    table.raw_set("encode", encode)?;
    let at = Rc::clone(&options);
    let decode = lua.create_function(move |lua, args: Variadic<Value>| {
        let [value] = args.as_slice() else {
            return Err(errors::argument(lua, 1, "decode", "expected 1 argument"));
        };
        let text = text(lua, value, "decode")?;
        let options = at.borrow().clone();
        decode(lua, &text.as_bytes(), &options)
    })?;
    table.raw_set("decode", decode)?;
    settings(lua, &table, &options)?;
    Ok(table)
}

fn text(lua: &Lua, value: &Value, function: &str) -> mlua::Result<LuaString> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Number(_) => {
            lua.coerce_string(value.clone())?.ok_or_else(|| errors::text(lua, "not a string"))
        }
        _ => Err(errors::type_of_argument(lua, 1, function, "string", Some(value))),
    }
}

/// An optional integer argument within bounds.
fn int_option(lua: &Lua, arg: Option<&Value>, name: &str, low: i64, high: i64) -> mlua::Result<Option<i64>> {
    match arg {
        None | Some(Value::Nil) => Ok(None),
        Some(value) => match number::coerced(lua, value).map(number::to_i64) {
            Some(value) if (low..=high).contains(&value) => Ok(Some(value)),
            Some(_) => {
                Err(errors::argument(lua, 1, name, &format!("expected integer between {low} and {high}")))
            }
            None => Err(errors::type_of_argument(lua, 1, name, "number", Some(value))),
        },
    }
}

/// An optional argument that is a boolean or one of some words; the number of the choice, booleans first.
fn choice(lua: &Lua, arg: Option<&Value>, name: &str, words: &[&str]) -> mlua::Result<Option<usize>> {
    match arg {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(value)) => Ok(Some(usize::from(*value))),
        Some(word @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            let word =
                lua.coerce_string(word.clone())?.map(|word| word.to_string_lossy()).unwrap_or_default();
            let at = ["off", "on"].iter().chain(words).position(|known| *known == word);
            let unknown = || errors::argument(lua, 1, name, &format!("invalid option '{word}'"));
            at.map(Some).ok_or_else(unknown)
        }
        other => Err(errors::type_of_argument(lua, 1, name, "string", other)),
    }
}

fn settings(lua: &Lua, table: &Table, options: &Rc<RefCell<Options>>) -> mlua::Result<()> {
    const MOST: i64 = i32::MAX as i64;
    let too_many = |lua: &Lua, args: &[Value], most: usize, name: &str| {
        if args.len() > most {
            return Err(errors::argument(lua, most + 1, name, "found too many arguments"));
        }
        Ok(())
    };
    let at = Rc::clone(options);
    let sparse = lua.create_function(move |lua, args: Variadic<Value>| {
        const NAME: &str = "encode_sparse_array";
        too_many(lua, &args, 3, NAME)?;
        let mut options = at.borrow_mut();
        if let Some(convert) = choice(lua, args.first(), NAME, &[])? {
            options.sparse_convert = convert == 1;
        }
        if let Some(ratio) = int_option(lua, args.get(1), NAME, 0, MOST)? {
            options.sparse_ratio = ratio;
        }
        if let Some(safe) = int_option(lua, args.get(2), NAME, 0, MOST)? {
            options.sparse_safe = safe;
        }
        Ok((options.sparse_convert, options.sparse_ratio, options.sparse_safe))
    })?;
    table.raw_set("encode_sparse_array", sparse)?;
    let numbers: [(&'static str, i64, fn(&mut Options) -> &mut usize); 3] = [
        ("encode_max_depth", MOST, |options| &mut options.encode_depth),
        ("decode_max_depth", MOST, |options| &mut options.decode_depth),
        ("encode_number_precision", 14, |options| &mut options.precision),
    ];
    for (name, most, field) in numbers {
        let at = Rc::clone(options);
        let function = lua.create_function(move |lua, args: Variadic<Value>| {
            too_many(lua, &args, 1, name)?;
            let mut options = at.borrow_mut();
            let field = field(&mut options);
            if let Some(value) = int_option(lua, args.first(), name, 1, most)? {
                *field = value as usize;
            }
            Ok(*field)
        })?;
        table.raw_set(name, function)?;
    }
    let at = Rc::clone(options);
    let keep = lua.create_function(move |lua, args: Variadic<Value>| {
        too_many(lua, &args, 1, "encode_keep_buffer")?;
        let mut options = at.borrow_mut();
        if let Some(keep) = choice(lua, args.first(), "encode_keep_buffer", &[])? {
            options.keep_buffer = keep == 1;
        }
        Ok(options.keep_buffer)
    })?;
    table.raw_set("encode_keep_buffer", keep)?;
    let at = Rc::clone(options);
    let encode = lua.create_function(move |lua, args: Variadic<Value>| {
        const NAME: &str = "encode_invalid_numbers";
        too_many(lua, &args, 1, NAME)?;
        let mut options = at.borrow_mut();
        if let Some(mode) = choice(lua, args.first(), NAME, &["null"])? {
            options.encode_invalid = [Invalid::Refused, Invalid::Kept, Invalid::Null][mode];
        }
        Ok(match options.encode_invalid {
            Invalid::Refused => Value::Boolean(false),
            Invalid::Kept => Value::Boolean(true),
            Invalid::Null => Value::String(lua.create_string("null")?),
        })
    })?;
    table.raw_set("encode_invalid_numbers", encode)?;
    let at = Rc::clone(options);
    let decode = lua.create_function(move |lua, args: Variadic<Value>| {
        const NAME: &str = "decode_invalid_numbers";
        too_many(lua, &args, 1, NAME)?;
        let mut options = at.borrow_mut();
        if let Some(mode) = choice(lua, args.first(), NAME, &[])? {
            options.decode_invalid = mode == 1;
        }
        Ok(options.decode_invalid)
    })?;
    table.raw_set("decode_invalid_numbers", decode)
}

struct Encoder<'a> {
    lua: &'a Lua,
    options: &'a Options,
    state: &'a State,
    out: &'a mut Vec<u8>,
    /// Objects that are being walked through.
    walks: usize,
}

impl Encoder<'_> {
    fn refuse<T>(&self, value: &Value, why: &str) -> mlua::Result<T> {
        let kind = errors::type_name(value);
        Err(self.fail(&format!("Cannot serialise {kind}: {why}")))
    }

    fn fail(&self, message: &str) -> mlua::Error {
        errors::text_at(self.lua, 1 + self.walks, message)
    }

    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        self.state.makes(self.out.len())?;
        match value {
            Value::String(text) => {
                string(&text.as_bytes(), self.out);
                Ok(())
            }
            Value::Integer(_) | Value::Number(_) => {
                let number = number::of(value).unwrap_or_default();
                self.number(value, number)
            }
            Value::Boolean(true) => self.literal(b"true"),
            Value::Boolean(false) => self.literal(b"false"),
            Value::Nil => self.literal(b"null"),
            Value::LightUserData(data) if data.0.is_null() => self.literal(b"null"),
            Value::Table(table) => self.table(value, table, depth + 1),
            _ => self.refuse(value, "type not supported"),
        }
    }

    #[allow(clippy::unnecessary_wraps)]
    fn literal(&mut self, text: &[u8]) -> mlua::Result<()> {
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn number(&mut self, value: &Value, number: f64) -> mlua::Result<()> {
        if number.is_finite() {
            number::format_g(number, self.options.precision, self.out);
            return Ok(());
        }
        match self.options.encode_invalid {
            Invalid::Refused => return self.refuse(value, "must not be NaN or Inf"),
            Invalid::Null => self.out.extend_from_slice(b"null"),
            Invalid::Kept if number.is_nan() => self.out.extend_from_slice(b"nan"),
            Invalid::Kept => number::format_g(number, 14, self.out),
        }
        Ok(())
    }

    /// The length of a table that is an array; `None` for one that is an object.
    fn length(&self, value: &Value, table: &Table) -> mlua::Result<Option<i64>> {
        let (mut highest, mut items, mut array) = (0_i64, 0_i64, true);
        table.for_each(|key: Value, _: Value| {
            match number::of(&key) {
                Some(key) if key >= 1.0 && key.floor() == key => {
                    highest = highest.max(number::to_i64(key));
                    items += 1;
                }
                _ => array = false,
            }
            Ok(())
        })?;
        if !array {
            return Ok(None);
        }
        let Options { sparse_ratio, sparse_safe, sparse_convert, .. } = *self.options;
        if sparse_ratio > 0 && highest > items.saturating_mul(sparse_ratio) && highest > sparse_safe {
            if !sparse_convert {
                return self.refuse(value, "excessively sparse array");
            }
            return Ok(None);
        }
        Ok((highest > 0).then_some(highest))
    }

    fn table(&mut self, value: &Value, table: &Table, depth: usize) -> mlua::Result<()> {
        if depth > self.options.encode_depth.min(DEEPEST) {
            return Err(self.fail(&format!("Cannot serialise, excessive nesting ({depth})")));
        }
        if let Some(length) = self.length(value, table)? {
            self.out.push(b'[');
            for at in 1..=length {
                if at > 1 {
                    self.out.push(b',');
                }
                let element: Value = table.raw_get(at)?;
                self.value(&element, depth)?;
            }
            self.out.push(b']');
            return Ok(());
        }
        self.out.push(b'{');
        let mut first = true;
        self.walks += 1;
        table.for_each(|key: Value, value: Value| {
            if !first {
                self.out.push(b',');
            }
            first = false;
            match &key {
                Value::String(name) => string(&name.as_bytes(), self.out),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.number(&key, number::of(&key).unwrap_or_default())?;
                    self.out.push(b'"');
                }
                _ => return self.refuse(&key, "table key must be a number or string"),
            }
            self.out.push(b':');
            self.value(&value, depth)
        })?;
        self.walks -= 1;
        self.out.push(b'}');
        Ok(())
    }
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    for &b in bytes {
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            _ => out.push(b),
        }
    }
    out.push(b'"');
}

fn decode(lua: &Lua, text: &[u8], options: &Options) -> mlua::Result<Value> {
    if matches!(text, [0, _, ..] | [_, 0, ..]) {
        return Err(errors::text(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder { lua, options, text, at: 0, buffer: Vec::new() };
    let token = decoder.next();
    let value = decoder.value(token, 0)?;
    let token = decoder.next();
    match token.kind {
        Kind::End => Ok(value),
        _ => Err(decoder.unexpected("the end", &token)),
    }
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its text is in the decoder's buffer.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

struct Token {
    kind: Kind,
    index: usize,
}

struct Decoder<'a> {
    lua: &'a Lua,
    options: &'a Options,
    text: &'a [u8],
    at: usize,
    buffer: Vec<u8>,
}

impl Decoder<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn unexpected(&self, expected: &str, token: &Token) -> mlua::Error {
        let found = match token.kind {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::String => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::Colon => "T_COLON",
            Kind::Comma => "T_COMMA",
            Kind::End => "T_END",
            Kind::Error(text) => text,
        };
        let at = token.index + 1;
        errors::text(self.lua, format!("Expected {expected} but found {found} at character {at}"))
    }

    fn next(&mut self) -> Token {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let index = self.at;
        let rest = self.text.get(index..).unwrap_or_default();
        let mut take = |kind, length| {
            self.at += length;
            Token { kind, index }
        };
        match self.text.get(index) {
            None | Some(0) => Token { kind: Kind::End, index },
            Some(b'{') => take(Kind::ObjectBegin, 1),
            Some(b'}') => take(Kind::ObjectEnd, 1),
            Some(b'[') => take(Kind::ArrayBegin, 1),
            Some(b']') => take(Kind::ArrayEnd, 1),
            Some(b':') => take(Kind::Colon, 1),
            Some(b',') => take(Kind::Comma, 1),
            Some(b'"') => self.string(index),
            Some(b'-' | b'0'..=b'9') => {
                if !self.options.decode_invalid && is_foreign_number(rest) {
                    return Token { kind: Kind::Error("invalid number"), index };
                }
                self.number(index)
            }
            _ if rest.starts_with(b"true") => take(Kind::Boolean(true), 4),
            _ if rest.starts_with(b"false") => take(Kind::Boolean(false), 5),
            _ if rest.starts_with(b"null") => take(Kind::Null, 4),
            _ if self.options.decode_invalid && is_foreign_number(rest) => self.number(index),
            _ => Token { kind: Kind::Error("invalid token"), index },
        }
    }

    fn number(&mut self, index: usize) -> Token {
        match number::parse_prefix(self.text.get(index..).unwrap_or_default()) {
            Some((value, length)) => {
                self.at = index + length;
                Token { kind: Kind::Number(value), index }
            }
            None => Token { kind: Kind::Error("invalid number"), index },
        }
    }

    fn string(&mut self, start: usize) -> Token {
        self.buffer.clear();
        let mut at = start + 1;
        loop {
            // The plain part in one piece.
            let rest = self.text.get(at..).unwrap_or_default();
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            self.buffer.extend_from_slice(&rest[..plain]);
            at += plain;
            match self.byte(at) {
                b'"' => {
                    self.at = at + 1;
                    return Token { kind: Kind::String, index: start };
                }
                b'\\' => {}
                _ => return Token { kind: Kind::Error("unexpected end of string"), index: at },
            }
            let escaped = match self.byte(at + 1) {
                c @ (b'"' | b'\\' | b'/') => c,
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 0x0c,
                b'r' => b'\r',
                b'u' => match self.unicode(at) {
                    Some(length) => {
                        at += length;
                        continue;
                    }
                    None => return Token { kind: Kind::Error("invalid unicode escape code"), index: at },
                },
                _ => return Token { kind: Kind::Error("invalid escape code"), index: at },
            };
            self.buffer.push(escaped);
            at += 2;
        }
    }

    fn four_digits(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |code, b| Some(code << 4 | (*b as char).to_digit(16)?))
    }

    /// The escape at `at`, with its second half if it is a surrogate; returns its length.
    fn unicode(&mut self, at: usize) -> Option<usize> {
        let first = self.four_digits(at + 2)?;
        let (code, length) = if first & 0xf800 == 0xd800 {
            let is_high = first & 0x400 == 0;
            let follows = self.byte(at + 6) == b'\\' && self.byte(at + 7) == b'u';
            if !is_high || !follows {
                return None;
            }
            let second = self.four_digits(at + 8)?;
            if second & 0xfc00 != 0xdc00 {
                return None;
            }
            (((first & 0x3ff) << 10 | (second & 0x3ff)) + 0x1_0000, 12)
        } else {
            (first, 6)
        };
        let mut utf8 = [0; 4];
        self.buffer.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
        Some(length)
    }

    fn descend(&self, depth: usize) -> mlua::Result<usize> {
        let depth = depth + 1;
        if depth > self.options.decode_depth.min(DEEPEST) {
            let at = self.at;
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(errors::text(self.lua, text));
        }
        Ok(depth)
    }

    fn value(&mut self, token: Token, depth: usize) -> mlua::Result<Value> {
        match token.kind {
            Kind::String => Ok(Value::String(self.lua.create_string(&self.buffer)?)),
            Kind::Number(value) => Ok(Value::Number(value)),
            Kind::Boolean(value) => Ok(Value::Boolean(value)),
            Kind::Null => Ok(Value::NULL),
            Kind::ObjectBegin => self.object(self.descend(depth)?),
            Kind::ArrayBegin => self.array(self.descend(depth)?),
            _ => Err(self.unexpected("value", &token)),
        }
    }

    fn object(&mut self, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if matches!(token.kind, Kind::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            if !matches!(token.kind, Kind::String) {
                return Err(self.unexpected("object key string", &token));
            }
            let key = self.lua.create_string(&self.buffer)?;
            let colon = self.next();
            if !matches!(colon.kind, Kind::Colon) {
                return Err(self.unexpected("colon", &colon));
            }
            let token_of_value = self.next();
            let value = self.value(token_of_value, depth)?;
            table.raw_set(key, value)?;
            token = self.next();
            match token.kind {
                Kind::ObjectEnd => return Ok(Value::Table(table)),
                Kind::Comma => token = self.next(),
                _ => return Err(self.unexpected("comma or object end", &token)),
            }
        }
    }

    fn array(&mut self, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if matches!(token.kind, Kind::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for at in 1_i64.. {
            let value = self.value(token, depth)?;
            table.raw_set(at, value)?;
            token = self.next();
            match token.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.next(),
                _ => return Err(self.unexpected("comma or array end", &token)),
            }
        }
        Ok(Value::Table(table))
    }
}

/// A number as C knows it and JSON does not: with a plus sign, hexadecimal, with zeros in front, infinite, not a number.
fn is_foreign_number(text: &[u8]) -> bool {
    let rest = match text.first() {
        Some(b'+') => return true,
        Some(b'-') => &text[1..],
        _ => text,
    };
    match rest {
        [b'0', next, ..] => next | 0x20 == b'x' || next.is_ascii_digit(),
        [first, ..] if *first <= b'9' => false,
        _ => {
            let starts = |word: &[u8]| rest.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(word));
            starts(b"inf") || starts(b"nan")
        }
    }
}
