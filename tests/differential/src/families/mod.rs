//! What commands the differential tests send: one file a group of families, and `mix`, which draws from all.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

pub mod collections;
pub mod keyed;
pub mod mix;
pub mod scripts;
pub mod sessions;
pub mod streams;
pub mod values;

/// What all families draw with.
trait Draw {
    /// The source of chance.
    fn rng(&mut self) -> &mut SmallRng;

    /// True in `percent` of a hundred cases.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng().random_range(0..100) < percent
    }

    /// One of these.
    fn pick(&mut self, from: &[&str]) -> Vec<u8> {
        from.choose(self.rng()).map(|text| text.as_bytes().to_vec()).unwrap_or_default()
    }
}
