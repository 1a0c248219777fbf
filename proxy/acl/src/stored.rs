//! A user as the metadata log keeps them: a version, a tag, then rules, one after another with a NUL between them,
//! which no rule can hold. Read back with the same code that serves ACL SETUSER.

use std::fmt;

use crate::user::User;

const VERSION: &[u8] = b"1";

/// Why a kept user can't be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredError(String);

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoredError {}

impl User {
    /// The same rules without anything that lets somebody in.
    pub fn without_passwords(&self) -> Self {
        Self { passwords: Vec::new(), no_password: false, ..self.clone() }
    }

    /// The user as bytes, without the name.
    pub fn to_stored(&self) -> Vec<u8> {
        let mut parts = vec![VERSION.to_vec(), format!("{:016x}", self.tag).into_bytes()];
        parts.extend(self.flags().map(|flag| flag.as_bytes().to_vec()));
        parts.extend(self.passwords.iter().map(|password| format!("#{}", password.to_hex()).into_bytes()));
        parts.extend(self.root.words());
        for selector in &self.others {
            let inner: Vec<Vec<u8>> = selector.words().collect();
            parts.push([b"(", quoted(&inner).as_slice(), b")"].concat());
        }
        parts.join(&0)
    }

    /// Reads what [`User::to_stored`] wrote.
    ///
    /// # Errors
    /// What is wrong with it: a newer version, or a rule that this program doesn't know.
    pub fn from_stored(name: &[u8], bytes: &[u8]) -> Result<Self, StoredError> {
        let mut parts = bytes.split(|b| *b == 0);
        let version = parts.next().unwrap_or_default();
        if version != VERSION {
            return Err(StoredError(format!("unknown version '{}'", String::from_utf8_lossy(version))));
        }
        let tag = parts.next().and_then(|hex| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let tag = tag.ok_or_else(|| StoredError("has no tag".to_owned()))?;
        let mut user = User::new(name, tag, false);
        user.apply(parts, false).map_err(|error| StoredError(error.to_string()))?;
        Ok(user)
    }
}

/// Words with a space between them, in quotes so that whatever bytes they hold come back.
fn quoted(words: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.push(b'"');
        for byte in word {
            match byte {
                b'!' | b'#'..=b'[' | b']'..=b'~' => text.push(*byte),
                _ => text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        text.push(b'"');
    }
    text
}
