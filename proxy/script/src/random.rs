//! `math.random` and `math.randomseed`: the 48-bit generator that Redis puts in their place, so that a seed gives the
//! same numbers everywhere.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table, Value, Variadic};

use crate::errors;
use crate::number::{self, to_i64};

const MASK: u64 = (1 << 48) - 1;
const MAX: f64 = 2_147_483_647.0;

fn seeded(seed: i64) -> u64 {
    ((seed as u64 & 0xffff_ffff) << 16) | 0x330e
}

fn next(state: &Cell<u64>) -> f64 {
    let x = state.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK;
    state.set(x);
    ((x >> 17) % 2_147_483_647) as f64 / MAX
}

/// Replaces both functions; the first seed is drawn.
pub(crate) fn install(lua: &Lua, math: &Table) -> mlua::Result<()> {
    let state = Rc::new(Cell::new(seeded(i64::from(rand::random::<u32>()))));
    let drawn = Rc::clone(&state);
    let random = lua.create_function(move |lua, args: Variadic<Value>| {
        let r = next(&drawn);
        let int = |at: usize| match args.get(at).and_then(|arg| number::coerced(lua, arg)) {
            Some(number) => Ok(f64::from(to_i64(number) as i32)),
            None => Err(errors::type_of_argument(lua, at + 1, "random", "number", args.get(at))),
        };
        match args.len() {
            0 => Ok(r),
            1 => {
                let high = int(0)?;
                if high < 1.0 {
                    return Err(errors::argument(lua, 1, "random", "interval is empty"));
                }
                Ok((r * high).floor() + 1.0)
            }
            2 => {
                let (low, high) = (int(0)?, int(1)?);
                if low > high {
                    return Err(errors::argument(lua, 2, "random", "interval is empty"));
                }
                Ok((r * (high - low + 1.0)).floor() + low)
            }
            _ => Err(errors::text(lua, "wrong number of arguments")),
        }
    })?;
    let randomseed = lua.create_function(move |lua, args: Variadic<Value>| {
        match args.first().and_then(|arg| number::coerced(lua, arg)) {
            Some(seed) => state.set(seeded(i64::from(to_i64(seed) as i32))),
            None => return Err(errors::type_of_argument(lua, 1, "randomseed", "number", args.first())),
        }
        Ok(())
    })?;
    math.raw_set("random", random)?;
    math.raw_set("randomseed", randomseed)
}
