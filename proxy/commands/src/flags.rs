//! The bit sets of the command table: command flags, ACL categories and key-spec flags, each with the
//! names under which COMMAND shows them. Rows combine them; nothing here decides anything.

/// Declares a bit set over `$int` whose bits carry the names that Redis shows, lowest bit first.
macro_rules! bit_set {
    ($(#[$doc:meta])* $name:ident: $int:ty { $($(#[$bit_doc:meta])* $bit:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub $int);

        bit_set!(@bits $name, $int, 0, $($(#[$bit_doc])* $bit),+);

        impl $name {
            /// Every name, in the order of the bits (the order in which COMMAND prints them).
            pub const NAMES: &[&str] = &[$($text),+];

            /// True when any bit of `other` is set here.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The names of the bits that are set, lowest bit first.
            pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
                Self::NAMES.iter().enumerate().filter(move |(i, _)| self.0 >> i & 1 != 0).map(|(_, name)| *name)
            }

            /// The union of two sets, usable in constants.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }
    };
    (@bits $name:ident, $int:ty, $n:expr, $(#[$doc:meta])* $bit:ident $(, $($rest:tt)+)?) => {
        impl $name {
            $(#[$doc])*
            pub const $bit: $name = $name(1 << ($n));
        }
        $(bit_set!(@bits $name, $int, $n + 1, $($rest)+);)?
    };
}

bit_set! {
    /// What a command is and where it may run. The order of the bits is the order COMMAND prints.
    Flags: u32 {
        /// Changes data.
        WRITE = "write",
        /// Only reads data.
        READONLY = "readonly",
        /// May add memory, so it is refused when memory is full.
        DENYOOM = "denyoom",
        /// Belongs to Redis modules.
        MODULE = "module",
        /// Administration.
        ADMIN = "admin",
        /// Publish/subscribe.
        PUBSUB = "pubsub",
        /// Not callable from a script.
        NOSCRIPT = "noscript",
        /// May make the client wait.
        BLOCKING = "blocking",
        /// Runs while data is being loaded.
        LOADING = "loading",
        /// Runs on a replica whose data may be old.
        STALE = "stale",
        /// Not shown to MONITOR.
        SKIP_MONITOR = "skip_monitor",
        /// Not kept in the slow log.
        SKIP_SLOWLOG = "skip_slowlog",
        /// Implies ASKING in cluster mode.
        ASKING = "asking",
        /// Takes constant or logarithmic time.
        FAST = "fast",
        /// Needs no authentication.
        NO_AUTH = "no_auth",
        /// Replicates by itself.
        MAY_REPLICATE = "may_replicate",
        /// Has key arguments, all of them optional.
        NO_MANDATORY_KEYS = "no_mandatory_keys",
        /// Not shown to clients.
        PROTECTED = "protected",
        /// Runs during an asynchronous load too late to be allowed.
        NO_ASYNC_LOADING = "no_async_loading",
        /// Not allowed inside MULTI.
        NO_MULTI = "no_multi",
        /// Key positions can't be told from first/last/step alone.
        MOVABLEKEYS = "movablekeys",
        /// Runs while a script or function holds the server.
        ALLOW_BUSY = "allow_busy",
    }
}

bit_set! {
    /// ACL categories, in the order in which COMMAND prints them.
    Categories: u32 {
        /// Acts on keys of any type.
        KEYSPACE = "@keyspace",
        /// Reads data.
        READ = "@read",
        /// Writes data.
        WRITE = "@write",
        /// Sets.
        SET = "@set",
        /// Sorted sets.
        SORTEDSET = "@sortedset",
        /// Lists.
        LIST = "@list",
        /// Hashes.
        HASH = "@hash",
        /// Strings.
        STRING = "@string",
        /// Bitmaps.
        BITMAP = "@bitmap",
        /// HyperLogLogs.
        HYPERLOGLOG = "@hyperloglog",
        /// Geo indexes.
        GEO = "@geo",
        /// Streams.
        STREAM = "@stream",
        /// Publish/subscribe.
        PUBSUB = "@pubsub",
        /// Administration.
        ADMIN = "@admin",
        /// Quick.
        FAST = "@fast",
        /// Not quick.
        SLOW = "@slow",
        /// May make the client wait.
        BLOCKING = "@blocking",
        /// Needs care.
        DANGEROUS = "@dangerous",
        /// The connection itself.
        CONNECTION = "@connection",
        /// Transactions.
        TRANSACTION = "@transaction",
        /// Scripts and functions.
        SCRIPTING = "@scripting",
    }
}

bit_set! {
    /// What a command does with the keys that one key spec finds.
    KeyFlags: u16 {
        /// Reads the value only.
        RO = "RO",
        /// Reads and changes the value.
        RW = "RW",
        /// Overwrites whatever value is there.
        OW = "OW",
        /// Deletes the key.
        RM = "RM",
        /// Gives away something about the value.
        ACCESS = "access",
        /// Changes the value using the old one.
        UPDATE = "update",
        /// Adds to the value.
        INSERT = "insert",
        /// Removes from the value.
        DELETE = "delete",
        /// The arguments look like keys but are none.
        NOT_KEY = "not_key",
        /// Other keys exist that no spec finds.
        INCOMPLETE = "incomplete",
        /// The flags depend on other arguments.
        VARIABLE = "variable_flags",
    }
}
