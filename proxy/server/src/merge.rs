//! Joining the replies of several shards into one. The parts are replies that we wrote ourselves.

use proxy_resp::{Protocol, Reply};
use rand::Rng;

use crate::transaction::Rest;

/// Bits of a SCAN cursor below the slot.
pub(crate) const SCAN_SLOT_BITS: u32 = 39;

/// How parts become a reply.
pub(crate) enum Join {
    /// There is one part.
    First,
    /// Integers are added.
    Sum,
    /// Arrays are joined.
    Concat,
    /// The first part, all being the same when all went well.
    AllOk,
    /// Elements of arrays in the order given by part numbers.
    Ordered(Vec<u32>),
    /// When the shard's cursor is at its end, the scan goes on at this one.
    Scan(Option<u64>),
    /// One of those that aren't null, by the shards' numbers of keys.
    Random(Vec<u64>),
    /// The connection puts its own replies between the parts, see [`crate::transaction::finish`].
    Unit(Rest),
    /// Hexadecimal digests are combined by exclusive or.
    Digest,
}

impl Join {
    /// The joined reply. An error in any part is the reply.
    pub(crate) fn join(&self, parts: &[Vec<u8>], proto: Protocol) -> Vec<u8> {
        if let Some(error) = parts.iter().find(|part| part.first() == Some(&b'-')) {
            return error.clone();
        }
        let first = || parts.first().cloned().unwrap_or_default();
        match self {
            Join::First | Join::AllOk | Join::Unit(_) => first(),
            Join::Sum => {
                let mut reply = Reply::new(proto);
                reply.integer(parts.iter().filter_map(|part| line(part)).map(|(n, _)| n).sum());
                reply.take()
            }
            Join::Concat => concat(parts, proto),
            Join::Ordered(order) => ordered(parts, order, proto),
            Join::Scan(next) => scan(&first(), *next, proto),
            Join::Random(weights) => random(parts, weights),
            Join::Digest => digest(parts),
        }
    }
}

/// The number in a header line, and what follows the line.
fn line(part: &[u8]) -> Option<(i64, &[u8])> {
    let end = memchr::memchr(b'\r', part)?;
    Some((proxy_resp::parse_i64(part.get(1..end)?)?, part.get(end + 2..)?))
}

fn concat(parts: &[Vec<u8>], proto: Protocol) -> Vec<u8> {
    let arrays: Vec<(i64, &[u8])> = parts.iter().filter_map(|part| line(part)).collect();
    let mut reply = Reply::new(proto);
    reply.array(arrays.iter().map(|(n, _)| *n).sum::<i64>().max(0) as usize);
    for (_, elements) in &arrays {
        reply.raw(elements);
    }
    reply.take()
}

/// The first element of `rest` (a bulk string or a null) and what follows it.
fn element(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\r', rest)? + 2;
    let length = match rest.first()? {
        b'$' => line(rest)?.0,
        _ => -1,
    };
    let end = if length >= 0 { end + length as usize + 2 } else { end };
    rest.split_at_checked(end)
}

fn ordered(parts: &[Vec<u8>], order: &[u32], proto: Protocol) -> Vec<u8> {
    let mut rests: Vec<&[u8]> =
        parts.iter().map(|part| line(part).map_or(&[][..], |(_, rest)| rest)).collect();
    let mut reply = Reply::new(proto);
    reply.array(order.len());
    for part in order {
        match rests.get_mut(*part as usize).and_then(|rest| {
            let (head, tail) = element(rest)?;
            *rest = tail;
            Some(head)
        }) {
            Some(bytes) => reply.raw(bytes),
            None => reply.null(),
        }
    }
    reply.take()
}

fn scan(part: &[u8], next: Option<u64>, proto: Protocol) -> Vec<u8> {
    let parsed = line(part).and_then(|(_, rest)| element(rest));
    match (parsed, next) {
        (Some((b"$1\r\n0\r\n", elements)), Some(next)) => {
            let mut reply = Reply::new(proto);
            reply.array(2);
            reply.bulk(next.to_string().as_bytes());
            reply.raw(elements);
            reply.take()
        }
        _ => part.to_vec(),
    }
}

fn random(parts: &[Vec<u8>], weights: &[u64]) -> Vec<u8> {
    let found: Vec<(&Vec<u8>, u64)> = parts
        .iter()
        .zip(weights)
        .filter(|(part, _)| part.first() == Some(&b'$') && part.get(1) != Some(&b'-'))
        .map(|(part, weight)| (part, (*weight).max(1)))
        .collect();
    let total: u64 = found.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return parts.first().cloned().unwrap_or_default();
    }
    let mut drawn = rand::rng().random_range(0..total);
    for (part, weight) in &found {
        if drawn < *weight {
            return (*part).clone();
        }
        drawn -= weight;
    }
    parts.first().cloned().unwrap_or_default()
}

fn digest(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = parts.first().cloned().unwrap_or_default();
    // "+" and forty digits; whatever else DEBUG says is the same everywhere.
    if joined.len() != 43 || joined.get(1..41).is_none_or(|hex| !hex.iter().all(u8::is_ascii_hexdigit)) {
        return joined;
    }
    for part in parts.iter().skip(1) {
        for (to, from) in joined.iter_mut().zip(part).skip(1).take(40) {
            let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0);
            let both = digit(*to) ^ digit(*from);
            *to = char::from_digit(both, 16).unwrap_or('0') as u8;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(join: Join, parts: &[&str]) -> String {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        String::from_utf8(join.join(&parts, Protocol::Resp2)).unwrap_or_default()
    }

    #[test]
    fn joins() {
        assert_eq!(join(Join::Sum, &[":2\r\n", ":40\r\n"]), ":42\r\n");
        assert_eq!(join(Join::Sum, &[":2\r\n", "-ERR x\r\n"]), "-ERR x\r\n");
        assert_eq!(join(Join::Concat, &["*1\r\n$1\r\na\r\n", "*0\r\n"]), "*1\r\n$1\r\na\r\n");
        let parts = ["*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n$3\r\nb\r\n\r\n"];
        assert_eq!(join(Join::Ordered(vec![0, 1, 0]), &parts), "*3\r\n$1\r\na\r\n$3\r\nb\r\n\r\n$-1\r\n");
        assert_eq!(join(Join::Scan(Some(77)), &["*2\r\n$1\r\n0\r\n*0\r\n"]), "*2\r\n$2\r\n77\r\n*0\r\n");
        assert_eq!(join(Join::Scan(None), &["*2\r\n$1\r\n0\r\n*0\r\n"]), "*2\r\n$1\r\n0\r\n*0\r\n");
        assert_eq!(join(Join::Random(vec![0, 5]), &["$-1\r\n", "$1\r\nk\r\n"]), "$1\r\nk\r\n");
        let digests = [format!("+{}\r\n", "0f".repeat(20)), format!("+{}\r\n", "ff".repeat(20))];
        assert_eq!(join(Join::Digest, &[&digests[0], &digests[1]]), format!("+{}\r\n", "f0".repeat(20)));
    }
}
