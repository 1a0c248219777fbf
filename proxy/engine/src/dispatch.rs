//! From a request to its function: the row, the checks of form that come before any command, and one
//! exhaustive match from every row to who runs it. A row without a function doesn't compile.

use proxy_commands::{Id, Row, lookup};
use proxy_resp::Args;

use crate::call::Call;
use crate::errors::Fail;
use crate::{
    bitmaps, debug, expire, geo, hashes, hyperloglog, keys, lists, memory, scan, serialized, sets, sort,
    streams, strings, zsets,
};

/// A command's function. An error means that nothing is to change.
pub type Handler = fn(&mut Call<'_>) -> Result<(), Fail>;

/// Who runs a command.
#[derive(Clone, Copy)]
pub enum Run {
    /// The shard of its keys (or each shard, see the row's routing).
    Keys(Handler),
    /// The shard of its keys, on which the server's script host runs it.
    Script,
    /// The session (proxy-server).
    Session,
}

/// The row of a request, a container's subcommand included, or the error that Redis answers: unknown
/// command, unknown subcommand, wrong number of arguments.
#[inline]
pub fn resolve(args: Args<'_>) -> Result<&'static Row, Fail> {
    let Some(row) = lookup(args.at(0)) else { return Err(unknown_command(args)) };
    let row = if row.subcommands.is_empty() || args.len() == 1 { row } else { subcommand(row, args)? };
    if row.arity_fits(args.len()) { Ok(row) } else { Err(Fail::arity(row.name)) }
}

/// Decides a call: on an error takes back what the function wrote, but for keys whose time has passed, and answers the
/// error.
/// Returns whether the command succeeded.
#[inline]
pub fn run(handler: Handler, call: &mut Call<'_>) -> bool {
    let (reply, effects) = (call.out.len(), call.fx.mark());
    match handler(call) {
        Ok(()) => true,
        Err(fail) => {
            call.out.truncate(reply);
            call.fx.truncate(effects);
            call.log_expired_again();
            call.out.error_bytes(fail.as_bytes());
            false
        }
    }
}

#[cold]
fn subcommand(row: &'static Row, args: Args<'_>) -> Result<&'static Row, Fail> {
    row.subcommand(args.at(1)).ok_or_else(|| {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(Fail::quotable(args.at(1), 128));
        text.extend_from_slice(format!("'. Try {} HELP.", row.name.to_ascii_uppercase()).as_bytes());
        Fail::owned(text)
    })
}

/// Quotes the name and the first arguments, as long as they are short.
#[cold]
fn unknown_command(args: Args<'_>) -> Fail {
    const QUOTED: usize = 128;
    let mut quoted = Vec::new();
    for arg in args.iter().skip(1) {
        if quoted.len() >= QUOTED {
            break;
        }
        let room = QUOTED - quoted.len();
        quoted.push(b'\'');
        quoted.extend_from_slice(Fail::quotable(arg, room));
        quoted.extend_from_slice(b"' ");
    }
    let name = args.at(0);
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(Fail::quotable(name, QUOTED));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&quoted);
    Fail::owned(text)
}

