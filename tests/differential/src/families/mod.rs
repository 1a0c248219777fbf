//! What commands the differential tests send: one file a group of families, and `mix`, which draws from all.

pub mod collections;
pub mod keyed;
pub mod mix;
pub mod sessions;
pub mod streams;
pub mod values;
