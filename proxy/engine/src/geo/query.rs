//! GEOSEARCH, GEORADIUS and their sisters: one reading of their options, one answer.

use std::cmp::Ordering;

use proxy_store::ZSet;

use super::hash::{self, Point};
use super::search::{Found, Shape, search};
use super::{coordinates, distance, place, unit};
use crate::call::Call;
use crate::errors::Fail;

const MEMBER: Fail = Fail::text("ERR could not decode requested zset member");
const COUNT: Fail = Fail::text("ERR COUNT must be > 0");
const ANY: Fail = Fail::text("ERR the ANY argument requires COUNT argument");

/// Which command it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Centre and radius are at fixed places: around coordinates, or around a member.
    Radius {
        member: bool,
        read_only: bool,
    },
    Search {
        stores: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Near,
    Far,
}

#[derive(Default)]
struct Query {
    centre: Option<Point>,
    /// A centre was named, be it that of a member of a missing set.
    has_centre: bool,
    by_member: bool,
    shape: Option<Shape>,
    /// Metres of the unit that distances are given in.
    unit: f64,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    order: Option<Order>,
    count: Option<usize>,
    any: bool,
    /// Argument that names where to store, and whether distances are the scores.
    store: Option<usize>,
    store_distance: bool,
}

/// GEORADIUS key longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
/// [ASC|DESC] [STORE key|STOREDIST key]
pub(crate) fn georadius(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Radius { member: false, read_only: false })
}

/// GEORADIUS_RO, without STORE
pub(crate) fn georadius_ro(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Radius { member: false, read_only: true })
}

/// GEORADIUSBYMEMBER key member radius unit ...
pub(crate) fn georadiusbymember(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Radius { member: true, read_only: false })
}

/// GEORADIUSBYMEMBER_RO, without STORE
pub(crate) fn georadiusbymember_ro(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Radius { member: true, read_only: true })
}

/// GEOSEARCH key FROMMEMBER member|FROMLONLAT longitude latitude BYRADIUS radius unit|BYBOX width height
/// unit [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]
pub(crate) fn geosearch(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Search { stores: false })
}

/// GEOSEARCHSTORE destination source ... [STOREDIST]
pub(crate) fn geosearchstore(call: &mut Call<'_>) -> Result<(), Fail> {
    run(call, Form::Search { stores: true })
}

