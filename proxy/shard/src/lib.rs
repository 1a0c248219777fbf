//! proxy-shard: to be written.
