//! Functions: FUNCTION LOAD and its sisters as units of every shard, and what FCALL finds. The code is data of the shard;
//! what it has registered is known to the worker that has loaded it, and follows the data.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use logsvc_api::{Epoch, Position, ShardId};
use proxy_commands::{Id, Row};
use proxy_resp::{Args, Reply};
use proxy_script::{Functions, Library, Limits, RegisteredFunction};

use crate::worker::{Local, Worker};
use proxy_engine::glob_match;

const TOO_LARGE: &str = "ERR the changes of this command are too large for one record of the log";

/// A worker's machine for functions, and what is loaded for each of its shards.
#[derive(Default)]
pub(crate) struct Host {
    machine: RefCell<Option<Rc<Functions>>>,
    registries: RefCell<HashMap<ShardId, Rc<Registry>>>,
    /// Loaded by a command that is about to write the code.
    fresh: RefCell<Vec<Rc<Library>>>,
}

/// The libraries of a shard as they are loaded.
#[derive(Default)]
pub(crate) struct Registry {
    /// Term and number of changes of the data that this was made from.
    mark: (Option<Epoch>, u64),
    libraries: Vec<Rc<Library>>,
    /// By name in lower case.
    by_name: HashMap<Vec<u8>, (usize, usize)>,
}

impl Registry {
    fn new(mark: (Option<Epoch>, u64), libraries: Vec<Rc<Library>>) -> Self {
        let mut by_name = HashMap::new();
        for (at, library) in libraries.iter().enumerate() {
            for (nth, function) in library.functions.iter().enumerate() {
                by_name.insert(function.name.to_ascii_lowercase(), (at, nth));
            }
        }
        Self { mark, libraries, by_name }
    }

    pub(super) fn function(&self, name: &[u8]) -> Option<&RegisteredFunction> {
        let (library, function) = self.by_name.get(&name.to_ascii_lowercase())?;
        self.libraries.get(*library)?.functions.get(*function)
    }

    /// The library that has a function of this name, unless it is called `but`.
    fn owner(&self, function: &[u8], but: &[u8]) -> bool {
        let found = self.by_name.get(&function.to_ascii_lowercase());
        found.and_then(|(library, _)| self.libraries.get(*library)).is_some_and(|library| library.name != but)
    }

    fn has(&self, name: &[u8]) -> bool {
        self.libraries.iter().any(|library| library.name == name)
    }
}

impl Host {
    pub(super) fn machine(&self) -> Result<Rc<Functions>, Vec<u8>> {
        if let Some(machine) = &*self.machine.borrow() {
            return Ok(Rc::clone(machine));
        }
        let machine = Functions::new(Limits::default())
            .map_err(|error| format!("ERR can't start Lua: {error}").into_bytes())?;
        let machine = Rc::new(machine);
        *self.machine.borrow_mut() = Some(Rc::clone(&machine));
        Ok(machine)
    }

    /// What is loaded for a shard, brought up to date; and the position that answers which rest on it wait for.
    pub(super) fn registry(&self, id: ShardId, local: &Local) -> Result<(Rc<Registry>, Position), Vec<u8>> {
        let shard = local.shard.borrow();
        let data = shard.keyspace().libraries();
        let mark = (shard.epoch(), data.changes());
        let known = self.registries.borrow().get(&id).cloned();
        if let Some(known) = &known
            && known.mark == mark
        {
            return Ok((Rc::clone(known), data.changed()));
        }
        let fresh = std::mem::take(&mut *self.fresh.borrow_mut());
        let mut libraries = Vec::new();
        for (name, code) in data.iter() {
            let same = |library: &&Rc<Library>| library.name == name && library.code[..] == code[..];
            let old = known.iter().flat_map(|known| known.libraries.iter());
            if let Some(library) = fresh.iter().chain(old).find(same) {
                libraries.push(Rc::clone(library));
                continue;
            }
            match self.machine()?.load(code) {
                Ok(library) => libraries.push(Rc::new(library)),
                Err(error) => {
                    let error = String::from_utf8_lossy(&error.0).into_owned();
                    tracing::warn!(shard = id, library = %String::from_utf8_lossy(name), "does not load: {error}");
                }
            }
        }
        let registry = Rc::new(Registry::new(mark, libraries));
        self.registries.borrow_mut().insert(id, Rc::clone(&registry));
        Ok((registry, data.changed()))
    }

    /// Bytes of the code of a shard's libraries, which are loaded if they aren't yet.
    pub(super) fn bytes(&self, id: ShardId, local: &Local) -> usize {
        let Ok(shard) = local.shard.try_borrow() else { return 0 };
        let bytes = shard.keyspace().libraries().iter().map(|(name, code)| name.len() + code.len()).sum();
        if bytes > 0 || self.registries.borrow().contains_key(&id) {
            let _ = self.registry(id, local);
        }
        bytes
    }