fn radius(call: &Call<'_>, index: usize) -> Result<(Shape, f64), Fail> {
    let radius = call.float(index).map_err(|_| Fail::text("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(Fail::text("ERR radius cannot be negative"));
    }
    let unit = unit(call, index + 1)?;
    Ok((Shape::Circle { radius: radius * unit }, unit))
}

fn sides(call: &Call<'_>, index: usize) -> Result<(Shape, f64), Fail> {
    let width = call.float(index).map_err(|_| Fail::text("ERR need numeric width"))?;
    let height = call.float(index + 1).map_err(|_| Fail::text("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(Fail::text("ERR height or width cannot be negative"));
    }
    let unit = unit(call, index + 2)?;
    Ok((Shape::Box { width: width * unit, height: height * unit }, unit))
}

impl Query {
    fn parse(call: &Call<'_>, form: Form, zset: Option<&ZSet>) -> Result<Self, Fail> {
        let mut query = Query { unit: 1.0, ..Query::default() };
        let first = match form {
            Form::Radius { member: false, .. } => {
                query.at(Some(place(call, 2)?));
                query.within(radius(call, 4)?);
                6
            }
            Form::Radius { member: true, .. } => {
                // Without a set the radius isn't even looked at, as in Redis.
                if let Some(zset) = zset {
                    query.at(Some(member(call, zset, 2)?));
                    query.within(radius(call, 3)?);
                }
                5
            }
            Form::Search { stores: false } => 2,
            Form::Search { stores: true } => {
                query.store = Some(1);
                3
            }
        };
        query.options(call, form, first, zset)?;
        query.check(call, form)?;
        Ok(query)
    }

    fn at(&mut self, centre: Option<Point>) {
        self.centre = centre;
        self.has_centre = true;
    }

    fn within(&mut self, (shape, unit): (Shape, f64)) {
        self.shape = Some(shape);
        self.unit = unit;
    }

    fn options(
        &mut self,
        call: &Call<'_>,
        form: Form,
        mut at: usize,
        zset: Option<&ZSet>,
    ) -> Result<(), Fail> {
        let searches = matches!(form, Form::Search { .. });
        while at < call.args.len() {
            let rest = call.args.len() - at - 1;
            let is = |word: &str| call.is(at, word);
            at += match () {
                () if is("WITHDIST") => flag(&mut self.with_distance),
                () if is("WITHHASH") => flag(&mut self.with_hash),
                () if is("WITHCOORD") => flag(&mut self.with_place),
                () if is("ANY") => flag(&mut self.any),
                () if is("ASC") => {
                    self.order = Some(Order::Near);
                    1
                }
                () if is("DESC") => {
                    self.order = Some(Order::Far);
                    1
                }
                () if is("COUNT") && rest >= 1 => {
                    let count = usize::try_from(call.int(at + 1)?).ok().filter(|count| *count > 0);
                    self.count = Some(count.ok_or(COUNT)?);
                    2
                }
                () if matches!(form, Form::Radius { read_only: false, .. })
                    && rest >= 1
                    && (is("STORE") || is("STOREDIST")) =>
                {
                    self.store = Some(at + 1);
                    self.store_distance = is("STOREDIST");
                    2
                }
                () if searches && rest >= 1 && is("FROMMEMBER") && (self.by_member || !self.has_centre) => {
                    let centre = zset.map(|zset| member(call, zset, at + 1)).transpose()?;
                    self.at(centre);
                    self.by_member = true;
                    2
                }
                () if searches && rest >= 2 && is("FROMLONLAT") && !self.by_member => {
                    self.at(Some(place(call, at + 1)?));
                    3
                }
                () if searches
                    && rest >= 2
                    && is("BYRADIUS")
                    && !matches!(self.shape, Some(Shape::Box { .. })) =>
                {
                    self.within(radius(call, at + 1)?);
                    3
                }
                () if searches
                    && rest >= 3
                    && is("BYBOX")
                    && !matches!(self.shape, Some(Shape::Circle { .. })) =>
                {
                    self.within(sides(call, at + 1)?);
                    4
                }
                () if form == (Form::Search { stores: true }) && is("STOREDIST") => {
                    flag(&mut self.store_distance)
                }
                () => return Err(Fail::SYNTAX),
            };
        }
        Ok(())
    }

    /// What must not stand together, and what must be there.
    fn check(&self, call: &Call<'_>, form: Form) -> Result<(), Fail> {
        let searches = matches!(form, Form::Search { .. });
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let name = if searches { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Fail::owned(format!(
                "ERR {name} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let missing = match () {
            () if searches && !self.has_centre => Some("FROMMEMBER or FROMLONLAT"),
            () if searches && self.shape.is_none() => Some("BYRADIUS and BYBOX"),
            () => None,
        };
        if let Some(what) = missing {
            let mut text = format!("ERR exactly one of {what} can be specified for ").into_bytes();
            text.extend_from_slice(Fail::quotable(call.args.at(0), usize::MAX));
            return Err(Fail::owned(text));
        }
        if self.any && self.count.is_none() { Err(ANY) } else { Ok(()) }
    }

    /// Puts what was found into its order and cuts it to its count.
    fn arrange(&self, found: &mut Vec<Found<'_>>) {
        let nearest_first =
            |a: &Found<'_>, b: &Found<'_>| a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal);
        match self.order {
            Some(Order::Far) => found.sort_by(|a, b| nearest_first(b, a)),
            Some(Order::Near) => found.sort_by(nearest_first),
            // The nearest are meant, unless any will do.
            None if self.count.is_some() && !self.any => found.sort_by(nearest_first),
            None => {}
        }
        found.truncate(self.count.unwrap_or(usize::MAX));
    }
}

/// Sets a flag; one argument is used up.
fn flag(flag: &mut bool) -> usize {
    *flag = true;
    1
}

/// Where the member at argument `index` lies.
fn member(call: &Call<'_>, zset: &ZSet, index: usize) -> Result<Point, Fail> {
    zset.score(call.args.at(index)).map(hash::point).ok_or(MEMBER)
}

fn run(call: &mut Call<'_>, form: Form) -> Result<(), Fail> {
    let source = if form == (Form::Search { stores: true }) { 2 } else { 1 };
    let zset = call.find_zset(call.key(source))?.map(|(zset, _)| zset);
    let query = Query::parse(call, form, zset)?;
    let mut found = match (zset, query.centre, query.shape) {
        (Some(zset), Some(centre), Some(shape)) => {
            search(zset, centre, shape, query.count.filter(|_| query.any))
        }
        _ => Vec::new(),
    };
    query.arrange(&mut found);
    match query.store {
        Some(at) => store(call, found, &query, at),
        None => answer(call, &found, &query),
    }
    Ok(())
}

fn answer(call: &mut Call<'_>, found: &[Found<'_>], query: &Query) {
    let extras = [query.with_distance, query.with_hash, query.with_place];
    let extras = extras.into_iter().filter(|there| *there).count();
    call.out.array(found.len());
    for one in found {
        if extras > 0 {
            call.out.array(extras + 1);
        }
        call.bulk_elem(one.member);
        if query.with_distance {
            distance(call, one.distance, query.unit);
        }
        if query.with_hash {
            call.out.integer(one.score as i64);
        }
        if query.with_place {
            coordinates(call, one.point);
        }
    }
}

fn store(call: &mut Call<'_>, found: Vec<Found<'_>>, query: &Query, destination: usize) {
    let key = call.key(destination);
    let score = |one: &Found<'_>| {
        let score = if query.store_distance { one.distance / query.unit } else { one.score };
        if score.is_nan() { 0.0 } else { score }
    };
    // Ascending, as sorted sets are written fastest.
    let mut scored: Vec<_> = found.into_iter().map(|one| (score(&one), one.member)).collect();
    scored.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1)));
    call.replace(destination);
    let mut fx = call.fx.zset_add(key, None);
    scored.iter().for_each(|(score, member)| fx.item(&member.to_cow(), *score));
    let count = fx.count();
    drop(fx);
    call.out.integer(count as i64);
}
