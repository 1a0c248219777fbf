//! The users of the cluster as this node knows them. They live in the metadata log, one value a user; this is the
//! copy that sessions look at, followed by a watch and changed only through the log.
//!
//! A change is answered when the log has it and this node's copy is the new one. Copy and log are compared and
//! changed under one lock, so that what a watch finds never undoes what this node has just written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use logsvc_client::{LogError, MetaValue};
use parking_lot::Mutex;
use proxy_acl::{Error as RuleError, Log, User, Users};
use proxy_resp::split_line;

use crate::peers::Message;
use crate::shared::Shared;

/// Keys of users in the metadata log begin so; the name follows in hexadecimal digits.
const PREFIX: &str = "acl/user/";
/// Value of a user of the settings who was removed: not to be created again by the next start.
const REMOVED: &[u8] = b"removed";
/// Bytes of one user, name and rules together.
const USER_MAX_BYTES: usize = 1 << 20;
/// Users at one time.
const USERS_MAX: usize = 100_000;
/// How long one look at the metadata log waits for news.
const WATCH: Duration = Duration::from_secs(20);
/// Pause after the metadata log could not be asked.
const RETRY: Duration = Duration::from_millis(500);
/// Attempts when other nodes change the same user at the same time.
const ATTEMPTS: usize = 32;

/// A user that the settings give: written to the metadata log if it knows nothing about that name.
#[derive(Clone)]
pub struct InitialUser {
    name: Vec<u8>,
    /// As in ACL SETUSER.
    rules: Vec<Vec<u8>>,
}

impl InitialUser {
    /// The default user, who may do everything but has to say this password.
    pub fn default_with_password(password: &str) -> Self {
        let rules = vec![b"resetpass".to_vec(), format!(">{password}").into_bytes()];
        Self { name: proxy_acl::DEFAULT.to_vec(), rules }
    }

    /// The users of a file as Redis's `aclfile`: lines `user <name> <rule> ...`, empty lines and comments.
    ///
    /// # Errors
    /// Names the line that is wrong, and why.
    pub fn from_file(text: &[u8]) -> Result<Vec<Self>, String> {
        let mut users: Vec<Self> = Vec::new();
        for (at, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |what: &str| Err(format!("line {}: {what}", at + 1));
            let (mut words, mut spans) = (Vec::new(), Vec::new());
            if !split_line(line, &mut words, &mut spans) {
                return wrong("quotes don't match");
            }
            let mut words =
                spans.into_iter().map(|(start, end)| words[start as usize..end as usize].to_vec());
            if words.next().is_none_or(|word| word != b"user") {
                return wrong("doesn't begin with the word user");
            }
            let Some(name) = words.next().filter(|name| proxy_acl::is_user_name(name)) else {
                return wrong("has no name of a user");
            };
            if users.iter().any(|user| user.name == name) {
                return wrong("names a user a second time");
            }
            let mut user = Self { name, rules: words.collect() };
            if user.is_default() {
                // As everybody in such a file it begins with nothing.
                user.rules.insert(0, b"reset".to_vec());
            }
            let mut tried = User::new(&user.name, 0, false);
            if let Err(error) = tried.apply(user.rules.iter().map(Vec::as_slice), false) {
                return wrong(&error.to_string());
            }
            users.push(user);
        }
        Ok(users)
    }

    /// Whether it is the user that connections begin as.
    pub fn is_default(&self) -> bool {
        self.name == proxy_acl::DEFAULT
    }
}

impl std::fmt::Debug for InitialUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rules may hold passwords.
        write!(f, "InitialUser({})", String::from_utf8_lossy(&self.name))
    }
}

/// Why a change of users did not happen, or may not have.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// Nothing was changed; the text, with its code, is for the client.
    Refused(Vec<u8>),
    /// The log did not say.
    Uncertain,
}

impl From<RuleError> for ChangeError {
    fn from(error: RuleError) -> Self {
        Self::Refused([b"ERR ", error.as_bytes()].concat())
    }
}

impl From<LogError> for ChangeError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Uncertain(_) => Self::Uncertain,
            other => Self::Refused(format!("ERR users are unchanged: {other}").into_bytes()),
        }
    }
}

