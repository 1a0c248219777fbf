//! Rows of the command table: values in serialized form, and sorting.

use crate::row::{all_behind, block, integer, key, one, oneof, pattern, row, string, unknown, word};
use crate::{Categories as C, Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Dump, "dump", 2, Group::Generic, "2.6.0")
        .docs("Returns a value in serialized form", "O(N), N bytes of the value")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::Restore, "restore", -4, Group::Generic, "2.6.0")
        .docs(
            "Creates a key from the serialized form of a value",
            "O(N), N bytes of the value; O(N*log(N)) for large sorted sets",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .keys(&[one(1, &[K::OW, K::UPDATE])])
        .args(&[
            key("key", 0),
            integer("ttl"),
            string("serialized-value"),
            word("replace", "REPLACE").since("3.0.0").optional(),
            word("absttl", "ABSTTL").since("5.0.0").optional(),
            integer("seconds").token("IDLETIME").since("5.0.0").optional(),
            integer("frequency").token("FREQ").since("5.0.0").optional(),
        ]),
    row(Id::RestoreAsking, "restore-asking", -4, Group::Server, "3.0.0")
        .docs(
            "RESTORE as the slot migration of clusters sends it",
            "O(N), N bytes of the value; O(N*log(N)) for large sorted sets",
        )
        .system()
        .flags(&[F::WRITE, F::DENYOOM, F::ASKING])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .keys(&[one(1, &[K::OW, K::UPDATE])])
        .args(&[
            key("key", 0),
            integer("ttl"),
            string("serialized-value"),
            word("replace", "REPLACE").since("3.0.0").optional(),
            word("absttl", "ABSTTL").since("5.0.0").optional(),
            integer("seconds").token("IDLETIME").since("5.0.0").optional(),
            integer("frequency").token("FREQ").since("5.0.0").optional(),
        ]),
    row(Id::Migrate, "migrate", -6, Group::Generic, "2.6.0")
        .docs(
            "Moves keys to another server",
            "O(N), N bytes of the values; as DUMP and DEL here and RESTORE there",
        )
        .flags(&[F::WRITE])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .tips(&["nondeterministic_output"])
        .keys(&[
            one(3, &[K::RW, K::ACCESS, K::DELETE]),
            all_behind("KEYS", -2, &[K::RW, K::ACCESS, K::DELETE, K::INCOMPLETE]),
        ])
        .args(&[
            string("host"),
            integer("port"),
            oneof("key_or_empty_string", &[key("key", 0), word("empty_string", "")]),
            integer("destination-db"),
            integer("timeout"),
            word("copy", "COPY").since("3.0.0").optional(),
            word("replace", "REPLACE").since("3.0.0").optional(),
            oneof(
                "authentication",
                &[
                    string("password").token("AUTH").since("4.0.7").optional(),
                    block("username_password", &[string("username"), string("password")])
                        .token("AUTH2")
                        .since("6.0.0")
                        .optional(),
                ],
            )
            .optional(),
            key("key", 1).token("KEYS").since("3.0.6").optional().multiple(),
        ]),
    row(Id::Sort, "sort", -2, Group::Generic, "1.0.0")
        .docs(
            "Sorts the elements of a list, set or sorted set; answers or stores them",
            "O(N+M*log(M)), N elements, M of them returned",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[C::DANGEROUS, C::LIST, C::SET, C::SORTEDSET])
        .keys(&[
            one(1, &[K::RO, K::ACCESS]),
            unknown(&[K::RO, K::ACCESS]).note("keys that BY and GET patterns make of the elements"),
            unknown(&[K::OW, K::UPDATE]).note("the destination behind STORE, which may stand anywhere"),
        ])
        .args(&[
            key("key", 0),
            pattern("pattern").spec(1).token("BY").optional(),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
            pattern("pattern").spec(1).token("GET").optional().multiple().multiple_token(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            word("sorting", "ALPHA").optional(),
            key("destination", 2).token("STORE").optional(),
        ]),
    row(Id::SortRo, "sort_ro", -2, Group::Generic, "7.0.0")
        .docs(
            "Sorts the elements of a list, set or sorted set",
            "O(N+M*log(M)), N elements, M of them returned",
        )
        .flags(&[F::READONLY])
        .acl(&[C::DANGEROUS, C::LIST, C::SET, C::SORTEDSET])
        .keys(&[
            one(1, &[K::RO, K::ACCESS]),
            unknown(&[K::RO, K::ACCESS]).note("keys that BY and GET patterns make of the elements"),
        ])
        .args(&[
            key("key", 0),
            pattern("pattern").spec(1).token("BY").optional(),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
            pattern("pattern").spec(1).token("GET").optional().multiple().multiple_token(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            word("sorting", "ALPHA").optional(),
        ]),
];
