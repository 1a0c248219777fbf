//! Where a small, packed collection turns into a large, indexed one. Affects representation and
//! `OBJECT ENCODING` only, never what a command answers.

/// Borders between packed and indexed forms, named after the Redis settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most fields of a packed hash (`hash-max-listpack-entries`).
    pub hash_max_listpack_entries: usize,
    /// Longest field or value, in bytes, of a packed hash (`hash-max-listpack-value`).
    pub hash_max_listpack_value: usize,
    /// Most members of a packed sorted set (`zset-max-listpack-entries`).
    pub zset_max_listpack_entries: usize,
    /// Longest member, in bytes, of a packed sorted set (`zset-max-listpack-value`).
    pub zset_max_listpack_value: usize,
    /// Size of a list's chunks (`list-max-listpack-size`): positive = elements, -1 to -5 = 4 to 64 KB.
    pub list_max_listpack_size: i64,
    /// Most integers of an intset (`set-max-intset-entries`).
    pub set_max_intset_entries: usize,
    /// Most bytes of a stream's node, 0 for no limit (`stream-node-max-bytes`).
    pub stream_node_max_bytes: usize,
    /// Most bytes of a sparse HyperLogLog, its header included (`hll-sparse-max-bytes`).
    pub hll_sparse_max_bytes: usize,
    /// Most entries of a stream's node, 0 for no limit (`stream-node-max-entries`).
    pub stream_node_max_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            hll_sparse_max_bytes: 3000,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
        }
    }
}
