//! Lua machines: made once, then running one script after the other. A worker has one for scripts and one for functions
//! (`functions`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use proxy_resp::{Args, OwnedArgs, Protocol, Reply};
use sha1::{Digest, Sha1};

use crate::errors::{self, Raised, plain};
use crate::functions::RegisteredFunction;
use crate::host::{Host, LogLevel, Verdict};
use crate::sandbox::{self, GLUE};
use crate::shebang::{self, Flags};
use crate::{bit, cjson, cmsgpack, convert, redis, structs};

/// The name under which a script's code stands in messages.
const SCRIPT_NAME: &str = "@user_script";
/// Instructions between two looks at the world around a running script.
const PAUSE_EVERY: u32 = 100_000;
/// The same in values that are written or read on the script's behalf.
const PAUSE_EVERY_VALUE: u32 = 1 << 14;
/// Runs between two looks at what scripts have left behind.
const TIDY_EVERY: u32 = 64;

/// The SHA-1 of a script's text, by which it is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha(pub [u8; 20]);

impl Sha {
    /// Length of a hash as text.
    pub const TEXT_BYTES: usize = 40;

    /// Reads forty hexadecimal digits, in any case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut sha = [0; 20];
        if text.len() != Self::TEXT_BYTES {
            return None;
        }
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            b'A'..=b'F' => Some(b - b'A' + 10),
            _ => None,
        };
        for (byte, pair) in sha.iter_mut().zip(text.chunks(2)) {
            let [high, low] = pair else { return None };
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(sha))
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The SHA-1 of a text.
pub fn sha1(text: &[u8]) -> Sha {
    Sha(Sha1::digest(text).into())
}

/// Bounds of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory that all values of the machine may take together, in bytes.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20 }
    }
}

/// Why a script gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error's text with its code.
    pub message: Vec<u8>,
    /// Where it was raised: the code's name and the line.
    pub place: Option<(String, i64)>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<Vec<u8>>) -> Self {
        Self { message: message.into(), place: None }
    }

    fn of(error: &mlua::Error) -> Self {
        match error.downcast_ref::<Raised>() {
            Some(Raised::Killed(why)) => Self::new(*why),
            _ => Self::new(format!("ERR {}", first_line(&error.to_string()))),
        }
    }

    /// The text of the answer; `what` is the script's SHA-1 or the function's name.
    pub fn text(&self, what: &str) -> Vec<u8> {
        let mut text = self.message.clone();
        if let Some((source, line)) = &self.place {
            text.extend_from_slice(format!(" script: {what}, on {source}:{line}.").as_bytes());
        } else {
            text.extend_from_slice(format!(" script: {what}").as_bytes());
        }
        text
    }
}

/// What the functions of a machine share.
#[derive(Default)]
pub(crate) struct State {
    host: RefCell<Option<Rc<dyn Host>>>,
    /// What replies look like to the running script, and its answer to them.
    pub(crate) proto: Cell<Protocol>,
    buffers: Cell<Option<Buffers>>,
    failure: RefCell<Option<Failure>>,
    /// Why the script is being ended.
    killed: Cell<Option<&'static str>>,
    /// When a library must be loaded.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// The functions of the library that is being loaded.
    pub(crate) registering: RefCell<Option<Vec<RegisteredFunction>>>,
    /// Tables that scripts see, and what is behind them.
    pub(crate) covers: RefCell<Vec<(Table, Table)>>,
    /// Values of which something was made, see [`State::makes`].
    made: Cell<u32>,
    limits: Limits,
}

/// Memory of a call that the next one uses again.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) args: OwnedArgs,
    pub(crate) reply: Reply,
}

impl State {
    pub(crate) fn host(&self) -> mlua::Result<Rc<dyn Host>> {
        self.host.borrow().clone().ok_or_else(|| errors::reply("ERR no script is running"))
    }

    /// That of the machine which `lua` is.
    pub(crate) fn of(lua: &Lua) -> mlua::Result<Rc<Self>> {
        let state = lua.app_data_ref::<Rc<Self>>().map(|state| Rc::clone(&state));
        state.ok_or_else(|| errors::raw("this is no machine for scripts"))
    }

