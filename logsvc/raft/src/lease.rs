//! Whether the owner of a shard can still believe in its lease. Only the leader asks, with its own clock, and
//! only before it proposes a claim by another owner; the state machine never sees time.
//!
//! The owner counts its lease from before it *sent* what extended it. The leader counts from the first tick
//! after it saw that request, which is later, and a new leader counts a whole lease from the first tick after
//! its election, because it can't know what its predecessor acknowledged. The clock it compares with is the
//! last tick's, which is earlier than now. All three errors are on the safe side.

/// The leader's stopwatch for one shard.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// When the lease was last extended; `None` = since the last tick.
    since_ms: Option<u64>,
}

impl Lease {
    /// Something that extends the lease was seen, or leadership began.
    pub fn extend(&mut self) {
        self.since_ms = None;
    }

    pub fn tick(&mut self, now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
    }

    /// Time until a lease of this length has certainly run out.
    pub fn remaining_ms(&self, lease_ms: u64, now_ms: u64) -> u64 {
        self.since_ms.map_or(lease_ms, |since| since.saturating_add(lease_ms).saturating_sub(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn a_lease_counts_from_the_tick_after_its_extension() {
        let mut lease = Lease::default();
        assert_eq!(lease.remaining_ms(100, 1_000), 100);
        lease.tick(1_020);
        lease.tick(1_040);
        assert_eq!(lease.remaining_ms(100, 1_040), 80);
        assert_eq!(lease.remaining_ms(100, 1_120), 0);
        lease.extend();
        assert_eq!(lease.remaining_ms(100, 1_120), 100);
    }
}
