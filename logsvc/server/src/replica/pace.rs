//! The spare follower: of three replicas on one machine two make the quorum, and the third takes its frames in bundles, a
//! few milliseconds late. That saves a third of the syncs on a disk that all share.
//!
//! Held back are only frames to one follower and of groups that are led here. When nothing is committed while frames are held,
//! the quorum needs the third: nothing is held for a while then.

use std::time::{Duration, Instant};

use logsvc_raft::{NodeNumber, Outgoing};

/// Longest time that a frame is held.
const HOLD: Duration = Duration::from_millis(5);
/// How long nothing is held after the quorum needed the spare follower.
const RELIEF: Duration = Duration::from_millis(20);

/// Frames held for the spare follower.
#[derive(Debug, Default)]
pub struct Pace {
    spare: Option<NodeNumber>,
    held: Vec<Outgoing>,
    /// When the frames are released.
    until: Option<Instant>,
    committed: bool,
    relief_until: Option<Instant>,
}

impl Pace {
    /// Holds back what goes to `spare`, if that is given.
    pub fn new(spare: Option<NodeNumber>) -> Self {
        Self { spare, ..Self::default() }
    }

    /// Gives the frame back when it has to leave at once. `led`: its group is led here.
    pub fn hold(&mut self, frame: Outgoing, led: bool) -> Option<Outgoing> {
        if !led || self.spare != Some(frame.to) {
            return Some(frame);
        }
        if self.until.is_none() {
            let now = Instant::now();
            if self.relief_until.is_some_and(|until| now < until) {
                return Some(frame);
            }
            self.until = Some(now + HOLD);
            self.committed = false;
        }
        self.held.push(frame);
        None
    }

    /// Something led here was committed.
    pub fn committed(&mut self) {
        self.committed = true;
    }

    /// When to look again.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The frames whose time has come.
    pub fn release(&mut self, now: Instant) -> impl Iterator<Item = Outgoing> + '_ {
        let due = self.until.is_some_and(|until| until <= now);
        if due {
            self.until = None;
            self.relief_until = (!self.committed).then(|| now + RELIEF);
        }
        let count = if due { self.held.len() } else { 0 };
        self.held.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: NodeNumber) -> Outgoing {
        Outgoing { to, group: 0, parts: Vec::new() }
    }

    #[test]
    fn only_frames_of_led_groups_to_the_spare_follower_are_held() {
        let mut pace = Pace::new(Some(3));
        assert!(pace.hold(frame(2), true).is_some());
        assert!(pace.hold(frame(3), false).is_some());
        assert!(pace.hold(frame(3), true).is_none());
        assert!(pace.hold(frame(3), true).is_none());
        assert_eq!(pace.release(Instant::now()).count(), 0);
        assert_eq!(pace.release(Instant::now() + HOLD).count(), 2);
        assert!(pace.until().is_none());
    }

    #[test]
    fn nothing_is_held_for_a_while_when_the_quorum_needs_the_spare() {
        let mut pace = Pace::new(Some(3));
        assert!(pace.hold(frame(3), true).is_none());
        let later = Instant::now() + HOLD;
        assert_eq!(pace.release(later).count(), 1);
        assert!(pace.hold(frame(3), true).is_some());
        pace.relief_until = Some(Instant::now());
        assert!(pace.hold(frame(3), true).is_none());
        pace.committed();
        assert_eq!(pace.release(later + HOLD).count(), 1);
        assert!(pace.hold(frame(3), true).is_none());
    }
}
