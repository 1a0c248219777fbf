//! What scripts may touch. The libraries and the table of globals are seen through empty tables that refuse every
//! assignment, so that no script changes what the next one finds; what reaches files, processes or bytecode is absent.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, MultiValue, Table, Value, Variadic};

use crate::errors::{self, plain};
use crate::random;
use crate::vm::State;

pub(crate) const READ_ONLY: &str = "Attempt to modify a readonly table";
/// The name under which our own Lua stands in stacks.
pub(crate) const GLUE: &str = "=fastkeep";
/// Bytecode begins with this; it could do anything, so it is never loaded.
const BYTECODE: u8 = 0x1b;

/// Keeps the functions that Redis has; errors that are seen by scripts look as in Redis.
pub(crate) fn prepare(lua: &Lua) -> mlua::Result<Table> {
    let globals = lua.globals();
    for name in ["dofile", "loadfile", "print", "getfenv", "setfenv", "newproxy", "module", "require"] {
        globals.raw_set(name, Value::Nil)?;
    }
    random::install(lua, &globals.raw_get("math")?)?;
    globals
        .raw_set("loadstring", lua.create_function(|lua, args: Variadic<Value>| loadstring(lua, &args))?)?;
    globals.raw_set("load", lua.create_function(|lua, args: Variadic<Value>| load(lua, &args))?)?;
    let plain_error = lua.create_function(|lua, error: Value| plain(lua, error))?;
    let caught = lua.create_function(|lua, error: Value| {
        // As Redis's pcall does: of an error's table only its text is left.
        let error = plain(lua, error)?;
        if let Value::Table(table) = &error
            && let text @ Value::String(_) = table.raw_get("err")?
        {
            return Ok(text);
        }
        Ok(error)
    })?;
    let glue = lua.load(include_str!("glue.lua")).set_name(GLUE).into_function()?;
    glue.call::<()>((&globals, plain_error, caught))?;
    Ok(globals)
}

/// Raises the error of an assignment to what can't be changed.
pub(crate) fn refusal(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, _: MultiValue| Err::<(), _>(errors::text(lua, READ_ONLY)))
}

/// Has a table raise an error for names that it does not have.
pub(crate) fn make_strict(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let missing = lua.create_function(|lua, (_, name): (Value, Value)| {
        let name = lua.coerce_string(name)?.map(|name| name.to_string_lossy()).unwrap_or_default();
        let message = format!("Script attempted to access nonexistent global variable '{name}'");
        Err::<Value, _>(errors::text(lua, message))
    })?;
    let strictness = lua.create_table()?;
    strictness.raw_set("__index", missing)?;
    table.set_metatable(Some(strictness))
}

/// Puts the libraries behind tables that can't be changed, and all of `real` too; returns what is to be the globals.
pub(crate) fn close(lua: &Lua, real: &Table, state: &Rc<State>) -> mlua::Result<Table> {
    let refuse = refusal(lua)?;
    let libraries: Vec<(Value, Table)> = real
        .pairs::<Value, Value>()
        .filter_map(|pair| match pair {
            Ok((name, Value::Table(table))) if table != *real => Some((name, table)),
            _ => None,
        })
        .collect();
    for (name, library) in libraries {
        real.raw_set(name, cover(lua, &library, &refuse, state)?)?;
    }
    make_strict(lua, real)?;
    let globals = cover(lua, real, &refuse, state)?;
    real.raw_set("_G", &globals)?;

    // Strings find their methods through a table of their own.
    let methods = lua.create_table()?;
    methods.raw_set("__index", real.raw_get::<Value>("string")?)?;
    methods.raw_set("__metatable", cover(lua, &methods, &refuse, state)?)?;
    lua.set_type_metatable::<mlua::LuaString>(Some(methods));

    let at = Rc::clone(state);
    let rawset = lua.create_function(move |lua, args: Variadic<Value>| rawset(lua, &at, &args))?;
    real.raw_set("rawset", rawset)?;
    let at = Rc::clone(state);
    let rawget = lua.create_function(move |lua, args: Variadic<Value>| rawget(lua, &at, &args))?;
    real.raw_set("rawget", rawget)?;
    Ok(globals)
}

