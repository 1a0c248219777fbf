//! Errors on their way through Lua. What Rust raises reaches Lua as a foreign value; wherever a script can look at an
//! error (`pcall`, `xpcall`, `coroutine.resume`), [`plain`] has turned it into what Redis shows: a string or a table.

use mlua::{Lua, Value};

/// What a function of ours raises.
#[derive(Clone, Debug)]
pub(crate) enum Raised {
    /// A table with this text in `err`, as `redis.call` and its sisters raise.
    Reply(Vec<u8>),
    /// A string, as Lua's own libraries raise; the position stands in front of it.
    Text(Vec<u8>),
    /// The end of the script: nothing catches it.
    Killed(&'static str),
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Raised::Reply(text) | Raised::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Raised::Killed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Raised {}

pub(crate) const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// An error reply of a function in the `redis` table.
pub(crate) fn reply(text: impl Into<Vec<u8>>) -> mlua::Error {
    mlua::Error::external(Raised::Reply(text.into()))
}

/// An error of a library function: the caller's position and the text.
pub(crate) fn text(lua: &Lua, message: impl AsRef<[u8]>) -> mlua::Error {
    text_at(lua, 1, message)
}

/// As [`text`], for a library function that is `level` frames below its caller: one, and one for each walk through a
/// table that it is in.
pub(crate) fn text_at(lua: &Lua, level: usize, message: impl AsRef<[u8]>) -> mlua::Error {
    let mut text = position(lua, level).into_bytes();
    text.extend_from_slice(message.as_ref());
    mlua::Error::external(Raised::Text(text))
}

/// An error of Lua itself, which has no position when a library's function meets it.
pub(crate) fn raw(message: &str) -> mlua::Error {
    mlua::Error::external(Raised::Text(message.into()))
}

/// An argument that doesn't fit, as Lua's own libraries say it.
pub(crate) fn argument(lua: &Lua, number: usize, function: &str, message: &str) -> mlua::Error {
    text(lua, format!("bad argument #{number} to '{function}' ({message})"))
}

/// An argument of another type than `expected`.
pub(crate) fn type_of_argument(
    lua: &Lua,
    number: usize,
    function: &str,
    expected: &str,
    got: Option<&Value>,
) -> mlua::Error {
    let got = got.map_or("no value", type_name);
    argument(lua, number, function, &format!("{expected} expected, got {got}"))
}

/// The name that Lua has for a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

/// `name:line: ` of the function at `level`, empty when it isn't Lua's.
fn position(lua: &Lua, level: usize) -> String {
    lua.inspect_stack(level, |debug| {
        let line = debug.current_line()?;
        Some(format!("{}:{line}: ", debug.source().short_src.unwrap_or_default()))
    })
    .flatten()
    .unwrap_or_default()
}

/// What a script sees of an error; `Err` when it must not see it.
pub(crate) fn plain(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(error) = &value else { return Ok(value) };
    match error.downcast_ref::<Raised>() {
        Some(Raised::Reply(text)) => {
            let table = lua.create_table_with_capacity(0, 2)?;
            table.raw_set("err", lua.create_string(text)?)?;
            table.raw_set("ignore_error_stats_update", true)?;
            Ok(Value::Table(table))
        }
        Some(Raised::Text(text)) => Ok(Value::String(lua.create_string(text)?)),
        Some(Raised::Killed(why)) => Err(mlua::Error::external(Raised::Killed(why))),
        None => Ok(Value::String(lua.create_string(innermost(error).to_string())?)),
    }
}

/// The cause of an error without the places that it came through.
fn innermost(error: &mlua::Error) -> &mlua::Error {
    match error {
        mlua::Error::CallbackError { cause, .. } => innermost(cause),
        other => other,
    }
}
