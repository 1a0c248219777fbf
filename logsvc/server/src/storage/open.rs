//! Opening the database: its options, and errors that tell a lock from damage.

use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Options};

use super::keys;

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Bytes of entries kept in memory before they are written to a table file.
    pub write_buffer_bytes: usize,
    /// Background threads for flushes and compactions.
    pub background_jobs: i32,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { write_buffer_bytes: 64 << 20, background_jobs: 2 }
    }
}

/// Why a database could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// Its files are damaged.
    #[error("the log's database is damaged: {0}")]
    Corrupt(String),
    /// Anything else.
    #[error("the log's database can't be opened: {0}")]
    Failed(String),
}

pub(super) fn open(path: &Path, config: &StorageConfig) -> Result<DB, OpenError> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    super::wal_tail::settle(path)?;
    // A torn write at the end is a crash and cut off; damage further inside is an error, never a silent end of the log.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_max_background_jobs(config.background_jobs);
    options.set_bytes_per_sync(1 << 20);
    options.set_paranoid_checks(true);
    options.set_keep_log_file_num(4);
    options.set_max_open_files(512);
    options.set_max_total_wal_size(4 * config.write_buffer_bytes as u64);
    // A finished WAL file that is missing or too short is damage, not an end of the log.
    options.set_track_and_verify_wals_in_manifest(true);
    // One writer thread: the machinery for concurrent writers only costs.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    let families = [
        ColumnFamilyDescriptor::new(keys::LOG, log_options(config)),
        ColumnFamilyDescriptor::new(keys::META, meta_options()),
    ];
    DB::open_cf_descriptors(&options, path, families).map_err(|error| classify(path, &error))
}

/// Whether a database lies in `path` whose WAL files are all gone, though it always has one that it writes to. RocksDB would
/// open it without a word, and the replica would vote having forgotten what it promised.
pub fn has_lost_its_wal(path: &Path) -> std::io::Result<bool> {
    if !path.join("CURRENT").exists() {
        return Ok(false);
    }
    for entry in std::fs::read_dir(path)? {
        if Path::new(&entry?.file_name()).extension().is_some_and(|extension| extension == "log") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Entries are written once, read in order and deleted from the front: few compactions.
fn log_options(config: &StorageConfig) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(config.write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_target_file_size_base(64 << 20);
    options.set_level_zero_file_num_compaction_trigger(8);
    options.set_level_zero_slowdown_writes_trigger(64);
    options.set_level_zero_stop_writes_trigger(128);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn meta_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(8 << 20);
    options
}

/// Keeps a replica's damaged database for inspection, in `db.damaged` of its folder, so that it can begin anew.
pub fn set_aside(dir: &Path, reason: &str) -> std::io::Result<()> {
    tracing::error!(dir = %dir.display(), reason, "this replica's database is damaged; rebuilding it from the others");
    crate::metric_names::corrupt_block();
    let aside = dir.join("db.damaged");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(dir.join("db"), aside)
}

fn classify(path: &Path, error: &rocksdb::Error) -> OpenError {
    let text = error.to_string();
    if text.contains("lock") && text.contains("LOCK") {
        return OpenError::Locked(path.display().to_string());
    }
    match error.kind() {
        rocksdb::ErrorKind::Corruption => OpenError::Corrupt(text),
        _ => OpenError::Failed(text),
    }
}
