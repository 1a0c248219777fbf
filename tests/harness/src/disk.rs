//! Disks that fail on purpose: a library before the C library makes calls on chosen files fail, in processes that are started with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fastkeep;

/// Errno of a failing device.
pub const EIO: i32 = 5;
/// Errno of a full one.
pub const ENOSPC: i32 = 28;

/// The library, and the file that tells it what fails now.
pub struct DiskFaults {
    library: PathBuf,
    faults: PathBuf,
}

impl DiskFaults {
    /// Compiled into `folder`.
    pub fn new(folder: &Path) -> Self {
        let library = folder.join("disk_faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/disk_faults.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .unwrap();
        assert!(compiled.success(), "the C compiler refused {}", source.display());
        Self { library, faults: folder.join("faults") }
    }

    /// The command with disks that can fail.
    pub fn under(&self, command: Fastkeep) -> Fastkeep {
        command
            .env("LD_PRELOAD", self.library.to_str().unwrap())
            .env("DISK_FAULTS", self.faults.to_str().unwrap())
    }

    /// From now on `call` (`sync` or `write`) fails so on files whose path has one of these parts.
    pub fn fail(&self, call: &str, errno: i32, parts: &[String]) {
        // Moved into place, so that a half written list is never read.
        let next = self.faults.with_extension("next");
        let lines: Vec<String> = parts.iter().map(|part| format!("{call} {errno} {part}\n")).collect();
        std::fs::write(&next, lines.concat()).unwrap();
        std::fs::rename(next, &self.faults).unwrap();
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        std::fs::remove_file(&self.faults).unwrap();
    }
}