/// All users, and what was denied to them.
pub(crate) struct Directory {
    current: ArcSwap<Users>,
    /// Grows with every change of `current`; sessions compare it.
    revision: AtomicU64,
    known: AtomicBool,
    /// By name: the revision at which the metadata log has what `current` shows.
    seen: tokio::sync::Mutex<BTreeMap<Vec<u8>, u64>>,
    /// ACL LOG of this node.
    pub(crate) log: Mutex<Log>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            current: ArcSwap::from_pointee(Users::default()),
            revision: AtomicU64::new(1),
            known: AtomicBool::new(false),
            seen: tokio::sync::Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// The users of this moment.
    pub(crate) fn current(&self) -> Arc<Users> {
        self.current.load_full()
    }

    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Whether the metadata log has been read. Nobody is served before: a user might be missing.
    #[inline]
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    fn install(&self, shared: &Shared, users: Users) {
        self.current.store(Arc::new(users));
        self.tell(shared);
    }

    /// From now on clients are served; those who came before look again.
    fn set_known(&self, shared: &Shared) {
        self.known.store(true, Ordering::Release);
        self.tell(shared);
    }

    /// Has every session look at the users again.
    fn tell(&self, shared: &Shared) {
        self.revision.fetch_add(1, Ordering::Release);
        for inbox in &shared.inboxes {
            // A worker that is gone has closed its clients.
            let _ = inbox.send(Message::Users);
        }
    }
}

fn key_of(name: &[u8]) -> String {
    let digits = name.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    PREFIX.chars().chain(digits.filter_map(|digit| char::from_digit(digit.into(), 16))).collect()
}

fn name_of(key: &str) -> Option<Vec<u8>> {
    let digits = key.strip_prefix(PREFIX)?.as_bytes();
    let digit = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    digits.chunks(2).map(pair).collect()
}