    /// Bytes that the machine's values take.
    pub(super) fn used_bytes(&self) -> usize {
        self.machine.borrow().as_ref().map_or(0, |machine| machine.used_bytes())
    }

    /// Libraries and functions, for figures.
    pub(super) fn counts(&self) -> (usize, usize) {
        let registries = self.registries.borrow();
        registries
            .values()
            .next()
            .map_or((0, 0), |registry| (registry.libraries.len(), registry.by_name.len()))
    }
}

/// Runs a FUNCTION command in the open unit of a shard; returns what its answer rests on besides.
pub(super) fn run(
    worker: &Worker,
    (id, local): (ShardId, &Local),
    (row, args): (&'static Row, Args<'_>),
    out: &mut Reply,
) -> Position {
    let (registry, gate) = match worker.scripts.functions.registry(id, local) {
        Ok(found) => found,
        Err(text) => {
            out.error_bytes(&text);
            return 0;
        }
    };
    let done = match row.id {
        Id::FunctionLoad => load(worker, local, &registry, args).map(|name| out.bulk(&name)),
        Id::FunctionDelete => delete(local, &registry, args.at(2)).map(|()| out.ok()),
        Id::FunctionFlush => flush(local, args).map(|()| out.ok()),
        Id::FunctionRestore => restore(worker, local, &registry, args).map(|()| out.ok()),
        Id::FunctionList => list(&registry, args, out),
        _ => dump(local).map(|payload| out.bulk(&payload)),
    };
    if let Err(text) = done {
        out.error_bytes(&text);
    }
    // So that the next call finds what this one has changed.
    let _ = worker.scripts.functions.registry(id, local);
    worker.scripts.functions.fresh.borrow_mut().clear();
    gate
}

fn quoted(before: &str, name: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), name, after.as_bytes()].concat()
}

/// Whether a library's functions are all its own.
fn check_names(registry: &Registry, library: &Library) -> Result<(), Vec<u8>> {
    match library.functions.iter().find(|function| registry.owner(&function.name, &library.name)) {
        Some(function) => Err(quoted("ERR Function ", &function.name, " already exists")),
        None => Ok(()),
    }
}

fn write(local: &Local, old: &[&[u8]], new: &[Rc<Library>]) -> Result<(), Vec<u8>> {
    let bytes = new.iter().map(|library| library.name.len() + library.code.len() + 32).sum::<usize>();
    let bytes = bytes + old.iter().map(|name| name.len() + 16).sum::<usize>();
    let written = local.shard.borrow_mut().write_in_unit(bytes, |fx| {
        for name in old {
            fx.library_delete(name);
        }
        for library in new {
            fx.library_set(&library.name, &library.code);
        }
    });
    if written { Ok(()) } else { Err(TOO_LARGE.into()) }
}

fn load(worker: &Worker, local: &Local, registry: &Registry, args: Args<'_>) -> Result<Vec<u8>, Vec<u8>> {
    let last = args.len() - 1;
    let mut replace = false;
    for at in 2..last {
        if !args.at(at).eq_ignore_ascii_case(b"REPLACE") {
            return Err(quoted("ERR Unknown option given: ", args.at(at), ""));
        }
        replace = true;
    }
    let host = &worker.scripts.functions;
    let library = Rc::new(host.machine()?.load(args.at(last)).map_err(|error| error.0)?);
    if !replace && registry.has(&library.name) {
        return Err(quoted("ERR Library '", &library.name, "' already exists"));
    }
    check_names(registry, &library)?;
    write(local, &[], std::slice::from_ref(&library))?;
    let name = library.name.clone();
    host.fresh.borrow_mut().push(library);
    Ok(name)
}

fn delete(local: &Local, registry: &Registry, name: &[u8]) -> Result<(), Vec<u8>> {
    let known = registry.has(name) || local.shard.borrow().keyspace().libraries().get(name).is_some();
    if known { write(local, &[name], &[]) } else { Err("ERR Library not found".into()) }
}

fn names(local: &Local) -> Vec<Vec<u8>> {
    local.shard.borrow().keyspace().libraries().iter().map(|(name, _)| name.to_vec()).collect()
}

fn flush(local: &Local, args: Args<'_>) -> Result<(), Vec<u8>> {
    let mode = args.at(2);
    let known = mode.eq_ignore_ascii_case(b"SYNC") || mode.eq_ignore_ascii_case(b"ASYNC");
    if args.len() > 3 || (args.len() == 3 && !known) {
        return Err("ERR FUNCTION FLUSH only supports SYNC|ASYNC option".into());
    }
    let names = names(local);
    write(local, &names.iter().map(Vec::as_slice).collect::<Vec<_>>(), &[])
}

