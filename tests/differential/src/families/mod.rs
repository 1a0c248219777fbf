//! What commands the differential tests send: one file a group of families.

pub mod collections;
pub mod keyed;
