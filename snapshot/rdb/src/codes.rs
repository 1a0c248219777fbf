//! The numbers of the RDB format: version, operation codes, value types, string encodings. Data only.

/// The version written; versions 1 to this one are read.
pub const VERSION: u32 = 10;

/// The Redis version announced in files, for tools that look at it.
pub const REDIS_VERSION: &str = "7.0.15";

/// The first version whose files end in a checksum.
pub const FIRST_VERSION_WITH_CHECKSUM: u32 = 5;

/// What a byte between entries means.
pub mod op {
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_EARLY: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_SECONDS: u8 = 253;
    pub const SELECT: u8 = 254;
    pub const END: u8 = 255;
}

/// Value types. Those up to `LIST_QUICKLIST` are only read.
pub mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET2: u8 = 5;
    pub const MODULE: u8 = 6;
    pub const MODULE2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST2: u8 = 18;
    pub const STREAM2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM3: u8 = 21;
}

/// Special encodings of a string, after the two bits `11` of a length.
pub mod string {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// How a quicklist2 node holds its elements.
pub mod node {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// What an error calls a type that is known to exist but not supported.
pub fn type_name(code: u8) -> &'static str {
    match code {
        kind::MODULE | kind::MODULE2 => "module value",
        _ => "unknown to RDB version 10",
    }
}
