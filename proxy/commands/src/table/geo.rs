//! Rows of the command table: geospatial indexes.

use crate::row::{behind, block, double, integer, key, one, oneof, row, string, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::GeoAdd, "geoadd", -5, Group::Geo, "3.2.0")
        .docs("Adds places to a geospatial index", "O(log(N)) a place, N places in the index")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX")]).since("6.2.0").optional(),
            word("change", "CH").since("6.2.0").optional(),
            block("longitude_latitude_member", &[double("longitude"), double("latitude"), string("member")])
                .multiple(),
        ]),
    row(Id::GeoDist, "geodist", -4, Group::Geo, "3.2.0")
        .docs("Distance between two places", "O(1)")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("member1"),
            string("member2"),
            oneof("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]).optional(),
        ]),
    row(Id::GeoHash, "geohash", -2, Group::Geo, "3.2.0")
        .docs("Standard geohash texts of places", "O(1) a place")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::GeoPos, "geopos", -2, Group::Geo, "3.2.0")
        .docs("Longitudes and latitudes of places", "O(1) a place")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::GeoSearch, "geosearch", -7, Group::Geo, "6.2.0")
        .docs(
            "Finds the places inside a circle or a box",
            "O(N+log(M)), N places around the area, M in the index",
        )
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            oneof(
                "from",
                &[
                    string("member").token("FROMMEMBER"),
                    block("longitude_latitude", &[double("longitude"), double("latitude")])
                        .token("FROMLONLAT"),
                ],
            ),
            oneof(
                "by",
                &[
                    block(
                        "circle",
                        &[
                            double("radius").token("BYRADIUS"),
                            oneof(
                                "unit",
                                &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")],
                            ),
                        ],
                    ),
                    block(
                        "box",
                        &[
                            double("width").token("BYBOX"),
                            double("height"),
                            oneof(
                                "unit",
                                &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")],
                            ),
                        ],
                    ),
                ],
            ),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").optional()]).optional(),
            word("withcoord", "WITHCOORD").optional(),
            word("withdist", "WITHDIST").optional(),
            word("withhash", "WITHHASH").optional(),
        ]),
    row(Id::GeoSearchStore, "geosearchstore", -8, Group::Geo, "6.2.0")
        .docs(
            "Stores the places inside a circle or a box",
            "O(N+log(M)), N places around the area, M in the index",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), one(2, &[K::RO, K::ACCESS])])
        .args(&[
            key("destination", 0),
            key("source", 1),
            oneof(
                "from",
                &[
                    string("member").token("FROMMEMBER"),
                    block("longitude_latitude", &[double("longitude"), double("latitude")])
                        .token("FROMLONLAT"),
                ],
            ),
            oneof(
                "by",
                &[
                    block(
                        "circle",
                        &[
                            double("radius").token("BYRADIUS"),
                            oneof(
                                "unit",
                                &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")],
                            ),
                        ],
                    ),
                    block(
                        "box",
                        &[
                            double("width").token("BYBOX"),
                            double("height"),
                            oneof(
                                "unit",
                                &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")],
                            ),
                        ],
                    ),
                ],
            ),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").optional()]).optional(),
            word("storedist", "STOREDIST").optional(),
        ]),
    row(Id::GeoRadius, "georadius", -6, Group::Geo, "3.2.0")
        .docs(
            "Finds or stores the places around a point",
            "O(N+log(M)), N places around the area, M in the index",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[
            one(1, &[K::RO, K::ACCESS]),
            behind("STORE", 6, &[K::OW, K::UPDATE]),
            behind("STOREDIST", 6, &[K::OW, K::UPDATE]),
        ])
        .args(&[
            key("key", 0),
            double("longitude"),
            double("latitude"),
            double("radius"),
            oneof("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]),
            word("withcoord", "WITHCOORD").optional(),
            word("withdist", "WITHDIST").optional(),
            word("withhash", "WITHHASH").optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").since("6.2.0").optional()])
                .optional(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            key("key", 1).token("STORE").optional(),
            key("key", 2).token("STOREDIST").optional(),
        ]),
    row(Id::GeoRadiusRo, "georadius_ro", -6, Group::Geo, "3.2.10")
        .docs("Finds the places around a point", "O(N+log(M)), N places around the area, M in the index")
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            double("longitude"),
            double("latitude"),
            double("radius"),
            oneof("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]),
            word("withcoord", "WITHCOORD").optional(),
            word("withdist", "WITHDIST").optional(),
            word("withhash", "WITHHASH").optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").since("6.2.0").optional()])
                .optional(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
        ]),
    row(Id::GeoRadiusByMember, "georadiusbymember", -5, Group::Geo, "3.2.0")
        .docs(
            "Finds or stores the places around another one",
            "O(N+log(M)), N places around the area, M in the index",
        )
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[
            one(1, &[K::RO, K::ACCESS]),
            behind("STORE", 5, &[K::OW, K::UPDATE]),
            behind("STOREDIST", 5, &[K::OW, K::UPDATE]),
        ])
        .args(&[
            key("key", 0),
            string("member"),
            double("radius"),
            oneof("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]),
            word("withcoord", "WITHCOORD").optional(),
            word("withdist", "WITHDIST").optional(),
            word("withhash", "WITHHASH").optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").optional()]).optional(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
            key("key", 1).token("STORE").optional(),
            key("key", 2).token("STOREDIST").optional(),
        ]),
    row(Id::GeoRadiusByMemberRo, "georadiusbymember_ro", -5, Group::Geo, "3.2.10")
        .docs("Finds the places around another one", "O(N+log(M)), N places around the area, M in the index")
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("member"),
            double("radius"),
            oneof("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]),
            word("withcoord", "WITHCOORD").optional(),
            word("withdist", "WITHDIST").optional(),
            word("withhash", "WITHHASH").optional(),
            block("count", &[integer("count").token("COUNT"), word("any", "ANY").optional()]).optional(),
            oneof("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional(),
        ]),
];
