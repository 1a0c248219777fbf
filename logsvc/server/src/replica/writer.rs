//! The replica's writer thread: takes all waiting batches, joins them into one synced write, reports how far it came.

use logsvc_raft::{Input, LogStorage, StorageError, WriteBatch};

use super::inbox::Inbox;
use super::message::Message;

/// Payload bytes joined into one write; one batch may be larger.
const MAX_JOINED_BYTES: usize = 8 << 20;

/// What the driver hands over.
pub enum Job {
    /// Execute this.
    Write(WriteBatch),
    /// End the thread.
    Stop,
}

/// Runs until `Job::Stop`.
pub fn run<S: LogStorage>(storage: &S, jobs: &Inbox<Job>, driver: &Inbox<Message>) {
    jobs.own();
    let (mut taken, mut batches, mut stop) = (Vec::new(), Vec::new(), false);
    while !stop {
        jobs.take(&mut taken, None, false);
        for job in taken.drain(..) {
            match job {
                Job::Write(batch) => batches.push(batch),
                Job::Stop => stop = true,
            }
        }
        for part in batches.chunk_by(within_limit()) {
            if let Some(input) = write(storage, part) {
                driver.push(Message::Input(input));
            }
        }
        batches.clear();
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
pub fn write<S: LogStorage>(storage: &S, batches: &[WriteBatch]) -> Option<Input> {
    let ticket = batches.last()?.ticket;
    Some(match storage.write(batches) {
        Ok(()) => Input::Persisted { ticket },
        Err(StorageError::Failed(reason)) => Input::StorageFailed { reason },
        Err(error) => Input::StorageFailed { reason: error.to_string() },
    })
}
