//! Rows of the command table: messages to whoever listens.

use crate::row::{block, one, pattern, range, row, string};
use crate::{Flags as F, Group, Id, KeyFlags as K, Routing, Row};

const SUBSCRIBES: &[F] = &[F::PUBSUB, F::NOSCRIPT, F::LOADING, F::STALE];
const PUBLISHES: &[F] = &[F::PUBSUB, F::LOADING, F::STALE, F::FAST];
const ASKS: &[F] = &[F::PUBSUB, F::LOADING, F::STALE];

pub(super) const ROWS: &[Row] = &[
    row(Id::Subscribe, "subscribe", -2, Group::Pubsub, "2.0.0")
        .docs("Listens to channels", "O(N), N channels")
        .flags(SUBSCRIBES)
        .args(&[string("channel").multiple()]),
    row(Id::Unsubscribe, "unsubscribe", -1, Group::Pubsub, "2.0.0")
        .docs("Listens to channels no more", "O(N), N channels")
        .flags(SUBSCRIBES)
        .args(&[string("channel").optional().multiple()]),
    row(Id::PSubscribe, "psubscribe", -2, Group::Pubsub, "2.0.0")
        .docs("Listens to all channels that match patterns", "O(N), N patterns")
        .flags(SUBSCRIBES)
        .args(&[block("pattern", &[pattern("pattern")]).multiple()]),
    row(Id::PUnsubscribe, "punsubscribe", -1, Group::Pubsub, "2.0.0")
        .docs("Listens to channels that match patterns no more", "O(N), N patterns")
        .flags(SUBSCRIBES)
        .args(&[pattern("pattern").optional().multiple()]),
    row(Id::Publish, "publish", 3, Group::Pubsub, "2.0.0")
        .docs("Sends a message to a channel", "O(N+M), N subscribers of the channel, M patterns in use")
        .flags(PUBLISHES)
        .args(&[string("channel"), string("message")]),
    row(Id::SSubscribe, "ssubscribe", -2, Group::Pubsub, "7.0.0")
        .docs("Listens to channels of a shard", "O(N), N channels")
        .flags(SUBSCRIBES)
        .keys(&[range(1, -1, 1, &[K::NOT_KEY])])
        .route(Routing::Session)
        .args(&[string("shardchannel").multiple()]),
    row(Id::SUnsubscribe, "sunsubscribe", -1, Group::Pubsub, "7.0.0")
        .docs("Listens to channels of a shard no more", "O(N), N channels")
        .flags(SUBSCRIBES)
        .keys(&[range(1, -1, 1, &[K::NOT_KEY])])
        .route(Routing::Session)
        .args(&[string("shardchannel").optional().multiple()]),
    row(Id::SPublish, "spublish", 3, Group::Pubsub, "7.0.0")
        .docs("Sends a message to a channel of a shard", "O(N), N subscribers of the channel")
        .flags(PUBLISHES)
        .keys(&[one(1, &[K::NOT_KEY])])
        .route(Routing::Session)
        .args(&[string("shardchannel"), string("message")]),
    row(Id::Pubsub, "pubsub", -2, Group::Pubsub, "2.8.0")
        .docs("Container of questions about channels and subscribers", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::PubsubChannels, "pubsub|channels", -2, Group::Pubsub, "2.8.0")
                .docs("Lists the channels with subscribers", "O(N), N channels")
                .flags(ASKS)
                .args(&[pattern("pattern").optional()]),
            row(Id::PubsubHelp, "pubsub|help", 2, Group::Pubsub, "6.2.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::PubsubNumpat, "pubsub|numpat", 2, Group::Pubsub, "2.8.0")
                .docs("Number of patterns in use", "O(1)")
                .flags(ASKS),
            row(Id::PubsubNumsub, "pubsub|numsub", -2, Group::Pubsub, "2.8.0")
                .docs("Numbers of subscribers of channels", "O(N), N channels")
                .flags(ASKS)
                .args(&[string("channel").optional().multiple()]),
            row(Id::PubsubShardchannels, "pubsub|shardchannels", -2, Group::Pubsub, "7.0.0")
                .docs("Lists the shards' channels with subscribers", "O(N), N channels")
                .flags(ASKS)
                .args(&[pattern("pattern").optional()]),
            row(Id::PubsubShardnumsub, "pubsub|shardnumsub", -2, Group::Pubsub, "7.0.0")
                .docs("Numbers of subscribers of the shards' channels", "O(N), N channels")
                .flags(ASKS)
                .args(&[string("shardchannel").optional().multiple()]),
        ]),
];
