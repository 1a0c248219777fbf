//! Redis parameters in files: what CONFIG REWRITE keeps in the data folder, and a redis.conf that is given.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const KEPT: &str = "parameters.conf";

/// Keeps the text over a crash: written beside, synced, then put in place.
///
/// # Errors
/// What the file system says.
pub fn keep(data: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = data.join(format!("{KEPT}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, data.join(KEPT))?;
    File::open(data)?.sync_all()
}

/// What the proxy is to start with: the given redis.conf, then what was kept, which outranks it.
///
/// # Errors
/// Names the file that can't be read.
pub fn given(redis_conf: &str, data: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut texts = Vec::new();
    if !redis_conf.is_empty() {
        let text = fs::read(redis_conf).map_err(|error| format!("redis_conf: {redis_conf}: {error}"))?;
        texts.push((redis_conf.to_owned(), text));
    }
    let kept = data.join(KEPT);
    match fs::read(&kept) {
        Ok(text) => texts.push((kept.display().to_string(), text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", kept.display())),
    }
    Ok(texts)
}
