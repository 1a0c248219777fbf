//! Finding members around a point: up to nine cells of a grid, each a range of scores, then the exact test.

use proxy_store::types::ScoreBound;
use proxy_store::{Elem, ZSet};

use super::hash::{Cell, Point, distance, latitude_distance, point, step_for, surrounding};

/// What is searched, in metres.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// A member that was found.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub member: Elem<'a>,
    pub score: f64,
    pub point: Point,
    /// Metres from the centre.
    pub distance: f64,
}

impl Shape {
    /// The metres to `place` when it lies inside.
    fn distance(self, centre: Point, place: Point) -> Option<f64> {
        match self {
            Shape::Circle { radius } => {
                Some(distance(centre, place)).filter(|metres| *metres <= radius || metres.is_nan())
            }
            Shape::Box { width, height } => {
                let off = latitude_distance(place.y, centre.y) > height / 2.0
                    || distance(place, Point { y: place.y, ..centre }) > width / 2.0;
                (!off).then(|| distance(centre, place))
            }
        }
    }

    /// The farthest that anything inside can be from the centre.
    fn reach(self) -> f64 {
        match self {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        }
    }

    fn half_sides(self) -> (f64, f64) {
        match self {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        }
    }
}

/// Places of the cells around the middle, east and north, in the order in which they are searched.
const AROUND: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The cells that together hold everything inside the shape; `None` for a place that isn't needed.
fn cells(centre: Point, shape: Shape) -> [Option<Cell>; 9] {
    let (width, height) = shape.half_sides();
    let (longitudes, latitudes) = surrounding(centre, width, height);
    let mut step = step_for(shape.reach(), centre.y);
    let mut middle = Cell::of(centre, step);
    // Near its edge the middle cell's neighbour may end before the shape does.
    let short = middle.neighbour(0, 1).latitudes().max < latitudes.max
        || middle.neighbour(0, -1).latitudes().min > latitudes.min
        || middle.neighbour(1, 0).longitudes().max < longitudes.max
        || middle.neighbour(-1, 0).longitudes().min > longitudes.min;
    if step > 1 && short {
        step -= 1;
        middle = Cell::of(centre, step);
    }
    let (x, y) = (middle.longitudes(), middle.latitudes());
    let useless = |east: i32, north: i32| {
        step >= 2
            && (north < 0 && y.min < latitudes.min
                || north > 0 && y.max > latitudes.max
                || east < 0 && x.min < longitudes.min
                || east > 0 && x.max > longitudes.max)
    };
    AROUND.map(|(east, north)| (!useless(east, north)).then(|| middle.neighbour(east, north)))
}

/// The members inside, in the order of cells and of scores; with a `limit` the first so many.
pub(super) fn search(zset: &ZSet, centre: Point, shape: Shape, limit: Option<usize>) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let full = |found: &Vec<Found<'_>>| limit.is_some_and(|limit| found.len() >= limit);
    // On coarse grids neighbours are the same cell on both sides.
    let mut last = None;
    for (place, cell) in cells(centre, shape).into_iter().enumerate() {
        let Some(cell) = cell.filter(|cell| last != Some(*cell)) else { continue };
        if full(&found) {
            break;
        }
        let (min, max) = cell.scores();
        let range = zset.score_range(
            ScoreBound { score: min, exclusive: false },
            ScoreBound { score: max, exclusive: true },
        );
        for (member, score) in zset.range(range.start, range.len()) {
            let place = point(score);
            if let Some(distance) = shape.distance(centre, place) {
                found.push(Found { member, score, point: place, distance });
                if full(&found) {
                    break;
                }
            }
        }
        // The middle is not compared with: its neighbours are, with each other.
        last = (place > 0).then_some(cell);
    }
    found
}
