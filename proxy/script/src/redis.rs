//! The `redis` table (also `server`): calls, replies, logging, the protocol of answers.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value, Variadic};
use proxy_resp::{OwnedArgs, Protocol};

use crate::convert;
use crate::errors;
use crate::host::LogLevel;
use crate::number;
use crate::vm::State;

/// What scripts are told about the version.
const VERSION: &str = "7.0.15";
const VERSION_NUM: u32 = 0x0007_000f;

/// Longest message that is logged, as in Redis.
const MESSAGE_BYTES: usize = 1024;
const ONE_ARGUMENT: &str = "ERR wrong number of arguments";

/// What is there while a library is loaded, too.
pub(crate) fn common(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let at = Rc::clone(state);
    table.raw_set("log", lua.create_function(move |lua, args: Variadic<Value>| log(lua, &at, &args))?)?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        table.raw_set(name, level)?;
    }
    table.raw_set("REDIS_VERSION", VERSION)?;
    table.raw_set("REDIS_VERSION_NUM", VERSION_NUM)?;
    Ok(table)
}

/// Adds what runs with a script or a function.
pub(crate) fn running(lua: &Lua, state: &Rc<State>, table: &Table) -> mlua::Result<()> {
    let at = Rc::clone(state);
    let call = lua.create_function(move |lua, args: MultiValue| call(lua, &at, args, true))?;
    table.raw_set("call", call)?;
    let at = Rc::clone(state);
    let pcall = lua.create_function(move |lua, args: MultiValue| self::call(lua, &at, args, false))?;
    table.raw_set("pcall", pcall)?;
    table
        .raw_set("error_reply", lua.create_function(|lua, args: Variadic<Value>| error_reply(lua, &args))?)?;
    table.raw_set(
        "status_reply",
        lua.create_function(|lua, args: Variadic<Value>| status_reply(lua, &args))?,
    )?;
    table.raw_set("sha1hex", lua.create_function(|lua, args: Variadic<Value>| sha1hex(lua, args))?)?;
    let at = Rc::clone(state);
    let setresp = lua.create_function(move |lua, args: Variadic<Value>| {
        let [version] = args.as_slice() else {
            return Err(errors::reply("ERR redis.setresp() requires one argument."));
        };
        let proto = match number::coerced(lua, version) {
            Some(2.0) => Protocol::Resp2,
            Some(3.0) => Protocol::Resp3,
            _ => return Err(errors::reply("ERR RESP version must be 2 or 3.")),
        };
        at.proto.set(proto);
        Ok(())
    })?;
    table.raw_set("setresp", setresp)?;
    let at = Rc::clone(state);
    let acl = lua.create_function(move |_, args: MultiValue| {
        let mut owned = OwnedArgs::default();
        arguments(&args, &at, &mut owned)?;
        match at.host()?.may_run(owned.as_args()) {
            Some(allowed) => Ok(allowed),
            None => Err(errors::reply("ERR Invalid command passed to redis.acl_check_cmd()")),
        }
    })?;
    table.raw_set("acl_check_cmd", acl)?;
    replication(lua, table)
}

/// Adds what only scripts have, not functions.
pub(crate) fn scripts_only(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    // There is no debugger: as in Redis outside of a debugging session.
    table.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    table.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)
}

