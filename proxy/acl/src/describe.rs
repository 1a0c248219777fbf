//! Rules as texts: what ACL LIST and ACL GETUSER show of a user.

use crate::selector::Selector;
use crate::user::User;
use crate::vocabulary::{category, category_names, commands};

impl User {
    /// The user's line of ACL LIST without the word `user` and the name.
    pub fn describe(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.into()).collect();
        words.extend(self.passwords.iter().map(|password| format!("#{}", password.to_hex()).into_bytes()));
        words.extend(self.root.words());
        for selector in &self.others {
            let inner: Vec<Vec<u8>> = selector.words().collect();
            words.push([b"(", inner.join(&b' ').as_slice(), b")"].concat());
        }
        words.join(&b' ')
    }
}

impl Selector {
    /// All of it as rules.
    pub(crate) fn words(&self) -> impl Iterator<Item = Vec<u8>> {
        self.key_words().into_iter().chain(self.channel_rules()).chain(self.command_words())
    }

    fn key_words(&self) -> Vec<Vec<u8>> {
        if self.all_keys {
            return vec![b"~*".to_vec()];
        }
        let sign = |read, write| match (read, write) {
            (true, false) => &b"%R~"[..],
            (false, true) => b"%W~",
            _ => b"~",
        };
        self.keys.iter().map(|key| [sign(key.read, key.write), &key.pattern].concat()).collect()
    }

    fn channel_words(&self) -> Vec<Vec<u8>> {
        if self.all_channels {
            return vec![b"&*".to_vec()];
        }
        self.channels.iter().map(|pattern| [b"&", pattern.as_slice()].concat()).collect()
    }

    /// Channels are allowed or not by a setting: a rule says first that they aren't.
    fn channel_rules(&self) -> Vec<Vec<u8>> {
        let start = (!self.all_channels).then(|| b"resetchannels".to_vec());
        start.into_iter().chain(self.channel_words()).collect()
    }

    /// The field `keys` of ACL GETUSER.
    pub fn keys_text(&self) -> Vec<u8> {
        self.key_words().join(&b' ')
    }

    /// The field `channels` of ACL GETUSER.
    pub fn channels_text(&self) -> Vec<u8> {
        self.channel_words().join(&b' ')
    }

    /// The field `commands` of ACL GETUSER.
    pub fn commands_text(&self) -> Vec<u8> {
        self.command_words().join(&b' ')
    }

    /// The shortest rules that come to mind for the bits that are set: beginning with all or nothing, the category
    /// that fits best, again and again, then single commands for what still differs. As Redis 7.0 does it, because
    /// people compare these texts.
    fn command_words(&self) -> Vec<Vec<u8>> {
        let removing = self.bits.allows_future();
        let mut words: Vec<Vec<u8>> = vec![if removing { b"+@all".to_vec() } else { b"-@all".to_vec() }];
        // What the words so far make of an empty selector, and what is left to be said.
        let mut said = Selector::new(false);
        said.set_every_command(removing);
        let mut left = self.clone();
        let mut open: Vec<&'static str> = category_names().collect();
        loop {
            let mut best: Option<(usize, usize, usize)> = None;
            for (at, name) in open.iter().enumerate() {
                let Some(category) = category(name.as_bytes()) else { continue };
                let (on, off) = left.count(category);
                let (same, differ) = if removing { (off, on) } else { (on, off) };
                let better = best.is_none_or(|(_, best_differ, best_same)| {
                    differ < best_differ || (differ == best_differ && same > best_same)
                });
                if same > differ && better {
                    best = Some((at, differ, same));
                }
            }
            let Some((at, ..)) = best else { break };
            let name = open.remove(at);
            let Some(category) = category(name.as_bytes()) else { continue };
            said.set_category(category, !removing);
            left.set_category(category, removing);
            words.push(format!("{}@{name}", if removing { '-' } else { '+' }).into_bytes());
        }
        for command in commands() {
            let allowed = self.bits.has(command.bit);
            if said.bits.has(command.bit) != allowed {
                words.push(format!("{}{}", if allowed { '+' } else { '-' }, command.name).into_bytes());
                said.set_command(command, allowed);
            }
            if !allowed && let Some(args) = self.first_args.get(&command.bit) {
                words.extend(args.iter().map(|arg| [b"+", command.name.as_bytes(), b"|", arg].concat()));
            }
        }
        words
    }
}
