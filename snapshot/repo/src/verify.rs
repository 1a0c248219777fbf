//! Verification: reads a snapshot back from the store, all of it or what is new in it.

use proxy_store::Position;

use crate::error::RepoError;
use crate::layout;
use crate::manifest::{Segment, hex64};
use crate::repository::{Repository, blocking};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    pub position: Position,
    /// Segments read back.
    pub segments: u64,
    pub bytes: u64,
    pub keys: u64,
    /// One line for each thing that is wrong, naming the object. Empty: the snapshot is good.
    pub problems: Vec<String>,
}

impl Repository {
    /// Reads back every segment of a snapshot: size, SHA-256, RDB structure of every value, slots, counts, CRC-64.
    ///
    /// What is wrong with the snapshot stands in the report; an error means that it could not be found out.
    pub async fn verify(&self, shard: u32, position: Position) -> Result<VerifyReport, RepoError> {
        let manifest = self.manifest(shard, position).await?;
        self.verify_where(position, &manifest.segments, |_| true).await
    }

    /// Reads back those of `segments` that were written for the snapshot at `position`, published or not. Those taken
    /// over from an earlier one were read back then; of them only presence and size are checked.
    pub async fn verify_new(
        &self,
        shard: u32,
        position: Position,
        segments: &[Segment],
    ) -> Result<VerifyReport, RepoError> {
        let own = |segment: &Segment| {
            layout::parse(shard, &segment.object).is_some_and(|(written, _)| written == position)
        };
        self.verify_where(position, segments, own).await
    }

    async fn verify_where(
        &self,
        position: Position,
        segments: &[Segment],
        whole: impl Fn(&Segment) -> bool,
    ) -> Result<VerifyReport, RepoError> {
        let mut report = VerifyReport { position, ..VerifyReport::default() };
        for segment in segments {
            let result = if whole(segment) {
                report.segments += 1;
                report.bytes += segment.bytes;
                report.keys += segment.keys;
                self.check_segment(segment).await
            } else {
                self.check_size(segment).await
            };
            match result {
                Ok(()) => {}
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        Ok(report)
    }

    async fn check_segment(&self, segment: &Segment) -> Result<(), RepoError> {
        let wrong = |what: String| RepoError::Segment { path: segment.object.clone(), what };
        let file = self.read_segment(segment).await?;
        let slots = segment.slots();
        let (file, checked) = blocking(move || {
            let checked = snapshot_rdb::check(&file[..], slots);
            (file, checked)
        })
        .await?;
        let checked = checked.map_err(|error| wrong(error.to_string()))?;
        if (checked.keys, checked.expires) != (segment.keys, segment.expires) {
            let (keys, expires) = (checked.keys, checked.expires);
            return Err(wrong(format!(
                "it holds {keys} keys, {expires} with expiry, not as the manifest says"
            )));
        }
        let crc = file.last_chunk::<8>().map(|crc| hex64(u64::from_le_bytes(*crc)));
        if crc.as_ref() != Some(&segment.crc64) {
            return Err(wrong("its CRC-64 is not the manifest's".into()));
        }
        Ok(())
    }

    async fn check_size(&self, segment: &Segment) -> Result<(), RepoError> {
        let wrong = |what: String| RepoError::Segment { path: segment.object.clone(), what };
        match self.objects.size(&segment.object).await {
            Ok(bytes) if bytes == segment.bytes => Ok(()),
            Ok(bytes) => Err(wrong(format!("it has {bytes} bytes, the manifest says {}", segment.bytes))),
            Err(RepoError::NotFound { .. }) => Err(wrong("it is missing".into())),
            Err(error) => Err(error),
        }
    }
}
