//! Rows of the command table: clusters.

use crate::row::row;
use crate::{Categories as C, Flags as F, Group, Id, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Readonly, "readonly", 1, Group::Cluster, "3.0.0")
        .docs("Lets the connection read from a replica, which may lag behind", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[C::CONNECTION]),
    row(Id::Readwrite, "readwrite", 1, Group::Cluster, "3.0.0")
        .docs("Has the connection read what the primary knows again", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[C::CONNECTION]),
];
