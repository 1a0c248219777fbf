//! MAXLEN and MINID: reading them from a request, and deciding how many entries go. `~` stops at the borders of
//! nodes, so that how many go depends on how the stream is packed; the log therefore carries the count.

use proxy_store::{Stream, StreamId};

use super::ids;
use crate::call::Call;
use crate::errors::Fail;

/// What is to be kept.
#[derive(Clone, Copy, Debug)]
enum Keep {
    MaxLen(u64),
    MinId(StreamId),
}

/// The trimming options of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trim {
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<u64>,
}

impl Trim {
    /// Reads the option at argument `at`, if it is one; gives where the next one is.
    pub(super) fn option(&mut self, call: &Call<'_>, at: usize) -> Result<Option<usize>, Fail> {
        const BOTH: Fail =
            Fail::text("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        const MAXLEN: Fail = Fail::text("ERR The MAXLEN argument must be >= 0.");
        const LIMIT: Fail = Fail::text("ERR The LIMIT argument must be >= 0.");
        let more = call.args.len() - 1 - at;
        let (max_len, min_id) = (call.is(at, "MAXLEN"), call.is(at, "MINID"));
        if more > 0 && (max_len || min_id) {
            if self.keep.is_some() {
                return Err(BOTH);
            }
            let operator = if more > 1 { call.args.at(at + 1) } else { b"" };
            self.approximate = operator == b"~";
            let at = at + 1 + usize::from(matches!(operator, b"~" | b"="));
            self.keep = Some(if max_len {
                Keep::MaxLen(u64::try_from(call.int(at)?).map_err(|_| MAXLEN)?)
            } else {
                Keep::MinId(ids::id(call.args.at(at))?)
            });
            return Ok(Some(at + 1));
        }
        if more > 0 && call.is(at, "LIMIT") {
            self.limit = Some(u64::try_from(call.int(at + 1)?).map_err(|_| LIMIT)?);
            return Ok(Some(at + 2));
        }
        Ok(None)
    }

    /// Checks what was read once all of it is.
    pub(super) fn finish(&mut self, call: &Call<'_>, must_trim: bool) -> Result<(), Fail> {
        const NO_STRATEGY: Fail =
            Fail::text("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
        const NOTHING: Fail = Fail::text("ERR syntax error, XTRIM must be called with a trimming strategy");
        const EXACT: Fail = Fail::text("ERR syntax error, LIMIT cannot be used without the special ~ option");
        if self.keep.is_none() {
            if self.limit.is_some_and(|limit| limit > 0) {
                return Err(NO_STRATEGY);
            }
            if must_trim {
                return Err(NOTHING);
            }
        }
        if self.limit.is_some() && !self.approximate {
            return Err(EXACT);
        }
        if self.approximate && self.limit.is_none() {
            // A hundred nodes.
            self.limit = Some(match call.ks.limits().stream_node_max_entries as u64 {
                0 => 10_000,
                entries => (entries * 100).min(1_000_000),
            });
        }
        Ok(())
    }

    /// How many entries from the front go. `added`: an entry that comes first, with the bytes of its fields.
    pub(super) fn count(
        &self,
        call: &Call<'_>,
        stream: Option<&Stream>,
        added: Option<(StreamId, usize)>,
    ) -> u64 {
        let Some(keep) = self.keep else { return 0 };
        let nodes = stream.map_or(0, |stream| stream.nodes().len());
        let joins = match (stream, added) {
            (Some(stream), Some((_, bytes))) => stream.last_node_takes(bytes, call.ks.limits()),
            _ => false,
        };
        let mut left = stream.map_or(0, Stream::len) + u64::from(added.is_some());
        let mut gone = 0;
        for at in 0..nodes + usize::from(added.is_some() && !joins) {
            let node = stream.and_then(|stream| stream.node(at));
            let new = added.filter(|_| at + 1 == nodes && joins || at == nodes);
            let live = node.as_ref().map_or(0, |node| node.live()) + u64::from(new.is_some());
            let limited = self.limit.is_some_and(|limit| limit > 0 && gone + live > limit);
            if limited || matches!(keep, Keep::MaxLen(most) if left <= most) {
                break;
            }
            let last_id = || match (new, &node) {
                (Some((id, _)), _) => id,
                (None, Some(node)) => node.last_id(),
                (None, None) => StreamId::MIN,
            };
            let whole = match keep {
                Keep::MaxLen(most) => left - live >= most,
                Keep::MinId(id) => last_id() < id,
            };
            if whole {
                left -= live;
                gone += live;
                continue;
            }
            if !self.approximate {
                gone += match keep {
                    Keep::MaxLen(most) => left - most,
                    Keep::MinId(min) => {
                        let old = node.map_or(0, |node| node.live_ids().filter(|id| *id < min).count());
                        old as u64 + u64::from(new.is_some_and(|(id, _)| id < min))
                    }
                };
            }
            break;
        }
        gone
    }
}
