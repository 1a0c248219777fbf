//! Rows of the command table: bits of strings.

use crate::row::{block, integer, key, one, oneof, range, row, string, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::SetBit, "setbit", 4, Group::Bitmap, "2.2.0")
        .docs("Sets one bit of a string and returns the old one", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), integer("offset"), integer("value")]),
    row(Id::GetBit, "getbit", 3, Group::Bitmap, "2.2.0")
        .docs("Returns one bit of a string", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("offset")]),
    row(Id::BitCount, "bitcount", -2, Group::Bitmap, "2.6.0")
        .docs("Counts the set bits of a string or of a range of it", "O(N), N bytes")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            block(
                "index",
                &[
                    integer("start"),
                    integer("end"),
                    oneof("index_unit", &[word("byte", "BYTE"), word("bit", "BIT")])
                        .since("7.0.0")
                        .optional(),
                ],
            )
            .optional(),
        ]),
    row(Id::BitPos, "bitpos", -3, Group::Bitmap, "2.8.7")
        .docs("Finds the first bit of a kind in a string", "O(N), N bytes")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            integer("bit"),
            block(
                "index",
                &[
                    integer("start"),
                    block(
                        "end_index",
                        &[
                            integer("end"),
                            oneof("index_unit", &[word("byte", "BYTE"), word("bit", "BIT")])
                                .since("7.0.0")
                                .optional(),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ]),
    row(Id::BitOp, "bitop", -4, Group::Bitmap, "2.6.0")
        .docs("Joins strings bit by bit into another", "O(N), N bytes of the longest string")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(2, &[K::OW, K::UPDATE]), range(3, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[string("operation"), key("destkey", 0), key("key", 1).multiple()]),
    row(Id::BitField, "bitfield", -2, Group::Bitmap, "3.2.0")
        .docs("Reads and writes integers of any width inside a string", "O(1) an operation")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE, K::VARIABLE])
            .note("reads, and writes unless every operation is a GET")])
        .args(&[
            key("key", 0),
            oneof(
                "operation",
                &[
                    block("encoding_offset", &[string("encoding"), integer("offset")]).token("GET"),
                    block(
                        "write",
                        &[
                            oneof(
                                "wrap_sat_fail",
                                &[word("wrap", "WRAP"), word("sat", "SAT"), word("fail", "FAIL")],
                            )
                            .token("OVERFLOW")
                            .optional(),
                            oneof(
                                "write_operation",
                                &[
                                    block(
                                        "encoding_offset_value",
                                        &[string("encoding"), integer("offset"), integer("value")],
                                    )
                                    .token("SET"),
                                    block(
                                        "encoding_offset_increment",
                                        &[string("encoding"), integer("offset"), integer("increment")],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ]),
    row(Id::BitFieldRo, "bitfield_ro", -2, Group::Bitmap, "6.0.0")
        .docs("Reads integers of any width inside a string", "O(1) an operation")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            block("encoding_offset", &[string("encoding"), integer("offset")])
                .token("GET")
                .optional()
                .multiple()
                .multiple_token(),
        ]),
];
