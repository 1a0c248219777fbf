//! Rows of the command table: transactions.

use crate::row::{key, range, row};
use crate::{Flags as F, Group, Id, KeyFlags as K, Routing, Row};

pub(super) const ROWS: &[Row] =
    &[
        row(Id::Multi, "multi", 1, Group::Transactions, "1.2.0")
            .docs("Begins a transaction", "O(1)")
            .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY]),
        row(Id::Exec, "exec", 1, Group::Transactions, "1.2.0")
            .docs("Runs the transaction", "Depends on its commands")
            .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::SKIP_SLOWLOG]),
        row(Id::Discard, "discard", 1, Group::Transactions, "2.0.0")
            .docs("Drops the transaction", "O(N), N queued commands")
            .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY]),
        row(Id::Watch, "watch", -2, Group::Transactions, "2.2.0")
            .docs("Makes the next transaction depend on keys staying as they are", "O(1) a key")
            .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY])
            .keys(&[range(1, -1, 1, &[K::RO])])
            .route(Routing::Session)
            .args(&[key("key", 0).multiple()]),
        row(Id::Unwatch, "unwatch", 1, Group::Transactions, "2.2.0")
            .docs("Forgets the watched keys", "O(1)")
            .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY]),
    ];
