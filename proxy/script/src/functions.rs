//! The machine for functions: loads libraries, and runs what they have registered. A library keeps its own variables
//! from call to call.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, Table, Value, Variadic};
use proxy_resp::{Args, Reply};

use crate::errors;
use crate::host::Host;
use crate::number;
use crate::redis;
use crate::sandbox;
use crate::shebang::{self, Flags, NOT_A_NAME, is_name};
use crate::vm::{Failure, Limits, Machine, State};

/// The name under which a library's code stands in messages.
const LIBRARY_NAME: &str = "@user_function";
/// How long a library may take to load.
const LOAD_TIME: Duration = Duration::from_millis(500);

/// A function of a library.
#[derive(Clone)]
pub struct RegisteredFunction {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
    callback: Function,
}

/// A loaded library.
pub struct Library {
    pub name: Vec<u8>,
    pub code: Arc<[u8]>,
    /// In the order in which they were registered; there is at least one.
    pub functions: Vec<RegisteredFunction>,
}

/// Why a library does not load: the answer's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadError(pub Vec<u8>);

/// The machine.
pub struct Functions {
    machine: Machine,
    /// What scripts see of the globals looks at one of two tables: while a library is loaded, and while functions run.
    globals: Table,
    view: Table,
    loading: Table,
}

impl Functions {
    /// A machine without libraries.
    pub fn new(limits: Limits) -> mlua::Result<Self> {
        let machine = Machine::new(limits)?;
        let Machine { lua, state, real, .. } = &machine;
        let api = redis::common(lua, state)?;
        redis::running(lua, state, &api)?;
        real.raw_set("redis", api)?;
        let globals = sandbox::close(lua, real, state)?;
        let refuse = sandbox::refusal(lua)?;
        let loading = lua.create_table()?;
        let api = redis::common(lua, state)?;
        let at = Rc::clone(state);
        let register = lua.create_function(move |lua, args: Variadic<Value>| register(lua, &at, &args))?;
        api.raw_set("register_function", register)?;
        sandbox::make_strict(lua, &api)?;
        loading.raw_set("redis", sandbox::cover(lua, &api, &refuse, state)?)?;
        sandbox::make_strict(lua, &loading)?;
        let view = globals.metatable().ok_or_else(|| mlua::Error::runtime("no metatable"))?;
        lua.set_globals(globals.clone())?;
        Ok(Self { machine, globals, view, loading })
    }

    /// Bytes that the machine's values take.
    pub fn used_bytes(&self) -> usize {
        self.machine.lua.used_memory()
    }

    /// Loads a library. Whether its names are free is for the caller to see.
    pub fn load(&self, code: &[u8]) -> Result<Library, LoadError> {
        let fail = |text: Vec<u8>| LoadError([b"ERR ", text.as_slice()].concat());
        let (name, body) = shebang::library(code).map_err(|error| fail(error.0))?;
        let function = sandbox::compile(&self.machine.lua, body, LIBRARY_NAME)
            .map_err(|error| fail([b"Error compiling function: ", error.as_slice()].concat()))?;
        let registered = |message: &[u8]| fail([b"Error registering functions: ", message].concat());
        let machine = &self.machine;
        machine.begin(None);
        machine.state.deadline.set(Some(Instant::now() + LOAD_TIME));
        *machine.state.registering.borrow_mut() = Some(Vec::new());
        let run = || {
            function.set_environment(self.globals.clone())?;
            self.view.raw_set("__index", &self.loading)?;
            machine.load.call(&function)
        };
        let outcome = machine.outcome(run());
        let functions = machine.state.registering.borrow_mut().take().unwrap_or_default();
        machine.state.deadline.set(None);
        self.view
            .raw_set("__index", &machine.real)
            .map_err(|error| registered(error.to_string().as_bytes()))?;
        if let Err(failure) = outcome {
            return Err(registered(&failure.message));
        }
        if functions.is_empty() {
            return Err(fail(b"No functions registered".to_vec()));
        }
        Ok(Library { name: name.to_vec(), code: code.into(), functions })
    }