fn restore(worker: &Worker, local: &Local, registry: &Registry, args: Args<'_>) -> Result<(), Vec<u8>> {
    if args.len() > 4 {
        let text = "ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.";
        return Err(text.into());
    }
    let policy = args.get(3).unwrap_or(b"APPEND").to_ascii_uppercase();
    if !matches!(policy.as_slice(), b"FLUSH" | b"APPEND" | b"REPLACE") {
        return Err("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.".into());
    }
    let codes =
        snapshot_rdb::restore_functions(args.at(2)).map_err(|error| format!("ERR {error}").into_bytes())?;
    let host = &worker.scripts.functions;
    let empty = Registry::default();
    let before = if policy == b"FLUSH" { &empty } else { registry };
    let mut new: Vec<Rc<Library>> = Vec::new();
    for code in codes {
        let library = Rc::new(host.machine()?.load(&code).map_err(|error| error.0)?);
        let twice = new.iter().any(|other| other.name == library.name);
        if twice || (policy == b"APPEND" && before.has(&library.name)) {
            return Err(quoted("ERR Library ", &library.name, " already exists"));
        }
        new.push(library);
    }
    // What stays, and what comes: no name of a function twice.
    let stays = before.libraries.iter().filter(|old| new.iter().all(|library| library.name != old.name));
    let after = Registry::new((None, 0), stays.cloned().chain(new.iter().cloned()).collect());
    for library in &after.libraries {
        check_names(&after, library)?;
    }
    let old = if policy == b"FLUSH" { names(local) } else { Vec::new() };
    let old: Vec<&[u8]> = old.iter().map(Vec::as_slice).collect();
    write(local, &old, &new)?;
    host.fresh.borrow_mut().extend(new);
    Ok(())
}

fn dump(local: &Local) -> Result<Vec<u8>, Vec<u8>> {
    let codes: Vec<Arc<[u8]>> = {
        let shard = local.shard.borrow();
        shard.keyspace().libraries().iter().map(|(_, code)| Arc::clone(code)).collect()
    };
    snapshot_rdb::dump_functions(codes.iter().map(|code| &code[..]))
        .map_err(|error| format!("ERR {error}").into_bytes())
}

fn list(registry: &Registry, args: Args<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
    let (mut pattern, mut with_code, mut at) = (None, false, 2);
    while at < args.len() {
        let word = args.at(at);
        if word.eq_ignore_ascii_case(b"WITHCODE") && !with_code {
            with_code = true;
        } else if word.eq_ignore_ascii_case(b"LIBRARYNAME") && pattern.is_none() {
            at += 1;
            pattern = Some(args.get(at).ok_or("ERR library name argument was not given")?);
        } else {
            return Err(quoted("ERR Unknown argument ", word, ""));
        }
        at += 1;
    }
    let shown = |library: &&Rc<Library>| pattern.is_none_or(|pattern| glob_match(pattern, &library.name));
    let libraries: Vec<&Rc<Library>> = registry.libraries.iter().filter(shown).collect();
    out.array(libraries.len());
    for library in libraries {
        out.map(if with_code { 4 } else { 3 });
        out.bulk(b"library_name");
        out.bulk(&library.name);
        out.bulk(b"engine");
        out.bulk(b"LUA");
        out.bulk(b"functions");
        out.array(library.functions.len());
        for function in &library.functions {
            out.map(3);
            out.bulk(b"name");
            out.bulk(&function.name);
            out.bulk(b"description");
            match &function.description {
                Some(text) => out.bulk(text),
                None => out.null(),
            }
            out.bulk(b"flags");
            let flags: Vec<&str> = function.flags.names().collect();
            out.set(flags.len());
            for flag in flags {
                out.simple(flag);
            }
        }
        if with_code {
            out.bulk(b"library_code");
            out.bulk(&library.code);
        }
    }
    Ok(())
}

/// FUNCTION STATS.
pub(super) fn stats(worker: &Worker, reply: &mut Reply) {
    let running = worker.shared.busy.iter().find_map(|busy| busy.running.lock().clone());
    if let Some(running) = running.as_ref().filter(|running| !running.is_function) {
        return reply.error(running.text());
    }
    for (id, local) in worker.locals() {
        if local.shard.try_borrow().is_ok() && running.is_none() {
            let _ = worker.scripts.functions.registry(id, local);
        }
    }
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&running.name);
            reply.bulk(b"command");
            let args = running.command.as_args();
            reply.array(args.len());
            args.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.integer(running.started.elapsed().as_millis() as i64);
        }
    }
    let (libraries, functions) = worker.scripts.functions.counts();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(libraries as i64);
    reply.bulk(b"functions_count");
    reply.integer(functions as i64);
}