    /// To be called for each value of which something is made outside of the machine that is `bytes` long by now: arguments, an
    /// answer, JSON. Where values have parts in common that can be far more than they take themselves, and take long.
    pub(crate) fn makes(&self, bytes: usize) -> mlua::Result<()> {
        if bytes > self.limits.memory_bytes.saturating_mul(2) {
            return Err(errors::raw("not enough memory"));
        }
        let made = self.made.get().wrapping_add(1);
        self.made.set(made);
        if made.is_multiple_of(PAUSE_EVERY_VALUE) { pause(self).map(drop) } else { Ok(()) }
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        match &*self.host.borrow() {
            Some(host) => host.log(level, message),
            None => tracing::info!("script: {}", String::from_utf8_lossy(message)),
        }
    }

    pub(crate) fn take_buffers(&self) -> Buffers {
        self.buffers.take().unwrap_or_default()
    }

    pub(crate) fn return_buffers(&self, mut buffers: Buffers) {
        const KEEP_BYTES: usize = 1 << 16;
        buffers.args.clear();
        buffers.reply.clear();
        if buffers.args.bytes() <= KEEP_BYTES && buffers.reply.buffer().capacity() <= KEEP_BYTES {
            self.buffers.set(Some(buffers));
        }
    }

    /// What is behind a table that scripts see, if it is one of ours.
    pub(crate) fn covered(&self, table: &Table) -> Option<Table> {
        self.covers.borrow().iter().find(|(cover, _)| cover == table).map(|(_, real)| real.clone())
    }

    /// Makes values out of a request or a reply, which are no larger than those are, without the bound on memory: under it, each
    /// string and table takes a protected call that costs several times the value. The next value of the script's own is
    /// refused if memory is over the bound by then.
    pub(crate) fn unbounded<T>(&self, lua: &Lua, make: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        lua.set_memory_limit(0)?;
        let made = make();
        lua.set_memory_limit(self.limits.memory_bytes)?;
        made
    }
}

/// A Lua machine, before it is closed: who makes it adds what scripts find there.
pub(crate) struct Machine {
    pub(crate) lua: Lua,
    pub(crate) state: Rc<State>,
    /// The globals behind what scripts see.
    pub(crate) real: Table,
    pub(crate) load: Function,
    pub(crate) run_script: Function,
    pub(crate) run_function: Function,
    runs: Cell<u32>,
}

impl Machine {
    pub(crate) fn new(limits: Limits) -> mlua::Result<Self> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libs, LuaOptions::default())?;
        let state = Rc::new(State { limits, ..State::default() });
        lua.set_app_data(Rc::clone(&state));
        let (xpcall, rawset): (Function, Function) =
            (lua.globals().raw_get("xpcall")?, lua.globals().raw_get("rawset")?);
        let real = sandbox::prepare(&lua)?;
        real.raw_set("bit", bit::library(&lua)?)?;
        real.raw_set("cjson", cjson::library(&lua)?)?;
        real.raw_set("cmsgpack", cmsgpack::library(&lua)?)?;
        real.raw_set("struct", structs::library(&lua)?)?;
        let at = Rc::clone(&state);
        let handler = lua.create_function(move |lua, error: Value| failed(lua, &at, error))?;
        let runner = lua.load(include_str!("runner.lua")).set_name(GLUE).into_function()?;
        let (load, run_script, run_function): (Function, Function, Function) =
            runner.call((xpcall, handler, rawset, &real))?;
        let at = Rc::clone(&state);
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(PAUSE_EVERY), move |_, _| pause(&at))?;
        lua.set_memory_limit(limits.memory_bytes)?;
        Ok(Self { lua, state, real, load, run_script, run_function, runs: Cell::new(0) })
    }

    pub(crate) fn begin(&self, host: Option<Rc<dyn Host>>) {
        *self.state.host.borrow_mut() = host;
        self.state.proto.set(Protocol::Resp2);
        self.state.killed.set(None);
        self.state.deadline.set(None);
        *self.state.failure.borrow_mut() = None;
    }

    /// KEYS and ARGV.
    pub(crate) fn lists(&self, (keys, argv): (Args<'_>, Args<'_>)) -> mlua::Result<[Option<Table>; 2]> {
        self.state.unbounded(&self.lua, || Ok([self.list(keys)?, self.list(argv)?]))
    }

    /// `None` for an empty one, which the runner makes for less than a call from here costs.
    fn list(&self, args: Args<'_>) -> mlua::Result<Option<Table>> {
        if args.is_empty() {
            return Ok(None);
        }
        let table = self.lua.create_table_with_capacity(args.len(), 0)?;
        for arg in args.iter() {
            table.raw_push(self.lua.create_string(arg)?)?;
        }
        Ok(Some(table))
    }

    /// What came of a run: the value, or why there is none.
    pub(crate) fn outcome(&self, outcome: mlua::Result<(bool, Value)>) -> Result<Value, Failure> {
        match outcome {
            Ok((true, answer)) => Ok(answer),
            Ok((false, message)) => Err(self.state.failure.borrow_mut().take().unwrap_or_else(|| {
                // Out of memory: Lua does not ask the handler.
                let text =
                    plain(&self.lua, message).ok().and_then(|m| self.lua.coerce_string(m).ok().flatten());
                let text = text.map_or_else(|| "unknown error".into(), |text| text.to_string_lossy());
                Failure::new(format!("ERR {text}"))
            })),
            Err(error) => Err(self.state.failure.borrow_mut().take().unwrap_or_else(|| Failure::of(&error))),
        }
    }

    /// Ends a run: the answer is written, or the failure told.
    pub(crate) fn end(&self, outcome: mlua::Result<(bool, Value)>, out: &mut Reply) -> Result<(), Failure> {
        let start = out.len();
        let result = self.outcome(outcome).and_then(|answer| {
            convert::to_reply(&answer, &self.state, out).map_err(|error| Failure::of(&error))
        });
        if result.is_err() {
            out.truncate(start);
        }
        *self.state.host.borrow_mut() = None;
        self.tidy();
        result
    }

    /// Frees what scripts have left behind, once in a while or when it is much.
    fn tidy(&self) {
        let runs = self.runs.get().wrapping_add(1);
        self.runs.set(runs);
        let full = self.lua.used_memory() > self.state.limits.memory_bytes / 4;
        if !full && !runs.is_multiple_of(TIDY_EVERY) {
            return;
        }
        self.lua.gc_restart();
        for (cover, _) in self.state.covers.borrow().iter() {
            // Only table.insert and the like get past the refusal.
            let _ = cover.clear();
        }
        if full {
            let _ = self.real.raw_set("KEYS", Value::Nil);
            let _ = self.real.raw_set("ARGV", Value::Nil);
            let _ = self.lua.gc_collect();
        }
    }
}

