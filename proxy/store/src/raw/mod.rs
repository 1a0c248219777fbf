//! The one room with unsafe code: entry nodes, and the hash table that grows one bucket at a time.
