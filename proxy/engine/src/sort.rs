//! SORT and SORT_RO: the elements of a list, set or sorted set in the order of numbers or texts, their own or
//! those of other keys that a pattern names.

use std::borrow::Cow;
use std::cmp::Ordering;

use proxy_resp::Args;
use proxy_store::types::End;
use proxy_store::{Elem, Key, Value};

use crate::call::Call;
use crate::errors::Fail;
use crate::parse::parse_double;

const NOT_NUMBERS: Fail = Fail::text("ERR One or more scores can't be converted into double");

/// What was asked for; positions are of arguments.
struct Options {
    /// A pattern with a star in it.
    by: Option<usize>,
    /// BY a pattern without a star: the elements stay as they are.
    keep_order: bool,
    gets: Vec<usize>,
    limit: (i64, i64),
    descending: bool,
    alpha: bool,
    store: Option<usize>,
}

impl Options {
    fn parse(call: &Call<'_>, read_only: bool) -> Result<Self, Fail> {
        let mut options = Options {
            by: None,
            keep_order: false,
            gets: Vec::new(),
            limit: (0, -1),
            descending: false,
            alpha: false,
            store: None,
        };
        let mut at = 2;
        while at < call.args.len() {
            let rest = call.args.len() - at - 1;
            if call.is(at, "ASC") {
                options.descending = false;
            } else if call.is(at, "DESC") {
                options.descending = true;
            } else if call.is(at, "ALPHA") {
                options.alpha = true;
            } else if call.is(at, "LIMIT") && rest >= 2 {
                options.limit = (call.int(at + 1)?, call.int(at + 2)?);
                at += 2;
            } else if call.is(at, "STORE") && rest >= 1 && !read_only {
                options.store = Some(at + 1);
                at += 1;
            } else if call.is(at, "BY") && rest >= 1 {
                options.by = Some(at + 1);
                // Once a pattern without a star was there, a later one with a star doesn't help.
                options.keep_order |= !text(call.args.at(at + 1)).contains(&b'*');
                at += 1;
            } else if call.is(at, "GET") && rest >= 1 {
                options.gets.push(at + 1);
                at += 1;
            } else {
                return Err(Fail::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The part of `len` elements that LIMIT asks for.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let (start, count) = self.limit;
        let start = usize::try_from(start.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(len - start);
        start..start + count
    }
}

/// An element and what it is sorted by.
struct Item<'a> {
    elem: Elem<'a>,
    weight: Weight<'a>,
}

enum Weight<'a> {
    Number(f64),
    /// `None` where BY leads nowhere.
    Text(Option<Cow<'a, [u8]>>),
}

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]
pub(crate) fn sort(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, false)
}

/// SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]
pub(crate) fn sort_ro(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, true)
}

fn run(call: &mut Call<'_>, read_only: bool) -> Result<(), Fail> {
    let mut options = Options::parse(call, read_only)?;
    let mut is_set = false;
    let mut elems: Vec<Elem<'_>> = match call.find(call.key(1)).map(|entry| entry.value()) {
        None => Vec::new(),
        Some(Value::List(list)) if options.keep_order && options.descending => list.iter_rev().collect(),
        Some(Value::List(list)) => list.iter().collect(),
        Some(Value::Set(set)) => {
            is_set = true;
            set.iter().collect()
        }
        Some(Value::ZSet(zset)) if options.keep_order && options.descending => {
            zset.rev_range(0, zset.len()).map(|(member, _)| member).collect()
        }
        Some(Value::ZSet(zset)) => zset.iter().map(|(member, _)| member).collect(),
        Some(_) => return Err(Fail::WRONG_TYPE),
    };
    // A set has no order of its own that could be stored.
    if is_set && options.keep_order && options.store.is_some() {
        options.keep_order = false;
        options.alpha = true;
        options.by = None;
    }
    let range = options.range(elems.len());
    if !options.keep_order {
        elems = sorted(call, elems, &options)?;
    }
    let chosen = elems.get(range).unwrap_or_default();
    match options.store {
        Some(at) => store(call, chosen, &options, at),
        None => answer(call, chosen, &options),
    }
    Ok(())
}