/// The machine for scripts.
pub struct Vm {
    machine: Machine,
    scripts: RefCell<HashMap<Sha, (Function, Flags)>>,
}

impl Vm {
    /// A machine without scripts.
    pub fn new(limits: Limits) -> mlua::Result<Self> {
        let machine = Machine::new(limits)?;
        let Machine { lua, state, real, .. } = &machine;
        let api = redis::common(lua, state)?;
        redis::running(lua, state, &api)?;
        redis::scripts_only(lua, &api)?;
        real.raw_set("redis", api)?;
        let globals = sandbox::close(lua, real, state)?;
        lua.set_globals(globals)?;
        Ok(Self { machine, scripts: RefCell::default() })
    }

    /// Bytes that the machine's values take.
    pub fn used_bytes(&self) -> usize {
        self.machine.lua.used_memory()
    }

    /// The flags of a script that is compiled already.
    pub fn flags(&self, sha: Sha) -> Option<Flags> {
        self.scripts.borrow().get(&sha).map(|(_, flags)| *flags)
    }

    /// Compiles a script; the error is the answer's text.
    pub fn compile(&self, sha: Sha, code: &[u8]) -> Result<Flags, Vec<u8>> {
        let (flags, body) = shebang::script(code).map_err(|error| [b"ERR ", error.0.as_slice()].concat())?;
        let function = sandbox::compile(&self.machine.lua, body, SCRIPT_NAME)
            .map_err(|error| [b"ERR Error compiling script (new function): ", error.as_slice()].concat())?;
        self.scripts.borrow_mut().insert(sha, (function, flags));
        Ok(flags)
    }

