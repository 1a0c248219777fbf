//! Commands that may wait: what such a command says when it finds nothing, and how its timeout is read.
//!
//! It runs like its twin that never waits. When nothing is there it calls [`Call::wait`] instead of replying: on
//! which of its arguments, for which kind of value, how long. The shard keeps the client, and runs the command
//! again when one of the keys gets such a value; that run looks at this key alone ([`Call::passes_over`]),
//! because the key that was written first serves, not the one that is named first.

use std::ops::Range;

use proxy_resp::OwnedArgs;
use proxy_store::Value;

use crate::call::Call;
use crate::errors::Fail;
use crate::parse::LongDouble;

/// Whether a command may wait, or has waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Patience<'a> {
    /// It replies at once: inside MULTI.
    #[default]
    None,
    /// It may wait.
    May,
    /// It has waited, and this key may have what it waits for.
    Served(&'a [u8]),
}

/// The types that can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitKind {
    List,
    ZSet,
    Stream,
}

impl WaitKind {
    /// The kind of a value; `None` for types that nobody can wait for.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        match value.type_name() {
            "list" => Some(Self::List),
            "zset" => Some(Self::ZSet),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }
}

/// What a command waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    /// Which arguments are the keys.
    pub keys: Range<usize>,
    /// Milliseconds, `None` for ever. When they are over the reply is a null array.
    pub timeout_ms: Option<u64>,
    /// Runs the command also when a key is gone or holds something else: it answers an error then.
    pub also_gone: bool,
    /// The arguments for later runs, when they aren't the client's own (XREAD's `$` is what it was when it came);
    /// as many as the client's, the keys in the same places.
    pub args: Option<OwnedArgs>,
}

impl Wait {
    pub fn new(kind: WaitKind, keys: Range<usize>, timeout_ms: Option<u64>) -> Self {
        Self { kind, keys, timeout_ms, also_gone: false, args: None }
    }
}

impl Call<'_> {
    /// There is nothing: waits, and true; or false when the command must reply now.
    pub fn wait(&mut self, wait: Wait) -> bool {
        let waits = self.patience != Patience::None;
        if waits {
            self.wait = Some(Box::new(wait));
        }
        waits
    }

    /// Whether this is the run of a command that has waited.
    pub fn has_waited(&self) -> bool {
        matches!(self.patience, Patience::Served(_))
    }

    /// Whether argument `index` is a key that doesn't count in this run, see [`Patience::Served`].
    pub fn passes_over(&self, index: usize) -> bool {
        matches!(self.patience, Patience::Served(key) if key != self.args.at(index))
    }
}

/// A command of the form `name key [key ...] timeout`: `pop` answers from the first key that has something and says whether
/// it has; when none does, the client waits for a value of this kind.
pub(crate) fn pop_or_wait(
    call: &mut Call<'_>,
    kind: WaitKind,
    mut pop: impl FnMut(&mut Call<'_>, usize) -> Result<bool, Fail>,
) -> Result<(), Fail> {
    let last = call.args.len() - 1;
    let timeout_ms = timeout_at(call, last)?;
    for index in 1..last {
        if !call.passes_over(index) && pop(call, index)? {
            return Ok(());
        }
    }
    if !call.wait(Wait::new(kind, 1..last, timeout_ms)) {
        call.out.null_array();
    }
    Ok(())
}

/// The timeout in seconds at argument `index`, in milliseconds; `None` means for ever.
pub(crate) fn timeout_at(call: &Call<'_>, index: usize) -> Result<Option<u64>, Fail> {
    const NO_FLOAT: Fail = Fail::text("ERR timeout is not a float or out of range");
    const NEGATIVE: Fail = Fail::text("ERR timeout is negative");
    let seconds = LongDouble::parse(call.args.at(index)).ok_or(NO_FLOAT)?;
    // What is too large to count is negative in Redis, too.
    let ms = seconds.thousandfold_up().and_then(|ms| u64::try_from(ms).ok()).ok_or(NEGATIVE)?;
    Ok((ms > 0).then_some(ms))
}
