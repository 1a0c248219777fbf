//! The roster as a replica last saw it, beside its identity: where a restart finds the others.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use logsvc_client::Roster;

const FILE: &str = "roster";

/// What was last written; none if nothing was, or nothing that can be read.
pub fn read(dir: &Path) -> Result<Option<Roster>, String> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => match Roster::decode(&bytes) {
            Some(roster) => Ok(Some(roster)),
            None => Err(format!(
                "{} is damaged; without it, log.replicas tells where the others are",
                path.display()
            )),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Replaces it; it is there whole or not at all.
pub fn write(dir: &Path, roster: &Roster) -> Result<(), String> {
    let write = || {
        fs::create_dir_all(dir)?;
        let temporary = dir.join("roster.new");
        let mut file = File::create(&temporary)?;
        file.write_all(roster.encode().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error: std::io::Error| format!("{}: {error}", dir.join(FILE).display()))
}