fn sorted<'a>(call: &mut Call<'a>, elems: Vec<Elem<'a>>, options: &Options) -> Result<Vec<Elem<'a>>, Fail> {
    let mut items = Vec::with_capacity(elems.len());
    for elem in elems {
        let by = match options.by {
            Some(at) => named(call, call.args.at(at), elem).map(|value| value.to_cow()),
            None => Some(elem.to_cow()),
        };
        let weight = match by {
            by if options.alpha => Weight::Text(by),
            // What leads nowhere counts as zero.
            None => Weight::Number(0.0),
            Some(by) => Weight::Number(number(&by).ok_or(NOT_NUMBERS)?),
        };
        items.push(Item { elem, weight });
    }
    let stores = options.store.is_some();
    items.sort_by(|a, b| {
        let order = compare(a, b, stores);
        if options.descending { order.reverse() } else { order }
    });
    Ok(items.into_iter().map(|item| item.elem).collect())
}

fn compare(a: &Item<'_>, b: &Item<'_>, stores: bool) -> Ordering {
    match (&a.weight, &b.weight) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.elem.to_cow().cmp(&b.elem.to_cow()))
        }
        (Weight::Text(Some(x)), Weight::Text(Some(y))) if !stores => text(x).cmp(text(y)),
        (Weight::Text(x), Weight::Text(y)) => x.cmp(y),
        (Weight::Number(_), Weight::Text(_)) => Ordering::Less,
        (Weight::Text(_), Weight::Number(_)) => Ordering::Greater,
    }
}

/// Bytes as C sees them: up to the first NUL. Patterns are searched so, and texts compared.
fn text(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// A number as C's `strtod` reads it: white space before it is passed over, and nothing at all is zero.
fn number(bytes: &[u8]) -> Option<f64> {
    let text = text(bytes);
    if text.is_empty() {
        return Some(0.0);
    }
    let spaces = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    parse_double(&text[spaces..])
}

/// For each BY and GET pattern of a SORT that leads to keys: a text in whose slot all those keys are, or `None`
/// where they may be in any slot because no hash tag stands before the star.
pub fn sort_patterns(args: Args<'_>) -> Vec<Option<&[u8]>> {
    let (mut patterns, mut at) = (Vec::new(), 2);
    while at + 1 < args.len() {
        let is = |word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
        if is("BY") || is("GET") {
            let pattern = args.at(at + 1);
            if let Some(star) = text(pattern).iter().position(|byte| *byte == b'*') {
                let before = &pattern[..star];
                let open = before.iter().position(|byte| *byte == b'{');
                let tagged =
                    open.is_some_and(|open| before[open + 1..].iter().position(|b| *b == b'}') > Some(0));
                patterns.push(tagged.then_some(before));
            }
            at += 1;
        } else if is("LIMIT") {
            at += 2;
        } else if is("STORE") {
            at += 1;
        }
        at += 1;
    }
    patterns
}

/// What `pattern` leads to for `elem`: the element itself for `#`, else the string at the key in which the
/// element stands for the star, or with `->field` a field of the hash there.
fn named<'a>(call: &mut Call<'a>, pattern: &'a [u8], elem: Elem<'a>) -> Option<Elem<'a>> {
    if pattern == b"#" {
        return Some(elem);
    }
    let star = text(pattern).iter().position(|byte| *byte == b'*')?;
    let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = text(behind).windows(2).position(|two| two == b"->").filter(|at| behind.len() > at + 2);
    let (behind, field) = match arrow {
        Some(at) if behind.get(at + 2) != Some(&0) => (&behind[..at], Some(&behind[at + 2..])),
        _ => (behind, None),
    };
    let name = [before, &elem.to_cow(), behind].concat();
    let value = find_made(call, &name)?;
    match (value, field) {
        (Value::Str(value), None) => Some(value),
        (Value::Hash(hash), Some(field)) => hash.get(field),
        _ => None,
    }
}