    /// Calls a function and writes its answer to `out`.
    pub fn run(
        &self,
        function: &RegisteredFunction,
        (keys, args): (Args<'_>, Args<'_>),
        host: Rc<dyn Host>,
        out: &mut Reply,
    ) -> Result<(), Failure> {
        let machine = &self.machine;
        machine.begin(Some(host));
        let run = || {
            let [keys, args] = machine.lists((keys, args))?;
            machine.run_function.call((&function.callback, keys, args))
        };
        machine.end(run(), out)
    }
}

/// `redis.register_function`.
fn register(lua: &Lua, state: &State, args: &[Value]) -> mlua::Result<()> {
    let refuse = |text: &str| Err(errors::reply(format!("ERR {text}")));
    let function = match args {
        [Value::Table(table)] => named(lua, table)?,
        [_] => {
            return refuse(
                "calling redis.register_function with a single argument is only applicable to Lua table \
                 (representing named arguments).",
            );
        }
        [name, callback] => {
            let Some(name) = text(lua, name) else {
                return refuse("first argument to redis.register_function must be a string");
            };
            let Value::Function(callback) = callback else {
                return refuse("second argument to redis.register_function must be a function");
            };
            RegisteredFunction {
                name,
                description: None,
                flags: Flags::default(),
                callback: callback.clone(),
            }
        }
        _ => return refuse("wrong number of arguments to redis.register_function"),
    };
    if !is_name(&function.name) {
        return refuse(NOT_A_NAME);
    }
    let mut registering = state.registering.borrow_mut();
    let Some(functions) = registering.as_mut() else {
        return refuse("redis.register_function can only be called on FUNCTION LOAD command");
    };
    if functions.iter().any(|other| other.name.eq_ignore_ascii_case(&function.name)) {
        return refuse("Function already exists in the library");
    }
    functions.push(function);
    Ok(())
}

fn text(lua: &Lua, value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ if number::of(value).is_some() => {
            lua.coerce_string(value.clone()).ok().flatten().map(|text| text.as_bytes().to_vec())
        }
        _ => None,
    }
}

/// The form with named arguments.
fn named(lua: &Lua, table: &Table) -> mlua::Result<RegisteredFunction> {
    let refuse = |text: &str| Err(errors::reply(format!("ERR {text}")));
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, Flags::default());
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(key) = key else {
            return refuse("named argument key given to redis.register_function is not a string");
        };
        match &*key.as_bytes() {
            b"function_name" => match text(lua, &value) {
                Some(text) => name = Some(text),
                None => {
                    return refuse(
                        "function_name argument given to redis.register_function must be a string",
                    );
                }
            },
            b"description" => match text(lua, &value) {
                Some(text) => description = Some(text),
                None => {
                    return refuse("description argument given to redis.register_function must be a string");
                }
            },
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => return refuse("callback argument given to redis.register_function must be a function"),
            },
            b"flags" => match &value {
                Value::Table(names) => read_flags(names, &mut flags)?,
                _ => {
                    return refuse(
                        "flags argument to redis.register_function must be a table representing function flags",
                    );
                }
            },
            _ => return refuse("unknown argument given to redis.register_function"),
        }
    }
    let Some(name) = name else {
        return refuse("redis.register_function must get a function name argument");
    };
    let Some(callback) = callback else {
        return refuse("redis.register_function must get a callback argument");
    };
    Ok(RegisteredFunction { name, description, flags, callback })
}

fn read_flags(names: &Table, flags: &mut Flags) -> mlua::Result<()> {
    for at in 1_i64.. {
        match names.raw_get::<Value>(at)? {
            Value::Nil => break,
            Value::String(name) if flags.set(&name.as_bytes()) => {}
            _ => return Err(errors::reply("ERR unknown flag given")),
        }
    }
    Ok(())
}
