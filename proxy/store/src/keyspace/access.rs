//! When or how often keys are used: 24 bits an entry, approximate, local to this process. No part of the data: not in
//! effects, snapshots or digests; who evicts reads it, and so do OBJECT IDLETIME and FREQ.
//!
//! By the rule in force the bits are a clock of seconds, or (frequency) sixteen bits of a clock of minutes above
//! eight bits of a logarithmic counter. When the rule changes, what was noted under the old one is read under the new
//! one until the keys are used again, as in Redis. The keyspace has no clock: callers bring the time.

use std::cell::Cell;

use crate::key::Key;
use crate::raw::EntryRef;

use super::{Entry, Keyspace, Lookup};

const CLOCK: u32 = (1 << 24) - 1;
const MINUTES: u32 = (1 << 16) - 1;
/// The counter of a new key, so that it isn't the first to go.
const FIRST_COUNT: u32 = 5;

/// How uses are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether how often keys are used is counted, rather than when they were used last.
    pub frequency: bool,
    /// How many more uses each further step of the counter takes (Redis's `lfu-log-factor`).
    pub log_factor: u32,
    /// Minutes after which an unused key's counter loses a step, 0 for never (`lfu-decay-time`).
    pub decay_minutes: u32,
}

impl Default for AccessRule {
    fn default() -> Self {
        Self { frequency: false, log_factor: 10, decay_minutes: 1 }
    }
}

/// The rule, the time, and a source of chance for the counters.
pub(super) struct Access {
    rule: AccessRule,
    /// The last time given, unix seconds.
    seconds: u32,
    random: Cell<u64>,
    /// Uses are not noted now.
    still: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            rule: AccessRule::default(),
            seconds: 0,
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
            still: false,
        }
    }
}

impl Access {
    fn minutes(&self) -> u32 {
        (self.seconds / 60) & MINUTES
    }

    /// What a new entry starts with.
    #[inline]
    pub(super) fn fresh(&self) -> u32 {
        if self.rule.frequency { self.minutes() << 8 | FIRST_COUNT } else { self.seconds & CLOCK }
    }

    /// What an entry starts with that takes the place of one with `old`.
    #[inline]
    pub(super) fn renewed(&self, old: u32) -> u32 {
        if self.rule.frequency { old } else { self.seconds & CLOCK }
    }

    /// The counter, less what it lost since it was last counted up.
    fn count(&self, access: u32) -> u32 {
        let minutes = self.minutes().wrapping_sub(access >> 8) & MINUTES;
        let lost = minutes.checked_div(self.rule.decay_minutes).unwrap_or(0);
        (access & 255).saturating_sub(lost)
    }

    /// Seconds since the last use.
    fn idle(&self, access: u32) -> u32 {
        (self.seconds & CLOCK).wrapping_sub(access) & CLOCK
    }

    /// The counter takes a step with a chance that falls with its height.
    fn counted_up(&self, access: u32) -> u32 {
        let count = self.count(access);
        let odds = u64::from(count.saturating_sub(FIRST_COUNT)) * u64::from(self.rule.log_factor) + 1;
        // Xorshift: quick, and as random as a counter of this kind needs.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        let step = u32::from(count < 255 && (random >> 16).is_multiple_of(odds));
        self.minutes() << 8 | (count + step)
    }

    /// Notes a use of an entry. In the usual case (idle times) that is a comparison, and a write once a second.
    #[inline]
    pub(super) fn used(&self, entry: EntryRef<'_>) {
        let old = entry.access();
        let new = if self.rule.frequency { self.counted_up(old) } else { self.seconds & CLOCK };
        if new != old && !self.still {
            entry.set_access(new);
        }
    }
}

impl Keyspace {
    /// Changes how uses are noted.
    pub fn set_access_rule(&mut self, rule: AccessRule) {
        self.access.rule = rule;
    }

    /// Stops or resumes the noting of uses (CLIENT NO-TOUCH).
    pub fn set_still(&mut self, still: bool) {
        self.access.still = still;
    }

    /// Whether frequencies are counted, rather than idle times noted.
    #[inline]
    pub fn counts_frequency(&self) -> bool {
        self.access.rule.frequency
    }

    /// Tells the time by which uses are noted.
    #[inline]
    pub fn set_clock(&mut self, unix_ms: i64) {
        self.access.seconds = (unix_ms / 1000) as u32;
    }

    /// Notes that a key is used.
    #[inline]
    pub fn touch(&self, entry: &Entry<'_>) {
        self.access.used(entry.node);
    }

    /// Seconds for which a key was not used; meaningless while frequencies are counted.
    pub fn idle_seconds(&self, entry: &Entry<'_>) -> u32 {
        self.access.idle(entry.node.access())
    }

    /// How often a key was used, on a logarithmic scale from 0 to 255; meaningless while idle times are noted.
    pub fn frequency(&self, entry: &Entry<'_>) -> u32 {
        self.access.count(entry.node.access())
    }

