//! A replica's seat: its driver, what waits for it, and who takes the turns.
//!
//! Whoever has something for a leader and finds the seat free takes the turn himself, there and then: the appender that proposes,
//! the follower's thread that brings the acknowledgement. So a block is on its way to all disks, and acknowledged, without a thread
//! woken only to pass it on.
//!
//! ```text
//!   appender, caller, peer --> inbox --> seat free: a turn on that very thread
//!                                        else: whoever sits there looks again, or the disk's thread when it comes back
//!   a turn's writes        --> the disk's thread, the only one that waits for a disk; what it reports is a turn of its own
//!   ticks, late notices    --> the clock's thread, also while the disk hangs
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use logsvc_raft::{GroupId, Input, LogStorage, StorageError, WriteBatch};
use parking_lot::Mutex;

use super::driver::Driver;
use super::inbox::{Bed, Inbox};
use super::message::Message;
use super::view::GroupView;
use crate::storage::RocksStorage;

/// Payload bytes joined into one write; one batch may be larger.
const MAX_JOINED_BYTES: usize = 8 << 20;
/// Seats that one thread works at, one because of the other, before it leaves the rest to their own threads.
const MAX_DEPTH: usize = 3;
/// Turns that a visitor takes on end.
const MAX_TURNS: usize = 4;

type Views = HashMap<GroupId, GroupView>;

/// The seat. Made before its driver, so that others can put things in.
#[derive(Default)]
pub struct Seat {
    inbox: Inbox<Message>,
    driver: Mutex<Option<Driver>>,
    /// Visitors may take turns.
    open: AtomicBool,
    views: OnceLock<Arc<Views>>,
    /// The disk's thread is at the disk and looks into the inbox when it is back.
    writing: AtomicBool,
    disk: Bed,
    clock: Bed,
}

impl Seat {
    /// Adds a message without seeing to it; see [`Seat::attend`]. False when the replica has ended.
    pub fn put(&self, message: Message) -> bool {
        self.inbox.put(message)
    }

    /// Adds a message and sees to it that it is worked on. May take a turn: hold no lock that answers need.
    pub fn push(&self, message: Message) -> bool {
        let put = self.inbox.put(message);
        if put {
            self.attend(true);
        }
        put
    }

    /// A peer in this process was sent something for `group`. A leader only notes what its followers say, so whoever brings it
    /// takes the turn; a follower has to write.
    pub fn called(self: &Arc<Self>, group: GroupId) -> Called {
        let view = self.views.get().and_then(|views| views.get(&group));
        Called { seat: Arc::clone(self), here: view.is_some_and(GroupView::leads) }
    }

    /// Sees to it that what was put in is worked on: `here`, on this thread, if that can be.
    pub fn attend(&self, here: bool) {
        self.attend_at(here, 0);
    }

    fn attend_at(&self, here: bool, depth: usize) {
        // In these cases somebody looks into the inbox after this: who writes, and below, who sits here.
        if self.writing.load(Ordering::SeqCst) {
            return;
        }
        if !here || !self.open.load(Ordering::Acquire) || depth >= MAX_DEPTH {
            return self.disk.wake();
        }
        for _ in 0..MAX_TURNS {
            if self.inbox.is_empty() {
                return;
            }
            let Some(mut seat) = self.driver.try_lock() else { return };
            let Some(driver) = seat.as_mut() else { return };
            let after = self.turn(driver);
            drop(seat);
            after.visit(self, depth);
        }
        self.disk.wake();
    }

    /// One turn; what follows from it is done when the seat is free again.
    fn turn(&self, driver: &mut Driver) -> After {
        driver.turn(&self.inbox);
        self.open.store(driver.is_open(), Ordering::Release);
        After {
            peers: std::mem::take(&mut driver.called),
            disk: driver.stopped() || !driver.writes.is_empty(),
            clock: driver.is_clock_late(),
        }
    }

    /// Seats the driver, before the threads start.
    pub fn place(&self, driver: Driver, views: Arc<Views>) {
        let _ = self.views.set(views);
        *self.driver.lock() = Some(driver);
    }