/// ACL SETUSER, CONFIG SET requirepass: applies rules to a user, who is made if there is none of that name.
///
/// # Errors
/// See [`ChangeError`].
pub(crate) async fn set(shared: &Shared, name: &[u8], rules: &[Vec<u8>]) -> Result<(), ChangeError> {
    let directory = &shared.users;
    let mut seen = directory.seen.lock().await;
    for _ in 0..ATTEMPTS {
        let users = directory.current();
        let expected = seen.get(name).copied().unwrap_or(0);
        let user = changed(shared, &users, name, rules)?;
        let value = user.to_stored();
        if expected > 0 && users.get(name).is_some_and(|before| before.to_stored() == value) {
            return Ok(());
        }
        if expected == 0 && users.iter().len() >= USERS_MAX {
            return Err(ChangeError::Refused(
                format!("ERR there are {USERS_MAX} users already").into_bytes(),
            ));
        }
        match shared.config.log.meta_put(&key_of(name), Bytes::from(value), Some(expected)).await {
            Ok(revision) => {
                seen.insert(name.to_vec(), revision);
                let mut users = Users::clone(&directory.current());
                users.insert(user);
                directory.install(shared, users);
                return Ok(());
            }
            Err(LogError::Conflict { .. }) => refresh(shared, &mut seen).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(ChangeError::Refused(b"ERR users are unchanged: others keep changing this user".to_vec()))
}

/// The user that rules make of what there is.
///
/// # Errors
/// When a rule is refused.
pub(crate) fn changed(
    shared: &Shared,
    users: &Users,
    name: &[u8],
    rules: &[Vec<u8>],
) -> Result<User, ChangeError> {
    let all_channels = shared.params.acl_all_channels.load(Ordering::Relaxed);
    let mut user = match users.get(name) {
        Some(user) => User::clone(user),
        None => User::new(name, rand::random(), all_channels),
    };
    for offender in user.apply(rules.iter().map(Vec::as_slice), all_channels)? {
        tracing::warn!(
            "deprecated: a user may run +{offender} by its first argument alone; Redis may drop this"
        );
    }
    if name.len() + user.to_stored().len() > USER_MAX_BYTES {
        let text = format!("ERR a user's name and rules may take {USER_MAX_BYTES} bytes");
        return Err(ChangeError::Refused(text.into_bytes()));
    }
    Ok(user)
}

/// ACL DELUSER: removes users, tells how many there were.
///
/// # Errors
/// See [`ChangeError`]; users before the one that failed are removed.
pub(crate) async fn remove(shared: &Shared, names: &[Vec<u8>]) -> Result<i64, ChangeError> {
    let directory = &shared.users;
    let mut seen = directory.seen.lock().await;
    let mut removed = 0;
    for name in names {
        let is_initial = shared.config.initial_users.iter().any(|user| user.name == *name);
        let value = if is_initial { Bytes::from_static(REMOVED) } else { Bytes::new() };
        for attempt in 1.. {
            let mut users = Users::clone(&directory.current());
            if users.remove(name).is_none() {
                break;
            }
            let expected = seen.get(name).copied().unwrap_or(0);
            match shared.config.log.meta_put(&key_of(name), value.clone(), Some(expected)).await {
                Ok(revision) => {
                    seen.remove(name);
                    if is_initial {
                        seen.insert(name.clone(), revision);
                    }
                    directory.install(shared, users);
                    removed += 1;
                    break;
                }
                Err(LogError::Conflict { .. }) if attempt < ATTEMPTS => refresh(shared, &mut seen).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(removed)
}

/// ACL LOAD: looks at the metadata log now.
///
/// # Errors
/// When it can't be asked.
pub(crate) async fn reload(shared: &Shared) -> Result<(), LogError> {
    let mut seen = shared.users.seen.lock().await;
    refresh(shared, &mut seen).await
}

/// Takes over what the metadata log has.
async fn refresh(shared: &Shared, seen: &mut BTreeMap<Vec<u8>, u64>) -> Result<(), LogError> {
    let listed = shared.config.log.meta_list(PREFIX).await?;
    let directory = &shared.users;
    let before = directory.current();
    let mut users = Users::default();
    let mut found = BTreeMap::new();
    let mut differs = false;
    for (key, MetaValue { revision, value }) in listed {
        let Some(name) = name_of(&key) else { continue };
        let known = seen.get(&name) == Some(&revision);
        differs |= !known;
        found.insert(name.clone(), revision);
        if value.as_ref() == REMOVED {
            continue;
        }
        match before.get(&name).filter(|_| known) {
            Some(user) => users.insert(User::clone(user)),
            None => match User::from_stored(&name, &value) {
                Ok(user) => users.insert(user),
                Err(error) => {
                    // Nobody may become more than they were meant to be: not known means not let in.
                    let name_text = String::from_utf8_lossy(&name).into_owned();
                    tracing::error!(user = name_text, "a user of the metadata log can't be read: {error}");
                    let mut nobody = User::new(&name, 0, false);
                    let _ = nobody.apply([&b"off"[..]], false);
                    users.insert(nobody);
                }
            },
        }
    }
    differs |= found.len() != seen.len();
    *seen = found;
    if differs {
        directory.install(shared, users);
    }
    Ok(())
}

/// Reads the users, gives the metadata log those of the settings that it knows nothing about, then follows it.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut told = false;
    while let Err(error) = begin(&shared).await {
        if !std::mem::replace(&mut told, true) {
            tracing::warn!("users aren't known yet, so nobody is served: {error}");
        }
        tokio::time::sleep(RETRY).await;
    }
    shared.users.set_known(&shared);
    let mut since = 0;
    loop {
        let news = match shared.config.log.meta_watch(since, WATCH).await {
            Ok(revision) if revision > since => reload(&shared).await.map(|()| since = revision),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = news {
            tracing::debug!("the metadata log can't be asked for users: {error}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn begin(shared: &Shared) -> Result<(), String> {
    reload(shared).await.map_err(|error| error.to_string())?;
    for InitialUser { name, rules } in &shared.config.initial_users {
        if shared.users.seen.lock().await.contains_key(name) {
            continue;
        }
        match set(shared, name, rules).await {
            Ok(()) => {
                tracing::info!(user = %String::from_utf8_lossy(name), "user taken from the settings");
            }
            Err(ChangeError::Refused(text)) => return Err(String::from_utf8_lossy(&text).into_owned()),
            Err(ChangeError::Uncertain) => return Err("the metadata log did not answer in time".to_owned()),
        }
    }
    Ok(())
}