/// Adds the switches of replication. Effects are always logged, so they change nothing.
fn replication(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let set_repl = lua.create_function(|lua, args: Variadic<Value>| {
        let [flags] = args.as_slice() else {
            return Err(errors::reply("ERR redis.set_repl() requires two arguments."));
        };
        match number::coerced(lua, flags).map(number::to_i64) {
            Some(0..=3) => Ok(()),
            _ => Err(errors::reply(
                "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            )),
        }
    })?;
    table.raw_set("set_repl", set_repl)?;
    for (name, value) in
        [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)]
    {
        table.raw_set(name, value)?;
    }
    Ok(())
}

/// Copies a call's arguments; numbers become text.
fn arguments(values: &MultiValue, state: &State, out: &mut OwnedArgs) -> mlua::Result<()> {
    if values.is_empty() {
        return Err(errors::reply("ERR Please specify at least one argument for this redis lib call"));
    }
    let mut digits = Vec::new();
    for value in values {
        match value {
            Value::String(bytes) => {
                let bytes = bytes.as_bytes();
                state.makes(out.bytes().saturating_add(bytes.len()))?;
                out.push(&bytes);
            }
            Value::Integer(value) if value.unsigned_abs() < 100_000_000_000_000_000 => {
                digits.clear();
                std::io::Write::write_fmt(&mut digits, format_args!("{value}"))?;
                out.push(&digits);
            }
            value => match number::of(value) {
                Some(number) => {
                    digits.clear();
                    number::format_g(number, 17, &mut digits);
                    out.push(&digits);
                }
                None => {
                    return Err(errors::reply(
                        "ERR Lua redis lib command arguments must be strings or integers",
                    ));
                }
            },
        }
    }
    Ok(())
}

fn call(lua: &Lua, state: &State, values: MultiValue, raise: bool) -> mlua::Result<Value> {
    let host = state.host()?;
    let mut buffers = state.take_buffers();
    let outcome = arguments(&values, state, &mut buffers.args).and_then(|()| {
        buffers.reply.set_proto(state.proto.get());
        host.call(buffers.args.as_args(), &mut buffers.reply);
        let reply = buffers.reply.as_slice();
        if raise && let Some((b'-', text)) = reply.split_first() {
            return Err(errors::reply(text.strip_suffix(b"\r\n").unwrap_or(text)));
        }
        state.unbounded(lua, || convert::to_lua(lua, reply))
    });
    state.return_buffers(buffers);
    match outcome {
        Err(error) if !raise => errors::plain(lua, Value::Error(Box::new(error))),
        other => other,
    }
}

fn error_reply(lua: &Lua, args: &[Value]) -> mlua::Result<Table> {
    let [Value::String(text)] = args else { return wrong_arguments(lua) };
    let text = text.as_bytes();
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    // A code of its own stands in front of a space.
    let text = if text.contains(&b' ') { text.to_vec() } else { [b"ERR ", text].concat() };
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

fn status_reply(lua: &Lua, args: &[Value]) -> mlua::Result<Table> {
    let [Value::String(text)] = args else { return wrong_arguments(lua) };
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("ok", text)?;
    Ok(table)
}

fn wrong_arguments(lua: &Lua) -> mlua::Result<Table> {
    convert::error_table(lua, b"ERR wrong number or type of arguments")
}

fn sha1hex(lua: &Lua, mut args: Variadic<Value>) -> mlua::Result<String> {
    if args.len() != 1 {
        return Err(errors::reply(ONE_ARGUMENT));
    }
    let value = args.pop().unwrap_or(Value::Nil);
    let digest = match lua.coerce_string(value)? {
        Some(text) => crate::sha1(&text.as_bytes()),
        None => crate::sha1(b""),
    };
    Ok(digest.to_string())
}

fn log(lua: &Lua, state: &State, args: &[Value]) -> mlua::Result<()> {
    let [level, parts @ ..] = args else {
        return Err(errors::reply("ERR redis.log() requires two arguments or more."));
    };
    if parts.is_empty() {
        return Err(errors::reply("ERR redis.log() requires two arguments or more."));
    }
    let Some(level) = number::of(level) else {
        return Err(errors::reply("ERR First argument must be a number (log level)."));
    };
    let level = match to_level(level) {
        Some(level) => level,
        None => return Err(errors::reply("ERR Invalid debug level.")),
    };
    let mut message = Vec::new();
    for part in parts {
        if let Some(text) = lua.coerce_string(part.clone())? {
            if !message.is_empty() {
                message.push(b' ');
            }
            message.extend_from_slice(&text.as_bytes());
        }
        if message.len() > MESSAGE_BYTES {
            message.truncate(MESSAGE_BYTES);
            break;
        }
    }
    state.log(level, &message);
    Ok(())
}

fn to_level(level: f64) -> Option<LogLevel> {
    match number::to_i64(level) {
        0 => Some(LogLevel::Debug),
        1 => Some(LogLevel::Verbose),
        2 => Some(LogLevel::Notice),
        3 => Some(LogLevel::Warning),
        _ => None,
    }
}