/// An empty table that shows `table` and refuses changes.
pub(crate) fn cover(lua: &Lua, table: &Table, refuse: &Function, state: &State) -> mlua::Result<Table> {
    let meta = lua.create_table()?;
    meta.raw_set("__index", table)?;
    meta.raw_set("__newindex", refuse)?;
    // Whoever asks for the metatable gets one that says nothing and changes nothing.
    let shown = lua.create_table()?;
    let about_shown = lua.create_table()?;
    about_shown.raw_set("__newindex", refuse)?;
    about_shown.raw_set("__metatable", false)?;
    shown.set_metatable(Some(about_shown))?;
    meta.raw_set("__metatable", shown)?;
    let cover = lua.create_table()?;
    cover.set_metatable(Some(meta))?;
    state.covers.borrow_mut().push((cover.clone(), table.clone()));
    Ok(cover)
}

fn rawset(lua: &Lua, state: &State, args: &[Value]) -> mlua::Result<Value> {
    let Some(Value::Table(table)) = args.first() else {
        return Err(errors::type_of_argument(lua, 1, "rawset", "table", args.first()));
    };
    let (Some(key), Some(value)) = (args.get(1), args.get(2)) else {
        return Err(errors::argument(lua, args.len() + 1, "rawset", "value expected"));
    };
    if state.covered(table).is_some() {
        return Err(errors::raw(READ_ONLY));
    }
    table.raw_set(key, value)?;
    Ok(Value::Table(table.clone()))
}

fn rawget(lua: &Lua, state: &State, args: &[Value]) -> mlua::Result<Value> {
    let Some(Value::Table(table)) = args.first() else {
        return Err(errors::type_of_argument(lua, 1, "rawget", "table", args.first()));
    };
    let Some(key) = args.get(1) else {
        return Err(errors::argument(lua, 2, "rawget", "value expected"));
    };
    match state.covered(table) {
        Some(real) => real.raw_get(key),
        None => table.raw_get(key),
    }
}

fn loadstring(lua: &Lua, args: &[Value]) -> mlua::Result<MultiValue> {
    let code = match args.first() {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            lua.coerce_string(value.clone())?
        }
        _ => None,
    };
    let Some(code) = code else {
        return Err(errors::type_of_argument(lua, 1, "loadstring", "string", args.first()));
    };
    let code = code.as_bytes().to_vec();
    let name = match args.get(1) {
        Some(Value::String(name)) => name.to_string_lossy(),
        _ => String::from_utf8_lossy(&code).into_owned(),
    };
    compiled(lua, &code, name)
}

fn load(lua: &Lua, args: &[Value]) -> mlua::Result<MultiValue> {
    const MOST: usize = 64 << 20;
    let Some(Value::Function(reader)) = args.first() else {
        return Err(errors::type_of_argument(lua, 1, "load", "function", args.first()));
    };
    let mut code = Vec::new();
    loop {
        match reader.call::<Value>(())? {
            Value::Nil => break,
            Value::String(piece) if piece.as_bytes().is_empty() => break,
            Value::String(piece) if code.len() < MOST => code.extend_from_slice(&piece.as_bytes()),
            _ => return Err(errors::text(lua, "reader function must return a string")),
        }
    }
    let name = match args.get(1) {
        Some(Value::String(name)) => name.to_string_lossy(),
        _ => "=(load)".to_owned(),
    };
    compiled(lua, &code, name)
}

fn compiled(lua: &Lua, code: &[u8], name: String) -> mlua::Result<MultiValue> {
    let result = match compile(lua, code, &name) {
        Ok(function) => vec![Value::Function(function)],
        Err(message) => vec![Value::Nil, Value::String(lua.create_string(message)?)],
    };
    Ok(result.into_iter().collect())
}

/// Compiles a chunk; the error is Lua's message.
pub(crate) fn compile(lua: &Lua, code: &[u8], name: &str) -> Result<Function, Vec<u8>> {
    if code.first() == Some(&BYTECODE) {
        return Err(b"truncated precompiled chunk".to_vec());
    }
    let name = name.replace('\0', " ");
    lua.load(code).set_name(name).set_mode(ChunkMode::Text).into_function().map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => message.into_bytes(),
        mlua::Error::MemoryError(_) => b"not enough memory".to_vec(),
        other => other.to_string().into_bytes(),
    })
}
