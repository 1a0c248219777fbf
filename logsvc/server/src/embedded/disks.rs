//! What is on the disks of an embedded log, and what follows from it: form a cluster, go on, rebuild one replica, or refuse.
//!
//! | folders without data | what happens |
//! | --- | --- |
//! | all | a new cluster is formed |
//! | none | it goes on |
//! | a minority | those come back under new identities, taken in by the others |
//! | more | refused; nothing is touched |

use std::fs::{self, File};
use std::path::PathBuf;

use fs2::FileExt;
use logsvc_raft::NodeNumber;

use super::EmbeddedConfig;
use crate::StartError;
use crate::identity::{Identity, Stage};
use crate::replica::Birth;
use crate::storage::{OpenError, RocksStorage, StorageConfig};

/// The examined folders; holds the lock on them.
#[derive(Debug)]
pub struct Disks {
    dir: PathBuf,
    zones: Vec<String>,
    identities: Vec<Identity>,
    births: Vec<Birth>,
    _lock: File,
}

impl Disks {
    /// Looks at all folders, decides, and only then writes.
    pub fn examine(config: &EmbeddedConfig) -> Result<Self, StartError> {
        if config.zones.is_empty() || config.shards == 0 {
            return Err(StartError::Mismatch("the log needs at least one zone and one shard".into()));
        }
        let found: Vec<Option<Identity>> =
            config.zones.iter().map(|az| look(&config.dir.join(az))).collect::<Result<_, _>>()?;
        let formed = found.iter().flatten().any(|identity| identity.stage >= Stage::Founding);
        let known = found.iter().flatten().next().filter(|_| formed).cloned();
        if let Some(known) = &known {
            check_settings(config, known, &found)?;
        }
        let lock = lock(&config.dir)?;
        let cluster = known.map_or_else(|| rand::random::<u64>().max(1), |known| known.cluster);
        let mut disks = Self {
            dir: config.dir.clone(),
            zones: config.zones.clone(),
            identities: Vec::new(),
            births: Vec::new(),
            _lock: lock,
        };
        for (number, (az, found)) in (1..).zip(config.zones.iter().zip(found)) {
            let fresh = Identity {
                cluster,
                node: number,
                az: az.clone(),
                shards: config.shards,
                stage: Stage::Forming,
            };
            let (identity, birth) = match found {
                Some(found) if formed && found.stage == Stage::Member => (found, Birth::Joining),
                Some(found) if formed => (found, Birth::Founding),
                None if formed => {
                    tracing::warn!(
                        az,
                        "this zone's data is gone; its replica is rebuilt under a new identity"
                    );
                    (Identity { stage: Stage::Member, ..fresh }, Birth::Joining)
                }
                _ => (fresh, Birth::Founding),
            };
            disks.identities.push(identity);
            disks.births.push(birth);
        }
        disks.write_all()?;
        disks.settle(Stage::Founding)?;
        Ok(disks)
    }

    /// Raises every folder to at least this stage.
    pub fn settle(&mut self, stage: Stage) -> Result<(), StartError> {
        for identity in self.identities.iter_mut().filter(|identity| identity.stage < stage) {
            identity.stage = stage;
            identity.write(&self.dir.join(&identity.az))?;
        }
        Ok(())
    }

    fn write_all(&self) -> Result<(), StartError> {
        for identity in &self.identities {
            let dir = self.dir.join(&identity.az);
            if read_identity(&dir)?.as_ref() != Some(identity) {
                identity.write(&dir)?;
            }
        }
        Ok(())
    }

    /// The cluster's number.
    pub fn cluster(&self) -> u64 {
        self.identities.first().map_or(0, |identity| identity.cluster)
    }

    /// A replica's folder.
    pub fn dir(&self, number: NodeNumber) -> PathBuf {
        let az = self.zones.get(usize::from(number).saturating_sub(1));
        self.dir.join(az.map_or("", String::as_str))
    }

    /// How a replica's missing groups begin.
    pub fn birth(&self, number: NodeNumber) -> Birth {
        self.births.get(usize::from(number).saturating_sub(1)).copied().unwrap_or(Birth::Joining)
    }

    /// Keeps a damaged database for inspection and lets the replica start as a wiped one, if all others have intact ones.
    /// Those of a higher number are not open yet.
    pub fn set_aside(
        &mut self,
        number: NodeNumber,
        reason: &str,
        storage: &StorageConfig,
    ) -> Result<(), StartError> {
        let mut useless = vec![format!("{} ({reason})", self.dir(number).display())];
        for other in (1..).take(self.zones.len()).filter(|other| *other != number) {
            let database = self.dir(other).join("db");
            if !database.join("CURRENT").exists() {
                useless.push(format!("{} (no data)", self.dir(other).display()));
            } else if other > number
                && let Err(OpenError::Corrupt(reason)) = RocksStorage::open(&database, storage)
            {
                useless.push(format!("{} ({reason})", self.dir(other).display()));
            }
        }
        if useless.len() > 1 {
            return Err(StartError::TooManyDamaged { useless });
        }
        crate::storage::set_aside(&self.dir(number), reason)?;
        if let Some(birth) = self.births.get_mut(usize::from(number).saturating_sub(1)) {
            *birth = Birth::Joining;
        }
        Ok(())
    }
}

/// The identity in a folder; none if the folder is wiped, or only its database is.
fn look(dir: &std::path::Path) -> Result<Option<Identity>, StartError> {
    let database = dir.join("db").join("CURRENT").exists();
    Ok(read_identity(dir)?.filter(|identity| identity.stage < Stage::Member || database))
}

/// A damaged identity file can't be told from a wrong one: that is for a person to decide.
fn read_identity(dir: &std::path::Path) -> Result<Option<Identity>, StartError> {
    Identity::read(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => StartError::Corrupt(error.to_string()),
        _ => StartError::Failed(format!("{}: {error}", dir.display())),
    })
}

fn check_settings(
    config: &EmbeddedConfig,
    known: &Identity,
    found: &[Option<Identity>],
) -> Result<(), StartError> {
    let wiped = |(az, found): (&String, &Option<Identity>)| {
        found.is_none().then(|| config.dir.join(az).display().to_string())
    };
    let wiped: Vec<String> = config.zones.iter().zip(found).filter_map(wiped).collect();
    if wiped.len() * 2 >= config.zones.len() {
        return Err(StartError::TooManyWiped { wiped });
    }
    if known.shards != config.shards {
        let text = format!("the log was created with {} shards, not {}", known.shards, config.shards);
        return Err(StartError::Mismatch(text));
    }
    for (number, (az, identity)) in (1..).zip(config.zones.iter().zip(found)) {
        let Some(identity) = identity else { continue };
        if identity.cluster != known.cluster || identity.node != number || identity.az != *az {
            let text = format!("{} belongs to another log or zone", config.dir.join(az).display());
            return Err(StartError::Mismatch(text));
        }
    }
    Ok(())
}

fn lock(dir: &std::path::Path) -> Result<File, StartError> {
    fs::create_dir_all(dir)?;
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("LOCK"))?;
    file.try_lock_exclusive().map_err(|_| StartError::Locked(dir.display().to_string()))?;
    Ok(file)
}
