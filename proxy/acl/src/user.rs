//! Users, and the picture of all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::password::{Digest, PASSWORD_MAX_BYTES, digest};
use crate::selector::Selector;

/// The user that a connection is before it says who it is.
pub const DEFAULT: &[u8] = b"default";

/// Whether RESTORE payloads of a user are checked in depth: a flag that is kept and shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sanitize {
    #[default]
    Unsaid,
    Skip,
    Always,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub(crate) name: Vec<u8>,
    /// Tells a user from another one who had the same name before.
    pub(crate) tag: u64,
    pub(crate) enabled: bool,
    pub(crate) no_password: bool,
    pub(crate) sanitize: Sanitize,
    pub(crate) passwords: Vec<Digest>,
    /// The user's own, then those in parentheses.
    pub(crate) root: Selector,
    pub(crate) others: Vec<Selector>,
}

/// Whether ACL SETUSER takes this as a name.
pub fn is_user_name(name: &[u8]) -> bool {
    !name.iter().any(|b| is_space(*b) || *b == 0)
}

/// C's `isspace`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl User {
    /// A user who may do nothing yet, but for all channels if `all_channels` (`acl-pubsub-default`). `tag` tells
    /// them from others of the same name, before and after.
    pub fn new(name: &[u8], tag: u64, all_channels: bool) -> Self {
        Self {
            name: name.to_vec(),
            tag,
            enabled: false,
            no_password: false,
            sanitize: Sanitize::Unsaid,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            others: Vec::new(),
        }
    }

    /// The default user as it begins: needs no password and may do everything.
    pub fn full_default() -> Self {
        let mut user = Self::new(DEFAULT, 0, true);
        user.enabled = true;
        user.no_password = true;
        user.root = Selector::full();
        user
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn tag(&self) -> u64 {
        self.tag
    }

    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether connections of this user need no check at all.
    pub fn is_unbounded(&self) -> bool {
        self.root.is_full()
    }

    /// The flags of ACL GETUSER.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let password = self.no_password.then_some("nopass");
        let sanitize = match self.sanitize {
            Sanitize::Unsaid => None,
            Sanitize::Skip => Some("skip-sanitize-payload"),
            Sanitize::Always => Some("sanitize-payload"),
        };
        std::iter::once(if self.enabled { "on" } else { "off" }).chain(password).chain(sanitize)
    }

    pub fn passwords(&self) -> &[Digest] {
        &self.passwords
    }

    /// The selector that needs no parentheses.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Those in parentheses.
    pub fn selectors(&self) -> &[Selector] {
        &self.others
    }

    pub(crate) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.others)
    }

    /// Whether somebody with this password is let in.
    pub fn admits(&self, password: &[u8]) -> bool {
        if !self.enabled {
            return false;
        }
        if self.no_password {
            return true;
        }
        if password.len() > PASSWORD_MAX_BYTES {
            return false;
        }
        let given = digest(password);
        // Every digest is looked at, so that the time tells nothing about which one it was.
        self.passwords.iter().fold(false, |found, kept| kept.matches(&given) | found)
    }
}

/// All users at one moment. The default user is always among them.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeMap<Vec<u8>, Arc<User>>,
    default: Arc<User>,
}

impl Default for Users {
    fn default() -> Self {
        let default = Arc::new(User::full_default());
        Self { by_name: BTreeMap::from([(DEFAULT.to_vec(), Arc::clone(&default))]), default }
    }
}

impl Users {
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// Whether a connection may do something before it says who it is.
    pub fn default_needs_auth(&self) -> bool {
        !self.default.no_password || !self.default.enabled
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// Takes a user up, in place of one of the same name.
    pub fn insert(&mut self, user: User) {
        let user = Arc::new(user);
        if user.name == DEFAULT {
            self.default = Arc::clone(&user);
        }
        self.by_name.insert(user.name.clone(), user);
    }

    /// Lets a user go; the default user becomes what it was in the beginning.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        let gone = self.by_name.remove(name);
        if name == DEFAULT {
            self.insert(User::full_default());
        }
        gone
    }

    /// Who `name` with `password` is, if they are let in.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        self.get(name).filter(|user| user.admits(password))
    }
}