    /// How dispensable a key is under the rule in force: the longer unused or the more seldom used, the higher.
    pub fn dispensable(&self, entry: &Entry<'_>) -> u32 {
        if self.access.rule.frequency { 255 - self.frequency(entry) } else { self.idle_seconds(entry) }
    }

    /// Sets what is noted of a key, if the rule in force is the one that notes it (RESTORE, RENAME).
    pub fn set_access(&self, key: Key<'_>, idle_seconds: Option<u32>, frequency: Option<u8>) {
        let Lookup::Entry(entry) = self.find(key) else { return };
        match (self.access.rule.frequency, idle_seconds, frequency) {
            (false, Some(idle), _) => {
                let idle = idle.min(CLOCK);
                entry.node.set_access((self.access.seconds & CLOCK).wrapping_sub(idle) & CLOCK);
            }
            (true, _, Some(count)) => {
                entry.node.set_access(self.access.minutes() << 8 | u32::from(count));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    //! Idle times grow with the clock and end with a use, also over the clock's wrap; counters grow ever slower with
    //! uses, and lose a step a decay time.
    #![allow(clippy::unwrap_used)]

    use crate::{AccessRule, Effect, ExpireChange, Key, Keyspace, Limits};

    const KEY: &[u8] = b"key";
    const LATE: i64 = 1_700_000_000_000;

    fn keyspace(rule: AccessRule) -> Keyspace {
        let mut ks = Keyspace::new(Limits::default());
        ks.set_access_rule(rule);
        ks.set_clock(LATE);
        set(&mut ks, b"v");
        ks
    }

    fn set(ks: &mut Keyspace, value: &[u8]) {
        let effect = Effect::SetString { key: Key::new(0, KEY), value, expire: ExpireChange::Clear };
        ks.apply(&effect, None, 1);
    }

    fn entry(ks: &Keyspace) -> crate::Entry<'_> {
        ks.find(Key::new(0, KEY)).entry().unwrap()
    }

    #[test]
    fn idle_times_follow_the_clock() {
        let mut ks = keyspace(AccessRule::default());
        assert_eq!(ks.idle_seconds(&entry(&ks)), 0);
        for seconds in [1, 59, 3600, (1 << 24) - 1] {
            ks.set_clock(LATE + seconds * 1000 + 999);
            assert_eq!(i64::from(ks.idle_seconds(&entry(&ks))), seconds);
        }
        ks.touch(&entry(&ks));
        assert_eq!(ks.idle_seconds(&entry(&ks)), 0);
        ks.set_access(Key::new(0, KEY), Some(77), Some(9));
        assert_eq!(ks.idle_seconds(&entry(&ks)), 77);
        set(&mut ks, b"w");
        assert_eq!(ks.idle_seconds(&entry(&ks)), 0, "a new value is a use");
        ks.set_access(Key::new(0, KEY), Some(77), None);
        // So is one in another block; the key beside the access bytes stays whole.
        set(&mut ks, &[b'x'; 40]);
        assert_eq!((ks.idle_seconds(&entry(&ks)), entry(&ks).key()), (0, KEY));
        ks.check().unwrap();
    }

    #[test]
    fn counters_grow_slower_and_decay() {
        let mut ks = keyspace(AccessRule { frequency: true, ..AccessRule::default() });
        assert_eq!(ks.frequency(&entry(&ks)), 5);
        let mut seen = Vec::new();
        for uses in 1..=100_000 {
            ks.touch(&entry(&ks));
            if [100, 1000, 10_000, 100_000].contains(&uses) {
                seen.push(ks.frequency(&entry(&ks)));
            }
        }
        // Redis documents 10, 18 and 142 for a hundred, a thousand and 100,000 uses and this factor.
        let near = [(6, 16), (13, 28), (40, 62), (125, 165)];
        assert!(
            seen.iter().zip(near).all(|(count, (least, most))| (least..=most).contains(count)),
            "{seen:?}"
        );
        set(&mut ks, &[b'x'; 40]);
        let count = ks.frequency(&entry(&ks));
        assert!((seen[3]..=seen[3] + 1).contains(&count), "a new value keeps the count, and is a use");
        ks.set_access(Key::new(0, KEY), None, Some(seen[3] as u8));
        ks.set_clock(LATE + 10 * 60_000);
        assert_eq!(ks.frequency(&entry(&ks)), seen[3] - 10);
        ks.set_access_rule(AccessRule { frequency: true, log_factor: 0, decay_minutes: 0 });
        assert_eq!(ks.frequency(&entry(&ks)), seen[3]);
        (0..300).for_each(|_| ks.touch(&entry(&ks)));
        assert_eq!((ks.frequency(&entry(&ks)), ks.dispensable(&entry(&ks))), (255, 0));
        ks.set_access(Key::new(0, KEY), Some(9), Some(7));
        assert_eq!(ks.frequency(&entry(&ks)), 7);
    }
}
