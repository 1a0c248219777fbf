//! Geohashes: longitude and latitude as interleaved bits, 26 of each in a member's score. Pure functions; every
//! step of the arithmetic is Redis's, because scores and printed digits depend on it.

use std::f64::consts::PI;

/// Bits of each coordinate in a score.
pub(super) const SCORE_STEP: u32 = 26;
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half the circumference of the projection that the steps are counted on.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// A longitude (`x`) and a latitude (`y`) in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

/// From least to most degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Span {
    pub min: f64,
    pub max: f64,
}

pub(super) const LONGITUDES: Span = Span { min: -180.0, max: 180.0 };
/// Where the projection ends.
pub(super) const LATITUDES: Span = Span { min: -85.05112878, max: 85.05112878 };
/// For geohash texts, which other programs read.
const ALL_LATITUDES: Span = Span { min: -90.0, max: 90.0 };

/// A cell of the grid of 2^step by 2^step cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    pub x: u32,
    pub y: u32,
    pub step: u32,
}

impl Span {
    pub fn contains(self, degrees: f64) -> bool {
        degrees >= self.min && degrees <= self.max
    }

    /// The number of the cell of a grid of 2^step.
    fn cell(self, degrees: f64, step: u32) -> u32 {
        let offset = (degrees - self.min) / (self.max - self.min);
        (offset * (1u64 << step) as f64) as u32
    }

    /// What cell `number` spans.
    fn part(self, number: u32, step: u32) -> Span {
        let edge = |number: f64| self.min + number / (1u64 << step) as f64 * (self.max - self.min);
        Span { min: edge(f64::from(number)), max: edge(f64::from(number) + 1.0) }
    }
}

impl Cell {
    pub fn of(point: Point, step: u32) -> Self {
        Self { x: LONGITUDES.cell(point.x, step), y: LATITUDES.cell(point.y, step), step }
    }

    fn of_bits(bits: u64, step: u32) -> Self {
        Self { x: squeeze(bits >> 1), y: squeeze(bits), step }
    }

    pub fn bits(self) -> u64 {
        spread(self.y) | spread(self.x) << 1
    }

    pub fn longitudes(self) -> Span {
        LONGITUDES.part(self.x, self.step)
    }

    pub fn latitudes(self) -> Span {
        LATITUDES.part(self.y, self.step)
    }

    /// The scores of what lies in the cell: from the first on and before the second.
    pub fn scores(self) -> (f64, f64) {
        let align = |bits: u64| (bits << (2 * (SCORE_STEP - self.step))) as f64;
        (align(self.bits()), align(self.bits() + 1))
    }

    /// The cell so many steps to the east and to the north; the grid has no edges.
    pub fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = u32::MAX >> (32 - self.step);
        let moved = |number: u32, by: i32| match by {
            0 => number,
            _ => number.wrapping_add_signed(by) & mask,
        };
        Self { x: moved(self.x, east), y: moved(self.y, north), ..self }
    }
}

/// Puts a zero bit before every bit.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Takes every second bit, the lowest first.
fn squeeze(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// The score of a member that lies at `point`.
pub(super) fn score(point: Point) -> f64 {
    Cell::of(point, SCORE_STEP).bits() as f64
}

/// Where the member with `score` lies: the middle of its cell. ZADD may have stored any score, so its bits are
/// taken as the hardware converts them.
pub(super) fn point(score: f64) -> Point {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    let bits = match score {
        _ if score < HALF => score as i64 as u64,
        _ if score < 2.0 * HALF => score as u64,
        _ => 0,
    };
    let cell = Cell::of_bits(bits, SCORE_STEP);
    let middle = |part: Span, whole: Span| f64::midpoint(part.min, part.max).clamp(whole.min, whole.max);
    Point { x: middle(cell.longitudes(), LONGITUDES), y: middle(cell.latitudes(), LATITUDES) }
}

/// The standard geohash text, eleven characters of five bits; 52 bits are known, so that the last is always zero.
pub(super) fn text(point: Point) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let cell = Cell {
        x: LONGITUDES.cell(point.x, SCORE_STEP),
        y: ALL_LATITUDES.cell(point.y, SCORE_STEP),
        step: SCORE_STEP,
    };
    let bits = cell.bits();
    std::array::from_fn(|at| {
        let index = if at == 10 { 0 } else { bits >> (52 - (at + 1) * 5) & 31 };
        ALPHABET[index as usize]
    })
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// Metres between two latitudes on one meridian.
pub(super) fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS * (radians(b) - radians(a)).abs()
}

/// Metres between two points on the sphere.
pub(super) fn distance(a: Point, b: Point) -> f64 {
    let v = ((radians(b.x) - radians(a.x)) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance(a.y, b.y);
    }
    let (a_y, b_y) = (radians(a.y), radians(b.y));
    let u = ((b_y - a_y) / 2.0).sin();
    2.0 * EARTH_RADIUS * (u * u + a_y.cos() * b_y.cos() * v * v).sqrt().asin()
}

/// The spans of the box that holds everything up to so many metres away: longitudes, latitudes.
pub(super) fn surrounding(centre: Point, width: f64, height: f64) -> (Span, Span) {
    let y = degrees(height / EARTH_RADIUS);
    let top = degrees(width / EARTH_RADIUS / radians(centre.y + y).cos());
    let bottom = degrees(width / EARTH_RADIUS / radians(centre.y - y).cos());
    let x = if centre.y < 0.0 { bottom } else { top };
    (Span { min: centre.x - x, max: centre.x + x }, Span { min: centre.y - y, max: centre.y + y })
}

/// The finest grid on which a cell and its neighbours surely hold everything up to `range` metres away.
pub(super) fn step_for(range: f64, latitude: f64) -> u32 {
    if range == 0.0 {
        return SCORE_STEP;
    }
    let (mut step, mut range) = (1i32, range);
    while range < MERCATOR_MAX {
        range *= 2.0;
        step += 1;
    }
    step -= 2;
    // Towards the poles cells become narrow.
    if !(-66.0..=66.0).contains(&latitude) {
        step -= 1;
        if !(-80.0..=80.0).contains(&latitude) {
            step -= 1;
        }
    }
    step.clamp(1, SCORE_STEP as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Point = Point { x: 13.361389, y: 38.115556 };
    const CATANIA: Point = Point { x: 15.087269, y: 37.502669 };

    #[test]
    fn known_places() {
        assert_eq!(score(PALERMO), 3479099956230698.0);
        assert_eq!(score(CATANIA), 3479447370796909.0);
        assert_eq!(&text(point(score(PALERMO))), b"sqc8b49rny0");
        let metres = distance(point(score(PALERMO)), point(score(CATANIA)));
        assert_eq!(format!("{metres:.4}"), "166274.1516");
        assert_eq!(point(score(PALERMO)), Point { x: 13.361389338970184, y: 38.1155563954963 });
    }

    #[test]
    fn bits_interleave_both_ways() {
        for number in [0, 1, 5, 0x3ff_ffff, u32::MAX] {
            assert_eq!(squeeze(spread(number)), number);
        }
        let cell = Cell { x: 0b101, y: 0b011, step: 3 };
        assert_eq!(cell.bits(), 0b10_01_11);
        assert_eq!(Cell::of_bits(0b10_01_11, 3), cell);
        assert_eq!(cell.neighbour(3, -4), Cell { x: 0, y: 0b111, step: 3 });
    }
}