/// The value at a key whose name was made here. A key whose time has passed is missing; its deletion is left
/// to whoever names it.
fn find_made<'a>(call: &mut Call<'a>, name: &[u8]) -> Option<Value<'a>> {
    let found = call.ks.find(Key::new(call.db, name));
    match found {
        proxy_store::Lookup::Entry(entry) => {
            call.raise_gate(entry.position());
            (!call.is_expired(&entry)).then(|| entry.value())
        }
        proxy_store::Lookup::Missing { gate } => {
            call.raise_gate(gate);
            None
        }
    }
}

fn answer<'a>(call: &mut Call<'a>, chosen: &[Elem<'a>], options: &Options) {
    call.out.array(chosen.len() * options.gets.len().max(1));
    for elem in chosen {
        if options.gets.is_empty() {
            call.bulk_elem(*elem);
        }
        for at in &options.gets {
            match named(call, call.args.at(*at), *elem) {
                Some(value) => call.bulk_elem(value),
                None => call.out.null(),
            }
        }
    }
}

fn store<'a>(call: &mut Call<'a>, chosen: &[Elem<'a>], options: &Options, destination: usize) {
    let mut values: Vec<Cow<'_, [u8]>> = Vec::new();
    for elem in chosen {
        if options.gets.is_empty() {
            values.push(elem.to_cow());
        }
        for at in &options.gets {
            values.push(
                named(call, call.args.at(*at), *elem).map_or(Cow::Borrowed(b""), |value| value.to_cow()),
            );
        }
    }
    let key = call.key(destination);
    call.replace(destination);
    let mut fx = call.fx.list_push(key, None, End::Right);
    values.iter().for_each(|value| fx.item(value));
    drop(fx);
    call.out.integer(values.len() as i64);
}

#[cfg(test)]
mod tests {
    use proxy_resp::OwnedArgs;

    use super::sort_patterns;
    use crate::testing::TestDb;

    #[test]
    fn patterns_say_where_their_keys_are() {
        let patterns = |line: &str| {
            let args: OwnedArgs = line.split(' ').collect();
            sort_patterns(args.as_args()).into_iter().map(|tag| tag.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        };
        assert_eq!(patterns("SORT l BY nosort GET # ALPHA STORE GET"), []);
        assert_eq!(patterns("SORT l LIMIT BY w_* GET a*"), [None]);
        assert_eq!(patterns("SORT l BY a{t}*->f GET {}* GET {*}"), [Some(b"a{t}".to_vec()), None, None]);
    }

    #[test]
    fn elements_come_in_the_order_asked_for() {
        let mut db = TestDb::new();
        for line in [
            "RPUSH l 3 1 2",
            "MSET w_1 30 w_2 20 w_3 10",
            "HSET h_1 f a",
            "HSET h_2 f c",
            "SADD s b a",
            "SET d x EX 100",
        ] {
            db.line(line);
        }
        for (line, expected) in [
            ("SORT l", "*3 $1 1 $1 2 $1 3"),
            ("SORT l DESC LIMIT 1 5", "*2 $1 2 $1 1"),
            ("SORT l BY w_*", "*3 $1 3 $1 2 $1 1"),
            ("SORT l BY h_*->f ALPHA GET # GET h_*->f", "*6 $1 3 $-1 $1 1 $1 a $1 2 $1 c"),
            ("SORT l BY x DESC", "*3 $1 2 $1 1 $1 3"),
            ("SORT s", "-ERR One or more scores can't be converted into double"),
            ("SORT s BY x STORE d", ":2"),
            ("LRANGE d 0 -1", "*2 $1 a $1 b"),
            ("TTL d", ":-1"),
            ("SORT_RO l STORE d", "-ERR syntax error"),
            ("SORT none STORE d", ":0"),
            ("EXISTS d", ":0"),
            ("SORT w_1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ] {
            assert_eq!(db.line(line), expected, "{line}");
        }
        db.check();
    }
}