    /// Runs a compiled script and writes its answer to `out`.
    pub fn run(
        &self,
        sha: Sha,
        args: (Args<'_>, Args<'_>),
        host: Rc<dyn Host>,
        out: &mut Reply,
    ) -> Result<(), Failure> {
        let Some((function, _)) = self.scripts.borrow().get(&sha).cloned() else {
            return Err(Failure::new("NOSCRIPT No matching script. Please use EVAL."));
        };
        let machine = &self.machine;
        machine.begin(Some(host));
        let lists = machine.lists(args);
        let outcome = lists.and_then(|[keys, argv]| machine.run_script.call((function, keys, argv)));
        machine.end(outcome, out)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The handler of errors that nothing in the script has caught: notes what and where.
fn failed(lua: &Lua, state: &State, error: Value) -> mlua::Result<bool> {
    // Level 0 is this function, level 1 what raised the error. Our own Lua does not count.
    let mut levels = 1..;
    let mut next = || {
        levels
            .by_ref()
            .map_while(|level| {
                lua.inspect_stack(level, |debug| {
                    let source = debug.source();
                    let name = source.source.map(|name| name.into_owned()).unwrap_or_default();
                    (source.what == "C", name, debug.current_line().map_or(-1, |line| line as i64))
                })
            })
            .find(|(_, name, _)| name != GLUE)
    };
    let raiser = next();
    let place = if raiser.as_ref().is_some_and(|(is_c, ..)| *is_c) { next() } else { raiser };
    let place = place.map(|(_, name, line)| (name, line));
    let message = match plain(lua, error) {
        Err(_) => state.killed.get().unwrap_or(errors::KILLED).into(),
        Ok(Value::Table(table)) => match table.raw_get("err") {
            Ok(Value::String(text)) => text.as_bytes().to_vec(),
            _ => b"ERR unknown error".to_vec(),
        },
        Ok(other) => {
            let text = match &other {
                Value::Nil => "nil".into(),
                Value::Boolean(value) => value.to_string().into_bytes(),
                _ => match lua.coerce_string(other.clone())? {
                    Some(text) => text.as_bytes().to_vec(),
                    None => other.to_string()?.into_bytes(),
                },
            };
            [b"ERR ", text.as_slice()].concat()
        }
    };
    *state.failure.borrow_mut() = Some(Failure { message, place });
    Ok(false)
}

fn pause(state: &State) -> mlua::Result<VmState> {
    if state.killed.get().is_none() {
        let host = state.host.borrow().clone();
        if host.is_some_and(|host| host.pause() == Verdict::Kill) {
            state.killed.set(Some(errors::KILLED));
        } else if state.deadline.get().is_some_and(|deadline| Instant::now() > deadline) {
            state.killed.set(Some("ERR FUNCTION LOAD timeout"));
        }
    }
    match state.killed.get() {
        Some(why) => Err(mlua::Error::external(Raised::Killed(why))),
        None => Ok(VmState::Continue),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Answers every call with OK, and keeps nothing.
    struct Anybody;

    impl Host for Anybody {
        fn call(&self, _: Args<'_>, out: &mut Reply) {
            out.ok();
        }

        fn may_run(&self, _: Args<'_>) -> Option<bool> {
            Some(true)
        }

        fn log(&self, _: LogLevel, message: &[u8]) {
            assert!(message.len() <= 1024);
        }

        fn pause(&self) -> Verdict {
            Verdict::GoOn
        }
    }

    /// Values that have parts in common stand for far more than they take: whatever is made of them has an end.
    #[test]
    fn what_is_made_of_values_is_bounded() {
        let vm = Vm::new(Limits { memory_bytes: 2 << 20 }).unwrap();
        let twice = "local t = {1} for i = 1, 60 do t = {t, t} end ";
        let long = "local s = string.rep('x', 100000) ";
        for (code, why) in [
            (format!("{twice} return t"), "not enough memory"),
            (format!("{twice} return cjson.encode(t)"), "not enough memory"),
            ("cjson.encode_sparse_array(false, 0) return cjson.encode({[1e15] = 1})".into(), "not enough memory"),
            ("local t = {} for i = 1, 99 do t[i] = 1 end for i = 1, 9 do local u = {} for j = 1, 99 do u[j] = t end t = u end \
              return cmsgpack.pack(t)".into(), "not enough memory"),
            (format!("{long} local t = {{}} for i = 1, 99 do t[i] = s end return redis.call('MSET', unpack(t))"),
             "not enough memory"),
        ] {
            let (sha, mut out) = (sha1(code.as_bytes()), Reply::default());
            vm.compile(sha, code.as_bytes()).unwrap();
            let failure = vm.run(sha, (Args::default(), Args::default()), Rc::new(Anybody), &mut out).unwrap_err();
            let text = String::from_utf8(failure.message).unwrap();
            assert!(text.contains(why), "{code}: {text}");
        }
        let code = format!("{long} redis.log(redis.LOG_WARNING, s, s, s) return redis.call('SET', 'k', s)");
        let (sha, mut out) = (sha1(code.as_bytes()), Reply::default());
        vm.compile(sha, code.as_bytes()).unwrap();
        vm.run(sha, (Args::default(), Args::default()), Rc::new(Anybody), &mut out).unwrap();
        assert_eq!(out.as_slice(), b"+OK\r\n");
    }
}
