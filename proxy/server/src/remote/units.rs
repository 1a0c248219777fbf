//! Units as requests of a connection to another node, and its replies as their answers.

use proxy_commands::{Flags, Id, Row};
use proxy_resp::{Args, Reply, split_reply};
use proxy_script::Sha;

use crate::peers::{Part, Unit, Work};
use crate::script::ScriptCache;
use crate::{dispatch, script};

/// Units as requests.
impl Unit {
    /// Whether room in the log is needed.
    pub(crate) fn writes(&self) -> bool {
        match &self.work {
            Work::Command { row, .. } if dispatch::is_script(row) => script::may_write(row),
            Work::Command { row, .. } | Work::Blocking { row, .. } => row.flags.has(Flags::WRITE),
            Work::Transaction { write, .. } => *write,
            _ => false,
        }
    }

    /// Whether a script or function runs in it.
    pub(super) fn runs_code(&self) -> bool {
        match &self.work {
            Work::Command { row, .. } => script::runs_code(row.id),
            Work::Transaction { chunks, .. } => {
                chunks.iter().flatten().any(|part| script::runs_code(part.row.id))
            }
            _ => false,
        }
    }

    /// Whether it may be sent again although it may have been executed.
    pub(super) fn only_reads(&self) -> bool {
        match &self.work {
            Work::Command { row, .. } => row.flags.has(Flags::READONLY),
            Work::Transaction { chunks, .. } => {
                chunks.iter().flatten().all(|part| part.row.flags.has(Flags::READONLY))
            }
            Work::Watch { .. } | Work::Unwatch { .. } => true,
            _ => false,
        }
    }

    /// The answer of a transaction whose watch has failed; `None` for any other unit.
    pub(super) fn abort_of_watch(&self) -> Option<Vec<u8>> {
        let Work::Transaction { watch: Some(_), .. } = &self.work else { return None };
        let mut reply = Reply::new(self.proto);
        reply.null_array();
        Some(reply.take())
    }

    /// Appends the requests; `db` is the connection's database before and after. Returns the number of replies that come
    /// before its own.
    pub(super) fn encode(&self, scripts: &ScriptCache, db: &mut u8, out: &mut Vec<u8>) -> usize {
        let mut before = 0;
        let mut select = |wanted: u8, out: &mut Vec<u8>| {
            if *db == wanted {
                return 0;
            }
            *db = wanted;
            request(out, [&b"SELECT"[..], wanted.to_string().as_bytes()].into_iter());
            1
        };
        match &self.work {
            Work::Command { row, args, db } | Work::Blocking { row, args, db, .. } => {
                before += select(*db, out);
                command(scripts, row, args.as_args(), out);
            }
            Work::Watch { db, keys, .. } => {
                before += select(*db, out);
                request(out, std::iter::once(&b"WATCH"[..]).chain(keys.iter().map(Vec::as_slice)));
            }
            Work::Unwatch { .. } => request(out, std::iter::once(&b"UNWATCH"[..])),
            Work::Transaction { chunks, .. } => {
                if let Some(first) = chunks.iter().flatten().next() {
                    before += select(first.db, out);
                }
                request(out, std::iter::once(&b"MULTI"[..]));
                before += 1;
                for (selects, part) in steps(chunks) {
                    if selects {
                        before += select(part.db, out);
                    }
                    command(scripts, part.row, part.args.as_args(), out);
                    before += 1;
                }
                request(out, std::iter::once(&b"EXEC"[..]));
                if steps(chunks).any(|(selects, _)| selects) {
                    // Whether it was changed is known only when it has run.
                    *db = u8::MAX;
                }
            }
            Work::Unblock { .. } | Work::Forget => {}
        }
        before
    }

    /// A node's reply to the unit as the parts of the unit's answer: what the session answers itself stands between them.
    pub(super) fn parts(&self, reply: Vec<u8>) -> Vec<Vec<u8>> {
        let Work::Transaction { chunks, .. } = &self.work else { return vec![reply] };
        let header = reply.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut parts = Vec::with_capacity(chunks.len());
        if reply.first() != Some(&b'*') || reply.starts_with(b"*-1") {
            // Refused as a whole: the first part says so.
            parts.push(reply);
            parts.resize(chunks.len(), Vec::new());
            return parts;
        }
        let mut rest = reply.get(header..).unwrap_or_default();
        let mut next = || {
            let (one, more) = split_reply(rest).unwrap_or((&b"$-1\r\n"[..], &[]));
            rest = more;
            one
        };
        let mut steps = steps(chunks);
        for chunk in chunks {
            let mut part = Reply::new(self.proto);
            if parts.is_empty() {
                part.array(chunks.iter().map(Vec::len).sum::<usize>() + chunks.len() - 1);
            }
            for _ in chunk {
                if steps.next().is_some_and(|(selects, _)| selects) {
                    next();
                }
                part.raw(next());
            }
            parts.push(part.take());
        }
        parts
    }
}

/// The commands of a transaction, each with whether its database has to be selected before it, within the transaction.
fn steps(chunks: &[Vec<Part>]) -> impl Iterator<Item = (bool, &Part)> {
    let parts = || chunks.iter().flatten();
    let before = parts().next().map(|first| first.db).into_iter().chain(parts().map(|part| part.db));
    before.zip(parts()).map(|(before, part)| (before != part.db, part))
}

/// Appends a client's command. A script that is known here is sent whole: what a client has shown to this node, others
/// need not know.
fn command(scripts: &ScriptCache, row: &Row, args: Args<'_>, out: &mut Vec<u8>) {
    let whole: Option<&[u8]> = match row.id {
        Id::EvalSha => Some(b"EVAL"),
        Id::EvalShaRo => Some(b"EVAL_RO"),
        _ => None,
    };
    let known = whole.and_then(|name| Some((name, scripts.get(Sha::parse(args.at(1))?)?)));
    match known {
        Some((name, code)) => request(out, [name, &code].into_iter().chain(args.iter().skip(2))),
        None => request(out, args.iter()),
    }
}

/// Appends one request.
fn request<'a>(out: &mut Vec<u8>, args: impl Iterator<Item = &'a [u8]>) {
    proxy_resp::frame::encode_request(&args.collect::<Vec<_>>(), out);
}
