//! The geo commands: places as members of sorted sets, whose scores are geohashes. `hash` has the arithmetic,
//! `search` finds what lies around a point, `query` reads the commands that search.

mod hash;
mod query;
mod search;

pub(crate) use query::{
    georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore,
};

use hash::{LATITUDES, LONGITUDES, Point};
use smallvec::SmallVec;

use crate::call::Call;
use crate::errors::Fail;
use crate::zsets;

const UNIT: Fail = Fail::text("ERR unsupported unit provided. please use M, KM, FT, MI");

/// Metres of the unit at argument `index`.
fn unit(call: &Call<'_>, index: usize) -> Result<f64, Fail> {
    match () {
        () if call.is(index, "M") => Ok(1.0),
        () if call.is(index, "KM") => Ok(1000.0),
        () if call.is(index, "FT") => Ok(0.3048),
        () if call.is(index, "MI") => Ok(1609.34),
        () => Err(UNIT),
    }
}

/// Longitude and latitude at arguments `index` and the one behind it.
fn place(call: &Call<'_>, index: usize) -> Result<Point, Fail> {
    let (x, y) = (call.float(index)?, call.float(index + 1)?);
    if LONGITUDES.contains(x) && LATITUDES.contains(y) {
        Ok(Point { x, y })
    } else {
        Err(Fail::owned(format!("ERR invalid longitude,latitude pair {x:.6},{y:.6}")))
    }
}

/// A distance in its unit, as text with four places.
fn distance(call: &mut Call<'_>, metres: f64, unit: f64) {
    call.out.bulk(format!("{:.4}", metres / unit).as_bytes());
}

/// A pair of coordinates: doubles with 17 places at most.
fn coordinates(call: &mut Call<'_>, point: Point) {
    call.out.array(2);
    for degrees in [point.x, point.y] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        call.out.double_text(if text == "-0" { "0" } else { text });
    }
}

/// GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]
pub(crate) fn geoadd(call: &mut Call<'_>) -> Result<(), Fail> {
    let mut options = zsets::AddOptions::default();
    let mut first = 2;
    while first < call.args.len() {
        match () {
            () if call.is(first, "NX") => options.only_new = true,
            () if call.is(first, "XX") => options.only_known = true,
            () if call.is(first, "CH") => options.changed = true,
            () => break,
        }
        first += 1;
    }
    let places = call.args.len() - first;
    if places == 0 || !places.is_multiple_of(3) || (options.only_new && options.only_known) {
        return Err(Fail::SYNTAX);
    }
    let mut scores = SmallVec::<[f64; 8]>::new();
    for index in (first..call.args.len()).step_by(3) {
        scores.push(hash::score(place(call, index)?));
    }
    zsets::add_scores(call, options, (first, 3), &scores)
}

/// GEODIST key member1 member2 [M|KM|FT|MI]
pub(crate) fn geodist(call: &mut Call<'_>) -> Result<(), Fail> {
    let unit = match call.args.len() {
        4 => 1.0,
        5 => unit(call, 4)?,
        _ => return Err(Fail::SYNTAX),
    };
    let zset = call.find_zset(call.key(1))?.map(|(zset, _)| zset);
    let score = |at: usize| zset.and_then(|zset| zset.score(call.args.at(at)));
    match (score(2), score(3)) {
        (Some(a), Some(b)) => {
            let metres = hash::distance(hash::point(a), hash::point(b));
            distance(call, metres, unit);
        }
        _ => call.out.null(),
    }
    Ok(())
}

/// GEOHASH key [member ...]
pub(crate) fn geohash(call: &mut Call<'_>) -> Result<(), Fail> {
    each(call, |call, score| match score {
        Some(score) => call.out.bulk(&hash::text(hash::point(score))),
        None => call.out.null(),
    })
}

/// GEOPOS key [member ...]
pub(crate) fn geopos(call: &mut Call<'_>) -> Result<(), Fail> {
    each(call, |call, score| match score {
        Some(score) => coordinates(call, hash::point(score)),
        None => call.out.null_array(),
    })
}

/// Answers something for each member from argument 2 on.
fn each(call: &mut Call<'_>, answer: impl Fn(&mut Call<'_>, Option<f64>)) -> Result<(), Fail> {
    let zset = call.find_zset(call.key(1))?.map(|(zset, _)| zset);
    call.out.array(call.args.len() - 2);
    for member in call.args.slice(2..).iter() {
        let score = zset.and_then(|zset| zset.score(member));
        answer(call, score);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestDb;

    #[test]
    fn places_are_found_and_stored() {
        let mut db = TestDb::new();
        db.line("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
        db.line("RPUSH l 1");
        for (line, expected) in [
            ("GEODIST g Palermo Catania km", "$8 166.2742"),
            ("GEOHASH g Palermo none", "*2 $11 sqc8b49rny0 $-1"),
            ("GEOPOS g Palermo none", "*2 *2 $20 13.36138933897018433 $20 38.11555639549629859 *-1"),
            ("GEORADIUS g 15 37 200 km", "*2 $7 Palermo $7 Catania"),
            ("GEORADIUS g 15 37 200 km COUNT 1 WITHDIST", "*1 *2 $7 Catania $7 56.4413"),
            ("GEOSEARCH g FROMMEMBER Palermo BYBOX 400 400 km DESC", "*2 $7 Catania $7 Palermo"),
            ("GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST", ":2"),
            ("ZSCORE d Catania", "$18 56.441257870158204"),
            ("GEORADIUS g 15 37 1 km STORE d", ":0"),
            ("EXISTS d", ":0"),
            ("GEORADIUS_RO g 15 37 1 km STORE d", "-ERR syntax error"),
            ("GEOADD g 181 0 x", "-ERR invalid longitude,latitude pair 181.000000,0.000000"),
            ("GEOADD l 0 0 x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("GEORADIUSBYMEMBER g none 1 m", "-ERR could not decode requested zset member"),
            ("GEORADIUSBYMEMBER none none 1 foo", "*0"),
        ] {
            assert_eq!(db.line(line), expected, "{line}");
        }
        db.check();
    }
}
