//! One process for each data folder: an advisory lock on a file in it, held until the process ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use fs2::FileExt;

/// Holds the folder. The lock goes with the process, also after `kill -9`.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Creates the folder if needed and takes it for this process.
///
/// # Errors
/// Says who else may hold it, or why the folder cannot be used.
pub fn lock(folder: &Path) -> Result<DataLock, String> {
    let shown = folder.display();
    std::fs::create_dir_all(folder).map_err(|e| format!("cannot create the data folder {shown}: {e}"))?;
    let path = folder.join("LOCK");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    match file.try_lock_exclusive() {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            let holder = holder.trim();
            let process = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            return Err(format!(
                "the data folder {shown} is in use by another fastkeep{process}; stop it or choose another folder with --data"
            ));
        }
        Err(e) => return Err(format!("cannot lock {}: {e}", path.display())),
    }
    // The process number is only a help for the reader of the refusal above.
    let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(DataLock { _file: file })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::lock;

    #[test]
    fn a_second_holder_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let refused = lock(folder.path()).unwrap_err();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        lock(folder.path()).unwrap();
    }
}
