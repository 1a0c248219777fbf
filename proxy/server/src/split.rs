//! Commands over several shards: cut into parts by key, run where the keys are, joined again.

use std::rc::Rc;

use logsvc_api::ShardId;
use proxy_commands::{Merge, Row};
use proxy_resp::{Args, OwnedArgs, Reply};
use proxy_shard::Unserved;

use crate::conn::{Batch, Conn, Merging};
use crate::dispatch::{self, CROSSSLOT, Flow};
use crate::merge::{Join, SCAN_SLOT_BITS};
use crate::peers::{Address, Unit, Work};
use crate::remote;
use crate::script;
use crate::session::Session;
use crate::worker::Worker;

/// One shard's part of a command.
struct Piece {
    shard: ShardId,
    args: OwnedArgs,
}

/// A command whose keys may live in any shards.
pub(crate) fn keys(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    merge: Merge,
    batch: &mut Batch,
) -> Flow {
    if let dispatch::Place::Shard(shard, spot) = dispatch::place(worker, row, args, None) {
        return dispatch::on_shard(worker, conn, session, (row, args), (shard, spot), batch);
    }
    let keys = (row.first_key.max(1) as usize, row.step.max(1) as usize);
    keys_from(worker, conn, session, (row, args), keys, merge, batch)
}

/// As [`keys`], of keys from `first` on, `step` apart.
pub(crate) fn keys_from(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    (first, step): (usize, usize),
    merge: Merge,
    batch: &mut Batch,
) -> Flow {
    if !(args.len() - first.min(args.len())).is_multiple_of(step) {
        // The command itself says what is wrong.
        return dispatch::on_shard(worker, conn, session, (row, args), (any(worker), None), batch);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut order: Vec<u32> = Vec::new();
    for at in (first..args.len()).step_by(step) {
        let shard = worker.shared.shard_of_key(args.at(at));
        let piece = pieces.iter().position(|piece| piece.shard == shard).unwrap_or_else(|| {
            let mut head = OwnedArgs::default();
            args.iter().take(first).for_each(|arg| head.push(arg));
            pieces.push(Piece { shard, args: head });
            pieces.len() - 1
        });
        for i in at..at + step {
            pieces[piece].args.push(args.at(i));
        }
        order.push(piece as u32);
    }
    let join = match merge {
        Merge::Sum => Join::Sum,
        Merge::AllOk => Join::AllOk,
        Merge::Ordered => Join::Ordered(order),
        _ => Join::Concat,
    };
    spread(worker, conn, session, row, pieces, join, batch)
}

/// A command about the whole database.
pub(crate) fn all(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    merge: Merge,
    batch: &mut Batch,
) -> Flow {
    let join = match merge {
        Merge::Scan => return scan(worker, conn, session, row, args, batch),
        Merge::Sum => Join::Sum,
        Merge::AllOk => Join::AllOk,
        Merge::Random => {
            let keys = |status: &proxy_shard::ShardStatus| {
                let db = &status.keys[usize::from(session.db) % status.keys.len()];
                db.load(std::sync::atomic::Ordering::Relaxed)
            };
            Join::Random(worker.shared.status.iter().map(|status| keys(status)).collect())
        }
        Merge::Digest => Join::Digest,
        Merge::Ordered | Merge::Concat => Join::Concat,
    };
    let pieces = (0..worker.shared.shards).map(|shard| Piece { shard, args: args.to_owned() }).collect();
    spread(worker, conn, session, row, pieces, join, batch)
}

/// Shards one after the other: the slot in the cursor says which.
fn scan(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    let cursor = std::str::from_utf8(args.at(1)).ok().and_then(|text| text.parse::<u64>().ok());
    let slot = cursor.map_or(0, |cursor| (cursor >> SCAN_SLOT_BITS).min(16383)) as u16;
    let shard = worker.shared.shard_of(slot);
    let next = (shard + 1 < worker.shared.shards)
        .then(|| u64::from(worker.shared.first_slot(shard + 1)) << SCAN_SLOT_BITS);
    let piece = Piece { shard, args: args.to_owned() };
    spread(worker, conn, session, row, vec![piece], Join::Scan(next), batch)
}

/// Runs the pieces that live here, sends the others, and joins the replies when all are there.
fn spread(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    pieces: Vec<Piece>,
    join: Join,
    batch: &mut Batch,
) -> Flow {
    // Nothing runs before everything that lives here may run.
    let mut away = conn.via_lane.get();
    for piece in &pieces {
        let Some(local) = worker.local(piece.shard) else { continue };
        match dispatch::admit(worker, &mut local.shard.borrow_mut(), row) {
            Ok(()) => {}
            Err(Unserved::Full) => return Flow::Park(piece.shard),
            Err(Unserved::Loading) => away = true,
        }
    }
    if away && let Some(flow) = remote::turned_away(worker, conn, batch) {
        return flow;
    }
    let here = |shard| worker.local(shard).filter(|_| !away);
    let proto = batch.reply.proto();
    let mut parts: Vec<Option<Vec<u8>>> = Vec::with_capacity(pieces.len());
    let mut gates = Vec::new();
    for piece in &pieces {
        parts.push(here(piece.shard).map(|local| {
            let mut reply = Reply::new(proto);
            let mut shard = local.shard.borrow_mut();
            shard.set_caller(session.caller());
            let gate = if dispatch::is_script(row) {
                drop(shard);
                let at = (piece.shard, local);
                script::alone(
                    worker,
                    at,
                    (row, piece.args.as_args()),
                    (session.db, &session.actor()),
                    &mut reply,
                )
            } else {
                shard.run(row, piece.args.as_args(), session.db, None, &mut reply).gate
            };
            if gate != 0 {
                gates.push((piece.shard, gate));
            }
            reply.take()
        }));
    }
    worker.kick();
    let start = batch.reply.len();
    if parts.iter().all(Option::is_some) {
        let parts: Vec<Vec<u8>> = parts.into_iter().flatten().collect();
        let bytes = join.join(&parts, proto);
        batch.reply.raw(&bytes);
        for (shard, gate) in gates {
            batch.gate(start, shard, gate);
        }
        return Flow::Next;
    }
    // The local parts' gates stand in front of the place that is kept for the answer.
    conn.hand_on(worker, batch);
    conn.barrier(worker, &gates);
    let missing: Vec<usize> =
        parts.iter().enumerate().filter(|(_, part)| part.is_none()).map(|(i, _)| i).collect();
    let ticket = conn.expect(worker, batch, Merging { ticket: 0, parts, merge: join, proto });
    let (client, caller) = (conn.info.id, session.caller());
    for (part, piece) in pieces.into_iter().enumerate().filter(|(part, _)| missing.contains(part)) {
        let to = Address { token: conn.token(), client, ticket, part: part as u32 };
        let work = Work::Command { row, args: piece.args, db: session.db };
        conn.asks(worker, &work);
        worker.send_unit(Unit {
            shard: piece.shard,
            proto,
            reply_to: Some(to),
            client,
            caller,
            user: None,
            still: session.is_still(),
            work,
        });
    }
    Flow::Next
}

/// A shard that lives here, if any does.
pub(crate) fn any(worker: &Worker) -> ShardId {
    worker.locals().next().map_or(0, |(id, _)| id)
}

/// The text for what can't be spread.
pub(crate) fn refuse(session: &mut Session, reply: &mut Reply) -> Flow {
    session.reject();
    reply.error(CROSSSLOT);
    Flow::Next
}
