//! The file that says whose disk this is: cluster, zone, node number, shards. Without it a folder counts as wiped.
//!
//! ```text
//!  0 4 magic "FKID"   4 2 version   6 2 node   8 8 cluster   16 4 shards   20 1 state   21 u16 + zone name   then CRC32C of all before
//! ```
//! Written to a temporary name, synced, renamed, and the folder synced: it is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use logsvc_raft::NodeNumber;

const FILE: &str = "identity";
const MAGIC: &[u8; 4] = b"FKID";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 23;

/// How far the forming of a cluster has come, as far as this disk is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// All others were seen empty; nothing was promised yet.
    Forming = 1,
    /// All others were seen to be forming at least: from now on an empty disk is a wiped one. The groups are being created.
    Founding = 2,
    /// The groups are on this disk. If they are missing later, the disk was wiped.
    Member = 3,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's number, drawn when it was formed.
    pub cluster: u64,
    /// This process's number in it.
    pub node: NodeNumber,
    /// Its availability zone.
    pub az: String,
    /// Shards of the log.
    pub shards: u32,
    /// See [`Stage`].
    pub stage: Stage,
}

impl Identity {
    /// Reads a folder's identity; none if there is no such file. Touches nothing.
    ///
    /// # Errors
    /// `InvalidData` when the file is damaged.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(FILE)) {
            Ok(bytes) => match Self::decode(&bytes) {
                Some(identity) => Ok(Some(identity)),
                None => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{} is damaged", dir.join(FILE).display()),
                )),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes it durably; creates the folder.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let temporary = dir.join("identity.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        sync_dir(dir)?;
        dir.parent().map_or(Ok(()), sync_dir)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + self.az.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.cluster.to_le_bytes());
        out.extend_from_slice(&self.shards.to_le_bytes());
        out.push(self.stage as u8);
        out.extend_from_slice(&(self.az.len() as u16).to_le_bytes());
        out.extend_from_slice(self.az.as_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(content) || !content.starts_with(MAGIC) {
            return None;
        }
        let number = |from: usize, to: usize| {
            let mut raw = [0; 8];
            raw.get_mut(..to - from)?.copy_from_slice(content.get(from..to)?);
            Some(u64::from_le_bytes(raw))
        };
        let zone = content.get(FIXED_BYTES..)?;
        if number(4, 6)? != u64::from(VERSION) || number(21, 23)? != zone.len() as u64 {
            return None;
        }
        let stage = match content.get(20)? {
            1 => Stage::Forming,
            2 => Stage::Founding,
            3 => Stage::Member,
            _ => return None,
        };
        Some(Self {
            cluster: number(8, 16)?,
            node: number(6, 8)? as NodeNumber,
            az: String::from_utf8(zone.to_vec()).ok()?,
            shards: number(16, 20)? as u32,
            stage,
        })
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() { File::open(".")?.sync_all() } else { File::open(dir)?.sync_all() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn is_read_back_only_intact() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: 77, node: 2, az: "az-b".into(), shards: 16, stage: Stage::Member };
        assert_eq!(Identity::read(dir.path()).unwrap(), None);
        identity.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity.clone()));
        let mut bytes = identity.encode();
        bytes[9] ^= 1;
        fs::write(dir.path().join(FILE), bytes).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
