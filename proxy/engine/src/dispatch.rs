//! From a request to its function: the row, the checks of form that come before any command, and one
//! exhaustive match from every row to who runs it. A row without a function doesn't compile.

use proxy_commands::{Id, Row, lookup};
use proxy_resp::Args;

use crate::call::Call;
use crate::errors::Fail;

/// A command's function. An error means that nothing is to change.
pub type Handler = fn(&mut Call<'_>) -> Result<(), Fail>;

/// Who runs a command.
#[derive(Clone, Copy)]
pub enum Run {
    /// The shard of its keys (or each shard, see the row's routing).
    Keys(Handler),
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

/// Decides a call: on an error takes back what the function wrote and answers the error.
/// Returns whether the command succeeded.
#[inline]
pub fn run(handler: Handler, call: &mut Call<'_>) -> bool {
    let (reply, effects) = (call.out.len(), call.fx.mark());
    match handler(call) {
        Ok(()) => true,
        Err(fail) => {
            call.out.truncate(reply);
            call.fx.truncate(effects);
            call.out.error_bytes(fail.as_bytes());
            false
        }
    }
}

#[cold]
fn subcommand(row: &'static Row, args: Args<'_>) -> Result<&'static Row, Fail> {
    row.subcommand(args.at(1)).ok_or_else(|| {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(&args.at(1)[..args.at(1).len().min(128)]);
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
        quoted.extend_from_slice(&arg[..arg.len().min(room)]);
        quoted.extend_from_slice(b"' ");
    }
    let name = args.at(0);
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(&name[..name.len().min(QUOTED)]);
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&quoted);
    Fail::owned(text)
}

/// Answers for rows whose function does not exist yet.
fn unsupported(_call: &mut Call<'_>) -> Result<(), Fail> {
    Err(Fail::UNSUPPORTED)
}

/// Who runs the command `id`.
#[inline]
pub fn handler(id: Id) -> Run {
    let handler: Handler = match id {
        Id::Get => unsupported,
        Id::Set => unsupported,
        Id::SetNx => unsupported,
        Id::SetEx => unsupported,
        Id::PSetEx => unsupported,
        Id::GetSet => unsupported,
        Id::GetDel => unsupported,
        Id::GetEx => unsupported,
        Id::MGet => unsupported,
        Id::MSet => unsupported,
        Id::MSetNx => unsupported,
        Id::Append => unsupported,
        Id::StrLen => unsupported,
        Id::Incr => unsupported,
        Id::Decr => unsupported,
        Id::IncrBy => unsupported,
        Id::DecrBy => unsupported,
        Id::IncrByFloat => unsupported,
        Id::GetRange => unsupported,
        Id::Substr => unsupported,
        Id::SetRange => unsupported,
        Id::Lcs => unsupported,
        Id::Del => unsupported,
        Id::Unlink => unsupported,
        Id::Exists => unsupported,
        Id::Touch => unsupported,
        Id::Type => unsupported,
        Id::Rename => unsupported,
        Id::RenameNx => unsupported,
        Id::Expire => unsupported,
        Id::PExpire => unsupported,
        Id::ExpireAt => unsupported,
        Id::PExpireAt => unsupported,
        Id::Ttl => unsupported,
        Id::PTtl => unsupported,
        Id::ExpireTime => unsupported,
        Id::PExpireTime => unsupported,
        Id::Persist => unsupported,
        Id::Keys => unsupported,
        Id::Scan => unsupported,
        Id::RandomKey => unsupported,
        Id::Move => unsupported,
        Id::Copy => unsupported,
        Id::Object => unsupported,
        Id::ObjectEncoding => unsupported,
        Id::ObjectFreq => unsupported,
        Id::ObjectHelp => unsupported,
        Id::ObjectIdletime => unsupported,
        Id::ObjectRefcount => unsupported,
        Id::HSet => unsupported,
        Id::HSetNx => unsupported,
        Id::HGet => unsupported,
        Id::HMSet => unsupported,
        Id::HMGet => unsupported,
        Id::HDel => unsupported,
        Id::HLen => unsupported,
        Id::HStrLen => unsupported,
        Id::HKeys => unsupported,
        Id::HVals => unsupported,
        Id::HGetAll => unsupported,
        Id::HExists => unsupported,
        Id::HIncrBy => unsupported,
        Id::HIncrByFloat => unsupported,
        Id::HScan => unsupported,
        Id::HRandField => unsupported,
        Id::LPush => unsupported,
        Id::RPush => unsupported,
        Id::LPushX => unsupported,
        Id::RPushX => unsupported,
        Id::LPop => unsupported,
        Id::RPop => unsupported,
        Id::LLen => unsupported,
        Id::LRange => unsupported,
        Id::LIndex => unsupported,
        Id::LSet => unsupported,
        Id::LInsert => unsupported,
        Id::LRem => unsupported,
        Id::LTrim => unsupported,
        Id::LMove => unsupported,
        Id::RPopLPush => unsupported,
        Id::LPos => unsupported,
        Id::LMPop => unsupported,
        Id::SAdd => unsupported,
        Id::SRem => unsupported,
        Id::SMembers => unsupported,
        Id::SIsMember => unsupported,
        Id::SMIsMember => unsupported,
        Id::SCard => unsupported,
        Id::SPop => unsupported,
        Id::SRandMember => unsupported,
        Id::SMove => unsupported,
        Id::SInter => unsupported,
        Id::SInterStore => unsupported,
        Id::SInterCard => unsupported,
        Id::SUnion => unsupported,
        Id::SUnionStore => unsupported,
        Id::SDiff => unsupported,
        Id::SDiffStore => unsupported,
        Id::SScan => unsupported,
        Id::ZAdd => unsupported,
        Id::ZIncrBy => unsupported,
        Id::ZRem => unsupported,
        Id::ZCard => unsupported,
        Id::ZCount => unsupported,
        Id::ZLexCount => unsupported,
        Id::ZScore => unsupported,
        Id::ZMScore => unsupported,
        Id::ZRank => unsupported,
        Id::ZRevRank => unsupported,
        Id::ZRange => unsupported,
        Id::ZRangeByScore => unsupported,
        Id::ZRevRange => unsupported,
        Id::ZRevRangeByScore => unsupported,
        Id::ZRangeByLex => unsupported,
        Id::ZRevRangeByLex => unsupported,
        Id::ZRangeStore => unsupported,
        Id::ZRemRangeByRank => unsupported,
        Id::ZRemRangeByScore => unsupported,
        Id::ZRemRangeByLex => unsupported,
        Id::ZPopMin => unsupported,
        Id::ZPopMax => unsupported,
        Id::ZMPop => unsupported,
        Id::ZUnion => unsupported,
        Id::ZInter => unsupported,
        Id::ZDiff => unsupported,
        Id::ZUnionStore => unsupported,
        Id::ZInterStore => unsupported,
        Id::ZDiffStore => unsupported,
        Id::ZInterCard => unsupported,
        Id::ZScan => unsupported,
        Id::ZRandMember => unsupported,
        Id::DbSize => unsupported,
        Id::FlushAll => unsupported,
        Id::FlushDb => unsupported,
        Id::SwapDb => unsupported,
        Id::Debug => unsupported,
        Id::Ping
        | Id::Echo
        | Id::Auth
        | Id::Hello
        | Id::Select
        | Id::Quit
        | Id::Reset
        | Id::Client
        | Id::ClientGetname
        | Id::ClientHelp
        | Id::ClientId
        | Id::ClientInfo
        | Id::ClientKill
        | Id::ClientList
        | Id::ClientNoEvict
        | Id::ClientReply
        | Id::ClientSetname
        | Id::Multi
        | Id::Exec
        | Id::Discard
        | Id::Watch
        | Id::Unwatch
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
        | Id::Time => return Run::Session,
    };
    Run::Keys(handler)
}