/// Who runs the command `id`.
#[inline]
pub fn handler(id: Id) -> Run {
    let handler: Handler = match id {
        Id::Get => strings::get,
        Id::Set => strings::set,
        Id::SetNx => strings::setnx,
        Id::SetEx => strings::setex,
        Id::PSetEx => strings::psetex,
        Id::GetSet => strings::getset,
        Id::GetDel => strings::getdel,
        Id::GetEx => strings::getex,
        Id::MGet => strings::mget,
        Id::MSet => strings::mset,
        Id::MSetNx => strings::msetnx,
        Id::Append => strings::append,
        Id::StrLen => strings::strlen,
        Id::Incr => strings::incr,
        Id::Decr => strings::decr,
        Id::IncrBy => strings::incrby,
        Id::DecrBy => strings::decrby,
        Id::IncrByFloat => strings::incrbyfloat,
        Id::GetRange | Id::Substr => strings::getrange,
        Id::SetRange => strings::setrange,
        Id::Lcs => strings::lcs,
        Id::Del | Id::Unlink => keys::del,
        Id::Exists => keys::exists,
        Id::Touch => keys::touch,
        Id::MemoryUsage => memory::usage,
        Id::Type => keys::type_of,
        Id::Rename => keys::rename,
        Id::RenameNx => keys::renamenx,
        Id::Expire => expire::expire,
        Id::PExpire => expire::pexpire,
        Id::ExpireAt => expire::expireat,
        Id::PExpireAt => expire::pexpireat,
        Id::Ttl => expire::ttl,
        Id::PTtl => expire::pttl,
        Id::ExpireTime => expire::expiretime,
        Id::PExpireTime => expire::pexpiretime,
        Id::Persist => expire::persist,
        Id::Keys => scan::keys,
        Id::Scan => scan::scan,
        Id::RandomKey => keys::randomkey,
        Id::Move => keys::move_key,
        Id::Copy => keys::copy,
        Id::Object => keys::object,
        Id::ObjectEncoding => keys::object_encoding,
        Id::ObjectFreq => keys::object_freq,
        Id::ObjectHelp => keys::object_help,
        Id::ObjectIdletime => keys::object_idletime,
        Id::ObjectRefcount => keys::object_refcount,
        Id::HSet => hashes::hset,
        Id::HSetNx => hashes::hsetnx,
        Id::HGet => hashes::hget,
        Id::HMSet => hashes::hmset,
        Id::HMGet => hashes::hmget,
        Id::HDel => hashes::hdel,
        Id::HLen => hashes::hlen,
        Id::HStrLen => hashes::hstrlen,
        Id::HKeys => hashes::hkeys,
        Id::HVals => hashes::hvals,
        Id::HGetAll => hashes::hgetall,
        Id::HExists => hashes::hexists,
        Id::HIncrBy => hashes::hincrby,
        Id::HIncrByFloat => hashes::hincrbyfloat,
        Id::HScan => hashes::hscan,
        Id::HRandField => hashes::hrandfield,
        Id::LPush => lists::lpush,
        Id::RPush => lists::rpush,
        Id::LPushX => lists::lpushx,
        Id::RPushX => lists::rpushx,
        Id::LPop => lists::lpop,
        Id::RPop => lists::rpop,
        Id::LLen => lists::llen,
        Id::LRange => lists::lrange,
        Id::LIndex => lists::lindex,
        Id::LSet => lists::lset,
        Id::LInsert => lists::linsert,
        Id::LRem => lists::lrem,
        Id::LTrim => lists::ltrim,
        Id::LMove => lists::lmove,
        Id::RPopLPush => lists::rpoplpush,
        Id::LPos => lists::lpos,
        Id::LMPop => lists::lmpop,
        Id::BLPop => lists::blpop,
        Id::BRPop => lists::brpop,
        Id::BLMove => lists::blmove,
        Id::BRPopLPush => lists::brpoplpush,
        Id::BLMPop => lists::blmpop,
        Id::SAdd => sets::sadd,
        Id::SRem => sets::srem,
        Id::SMembers => sets::smembers,
        Id::SIsMember => sets::sismember,
        Id::SMIsMember => sets::smismember,
        Id::SCard => sets::scard,
        Id::SPop => sets::spop,
        Id::SRandMember => sets::srandmember,
        Id::SMove => sets::smove,
        Id::SInter => sets::sinter,
        Id::SInterStore => sets::sinterstore,
        Id::SInterCard => sets::sintercard,
        Id::SUnion => sets::sunion,
        Id::SUnionStore => sets::sunionstore,
        Id::SDiff => sets::sdiff,
        Id::SDiffStore => sets::sdiffstore,
        Id::SScan => sets::sscan,
        Id::ZAdd => zsets::zadd,
        Id::ZIncrBy => zsets::zincrby,
        Id::ZRem => zsets::zrem,
        Id::ZCard => zsets::zcard,
        Id::ZCount => zsets::zcount,
        Id::ZLexCount => zsets::zlexcount,
        Id::ZScore => zsets::zscore,
        Id::ZMScore => zsets::zmscore,
        Id::ZRank => zsets::zrank,
        Id::ZRevRank => zsets::zrevrank,
        Id::ZRange => zsets::zrange,
        Id::ZRangeByScore => zsets::zrangebyscore,
        Id::ZRevRange => zsets::zrevrange,
        Id::ZRevRangeByScore => zsets::zrevrangebyscore,
        Id::ZRangeByLex => zsets::zrangebylex,
        Id::ZRevRangeByLex => zsets::zrevrangebylex,
        Id::ZRangeStore => zsets::zrangestore,
        Id::ZRemRangeByRank => zsets::zremrangebyrank,
        Id::ZRemRangeByScore => zsets::zremrangebyscore,
        Id::ZRemRangeByLex => zsets::zremrangebylex,
        Id::ZPopMin => zsets::zpopmin,
        Id::ZPopMax => zsets::zpopmax,
        Id::ZMPop => zsets::zmpop,
        Id::BZPopMin => zsets::bzpopmin,
        Id::BZPopMax => zsets::bzpopmax,
        Id::BZMPop => zsets::bzmpop,
        Id::ZUnion => zsets::zunion,
        Id::ZInter => zsets::zinter,
        Id::ZDiff => zsets::zdiff,
        Id::ZUnionStore => zsets::zunionstore,
        Id::ZInterStore => zsets::zinterstore,
        Id::ZDiffStore => zsets::zdiffstore,
        Id::ZInterCard => zsets::zintercard,
        Id::ZScan => zsets::zscan,
        Id::ZRandMember => zsets::zrandmember,
        Id::SetBit => bitmaps::setbit,
        Id::GetBit => bitmaps::getbit,
        Id::BitCount => bitmaps::bitcount,
        Id::BitPos => bitmaps::bitpos,
        Id::BitOp => bitmaps::bitop,
        Id::BitField => bitmaps::bitfield,
        Id::BitFieldRo => bitmaps::bitfield_ro,
        Id::Dump => serialized::dump,
        Id::Restore | Id::RestoreAsking => serialized::restore,
        Id::Sort => sort::sort,
        Id::SortRo => sort::sort_ro,
        Id::PfAdd => hyperloglog::pfadd,
        Id::PfCount => hyperloglog::pfcount,
        Id::PfMerge => hyperloglog::pfmerge,
        Id::PfDebug => hyperloglog::pfdebug,
        Id::PfSelfTest => hyperloglog::pfselftest,
        Id::GeoAdd => geo::geoadd,
        Id::GeoDist => geo::geodist,
        Id::GeoHash => geo::geohash,
        Id::GeoPos => geo::geopos,
        Id::GeoSearch => geo::geosearch,
        Id::GeoSearchStore => geo::geosearchstore,
        Id::GeoRadius => geo::georadius,
        Id::GeoRadiusRo => geo::georadius_ro,
        Id::GeoRadiusByMember => geo::georadiusbymember,
        Id::GeoRadiusByMemberRo => geo::georadiusbymember_ro,
        Id::XAdd => streams::xadd,
        Id::XLen => streams::xlen,
        Id::XRange => streams::xrange,
        Id::XRevRange => streams::xrevrange,
        Id::XDel => streams::xdel,
        Id::XTrim => streams::xtrim,
        Id::XSetId => streams::xsetid,
        Id::XRead => streams::xread,
        Id::XReadGroup => streams::xreadgroup,
        Id::XGroup => streams::xgroup,
        Id::XGroupCreate => streams::xgroup_create,
        Id::XGroupCreateconsumer => streams::xgroup_createconsumer,
        Id::XGroupDelconsumer => streams::xgroup_delconsumer,
        Id::XGroupDestroy => streams::xgroup_destroy,
        Id::XGroupHelp => streams::xgroup_help,
        Id::XGroupSetid => streams::xgroup_setid,
        Id::XAck => streams::xack,
        Id::XPending => streams::xpending,
        Id::XClaim => streams::xclaim,
        Id::XAutoClaim => streams::xautoclaim,
        Id::XInfo => streams::xinfo,
        Id::XInfoConsumers => streams::xinfo_consumers,
        Id::XInfoGroups => streams::xinfo_groups,
        Id::XInfoHelp => streams::xinfo_help,
        Id::XInfoStream => streams::xinfo_stream,
        Id::DbSize => keys::dbsize,
        Id::FlushAll => keys::flushall,
        Id::FlushDb => keys::flushdb,
        Id::SwapDb => keys::swapdb,
        Id::Debug => debug::debug,
        Id::Eval
        | Id::EvalSha
        | Id::EvalRo
        | Id::EvalShaRo
        | Id::Fcall
        | Id::FcallRo
        | Id::FunctionDelete
        | Id::FunctionDump
        | Id::FunctionFlush
        | Id::FunctionList
        | Id::FunctionLoad
        | Id::FunctionRestore => return Run::Script,
        Id::Ping
        | Id::Echo
        | Id::Auth
        | Id::Hello
        | Id::Select
        | Id::Quit
        | Id::Reset
        | Id::Client
        | Id::ClientCaching
        | Id::ClientGetname
        | Id::ClientGetredir
        | Id::ClientHelp
        | Id::ClientId
        | Id::ClientInfo
        | Id::ClientKill
        | Id::ClientList
        | Id::ClientNoEvict
        | Id::ClientNoTouch
        | Id::ClientPause
        | Id::ClientReply
        | Id::ClientSetinfo
        | Id::ClientSetname
        | Id::ClientTracking
        | Id::ClientTrackinginfo
        | Id::ClientUnblock
        | Id::ClientUnpause
        | Id::Multi
        | Id::Exec
        | Id::Discard
        | Id::Watch
        | Id::Unwatch
        | Id::Readonly
        | Id::Readwrite
        | Id::Asking
        | Id::Cluster
        | Id::ClusterAddslots
        | Id::ClusterAddslotsrange
        | Id::ClusterBumpepoch
        | Id::ClusterCountFailureReports
        | Id::ClusterCountkeysinslot
        | Id::ClusterDelslots
        | Id::ClusterDelslotsrange
        | Id::ClusterFailover
        | Id::ClusterFlushslots
        | Id::ClusterForget
        | Id::ClusterGetkeysinslot
        | Id::ClusterHelp
        | Id::ClusterInfo
        | Id::ClusterKeyslot
        | Id::ClusterLinks
        | Id::ClusterMeet
        | Id::ClusterMyid
        | Id::ClusterNodes
        | Id::ClusterReplicas
        | Id::ClusterReplicate
        | Id::ClusterReset
        | Id::ClusterSaveconfig
        | Id::ClusterSetConfigEpoch
        | Id::ClusterSetslot
        | Id::ClusterShards
        | Id::ClusterSlaves
        | Id::ClusterSlots
        | Id::Subscribe
        | Id::Unsubscribe
        | Id::PSubscribe
        | Id::PUnsubscribe
        | Id::Publish
        | Id::SSubscribe
        | Id::SUnsubscribe
        | Id::SPublish
        | Id::Pubsub
        | Id::PubsubChannels
        | Id::PubsubHelp
        | Id::PubsubNumpat
        | Id::PubsubNumsub
        | Id::PubsubShardchannels
        | Id::PubsubShardnumsub
        | Id::Script
        | Id::ScriptDebug
        | Id::ScriptExists
        | Id::ScriptFlush
        | Id::ScriptHelp
        | Id::ScriptKill
        | Id::ScriptLoad
        | Id::Function
        | Id::FunctionHelp
        | Id::FunctionKill
        | Id::FunctionStats
        | Id::Command
        | Id::CommandCount
        | Id::CommandDocs
        | Id::CommandGetkeys
        | Id::CommandGetkeysandflags
        | Id::CommandHelp
        | Id::CommandInfo
        | Id::CommandList
        | Id::Config
        | Id::ConfigGet
        | Id::ConfigHelp
        | Id::ConfigResetstat
        | Id::ConfigRewrite
        | Id::ConfigSet
        | Id::Info
        | Id::Monitor
        | Id::Slowlog
        | Id::SlowlogGet
        | Id::SlowlogHelp
        | Id::SlowlogLen
        | Id::SlowlogReset
        | Id::Latency
        | Id::LatencyDoctor
        | Id::LatencyGraph
        | Id::LatencyHelp
        | Id::LatencyHistogram
        | Id::LatencyHistory
        | Id::LatencyLatest
        | Id::LatencyReset
        | Id::Lolwut
        | Id::Role
        | Id::Replicaof
        | Id::Slaveof
        | Id::Failover
        | Id::Psync
        | Id::Sync
        | Id::Replconf
        | Id::Bgrewriteaof
        | Id::Module
        | Id::ModuleHelp
        | Id::ModuleList
        | Id::ModuleLoad
        | Id::ModuleLoadex
        | Id::ModuleUnload
        | Id::Memory
        | Id::MemoryDoctor
        | Id::MemoryHelp
        | Id::MemoryMallocStats
        | Id::MemoryPurge
        | Id::MemoryStats
        | Id::Time
        | Id::Save
        | Id::BgSave
        | Id::LastSave
        | Id::Shutdown
        | Id::Migrate
        | Id::Wait
        | Id::WaitAof
        | Id::Acl
        | Id::AclCat
        | Id::AclDeluser
        | Id::AclDryrun
        | Id::AclGenpass
        | Id::AclGetuser
        | Id::AclHelp
        | Id::AclList
        | Id::AclLoad
        | Id::AclLog
        | Id::AclSave
        | Id::AclSetuser
        | Id::AclUsers
        | Id::AclWhoami => return Run::Session,
    };
    Run::Keys(handler)
}