    /// The disk's thread: carries out what turns want written, and takes the turns that no visitor takes. Runs until the driver stops.
    pub fn run_disk(&self, storage: &RocksStorage) {
        self.disk.own();
        loop {
            let mut seat = self.driver.lock();
            let Some(driver) = seat.as_mut() else { break };
            let after = self.turn(driver);
            let (writes, stopped) = (std::mem::take(&mut driver.writes), driver.stopped());
            self.writing.store(!writes.is_empty(), Ordering::SeqCst);
            drop(seat);
            after.visit_others(self, 0);
            if !writes.is_empty() {
                self.write(storage, &writes);
            }
            if stopped {
                break;
            }
            if writes.is_empty() {
                // In this order: who found the seat taken by `has_writes` has put something in before.
                self.disk.sleep(None, || self.has_writes() || !self.inbox.is_empty());
            }
        }
        self.open.store(false, Ordering::Release);
        let driver = self.driver.lock().take();
        if let Some(mut driver) = driver {
            driver.fail_everybody(self.inbox.close());
        }
        self.clock.wake();
    }

    fn write(&self, storage: &RocksStorage, writes: &[WriteBatch]) {
        let mut inputs = Vec::new();
        for part in writes.chunk_by(within_limit()) {
            inputs.extend(write(storage, part));
        }
        let mut seat = self.driver.lock();
        // From here on visitors are let in again, as soon as the seat is free.
        self.writing.store(false, Ordering::SeqCst);
        if let Some(driver) = seat.as_mut() {
            for input in inputs {
                driver.input(input);
            }
        }
    }

    /// A turn by somebody else may have left writes. Whoever sits here now wakes us, if there are any.
    fn has_writes(&self) -> bool {
        let seat = self.driver.try_lock();
        seat.is_some_and(|seat| {
            seat.as_ref().is_none_or(|driver| driver.stopped() || !driver.writes.is_empty())
        })
    }

    /// The clock's thread: a turn whenever one is due. Runs until the driver is gone.
    pub fn run_clock(&self) {
        self.clock.own();
        loop {
            let mut seat = self.driver.lock();
            let Some(driver) = seat.as_mut() else { break };
            let after = self.turn(driver);
            let until = driver.set_clock();
            drop(seat);
            after.visit(self, 0);
            if !self.inbox.is_empty() {
                self.attend(true);
            }
            self.clock.sleep(Some(until), || false);
        }
    }
}

/// A peer in this process that something was put in for.
pub struct Called {
    /// Its seat.
    pub seat: Arc<Seat>,
    /// Whether the caller takes the turn.
    pub here: bool,
}

/// Who has to be looked after when a turn is over.
struct After {
    peers: Vec<Called>,
    disk: bool,
    clock: bool,
}

impl After {
    fn visit(self, seat: &Seat, depth: usize) {
        let disk = self.disk;
        self.visit_others(seat, depth);
        if disk {
            seat.disk.wake();
        }
    }

    fn visit_others(self, seat: &Seat, depth: usize) {
        if self.clock {
            seat.clock.wake();
        }
        for peer in self.peers {
            peer.seat.attend_at(peer.here, depth + 1);
        }
    }
}

/// Splits where the joined payload would pass the limit.
fn within_limit() -> impl FnMut(&WriteBatch, &WriteBatch) -> bool {
    let mut joined = 0;
    move |before: &WriteBatch, next: &WriteBatch| {
        joined += before.payload_bytes();
        let fits = joined + next.payload_bytes() <= MAX_JOINED_BYTES;
        joined = if fits { joined } else { 0 };
        fits
    }
}

/// Executes the batches; what the driver has to hear of it.
fn write<S: LogStorage>(storage: &S, batches: &[WriteBatch]) -> Option<Input> {
    let ticket = batches.last()?.ticket;
    Some(match storage.write(batches) {
        Ok(()) => Input::Persisted { ticket },
        Err(StorageError::Failed(reason)) => Input::StorageFailed { reason },
        Err(error) => Input::StorageFailed { reason: error.to_string() },
    })
}
