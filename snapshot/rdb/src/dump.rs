//! DUMP and RESTORE payloads: type byte, value, RDB version and CRC-64.

use proxy_store::types::{Limits, Value, image};

use crate::body;
use crate::codes::{VERSION, op};
use crate::collect::Whole;
use crate::crc64::crc64;
use crate::error::RdbError;
use crate::wire::{Input, MAX_STRING, Output};

/// Why a payload can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The footer is missing, names a newer version, or the checksum differs.
    #[error("DUMP payload version or checksum are wrong")]
    VersionOrChecksum,
    /// The footer is right but what it covers is not a value that is supported.
    #[error("Bad data format")]
    BadData,
}

/// The payload that DUMP answers.
pub fn dump(value: Value<'_>) -> Result<Vec<u8>, RdbError> {
    let mut out = Output::new(Vec::new());
    out.byte(body::type_of(value))?;
    body::write(&mut out, value)?;
    out.bytes(&(VERSION as u16).to_le_bytes())?;
    let checksum = out.checksum()?;
    out.bytes(&checksum.to_le_bytes())?;
    out.finish()
}

/// The payload that FUNCTION DUMP answers.
pub fn dump_functions<'a>(libraries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, RdbError> {
    let mut out = Output::new(Vec::new());
    for code in libraries {
        out.byte(op::FUNCTION2)?;
        out.string(code)?;
    }
    out.bytes(&(VERSION as u16).to_le_bytes())?;
    let checksum = out.checksum()?;
    out.bytes(&checksum.to_le_bytes())?;
    out.finish()
}

/// The code of the libraries in a payload of FUNCTION DUMP.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, RestoreError> {
    let covered = checked(payload)?;
    let mut input = Input::unpacking(covered, MAX_STRING);
    let mut libraries = Vec::new();
    let bad = |_| RestoreError::BadData;
    while !input.at_end().map_err(bad)? {
        if input.byte().map_err(bad)? != op::FUNCTION2 {
            return Err(RestoreError::BadData);
        }
        libraries.push(input.string().map_err(bad)?);
    }
    Ok(libraries)
}

/// The value in a payload, as an image for `Effect::Put`; the image is known to decode.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<Vec<u8>, RestoreError> {
    image_of(checked(payload)?, limits).ok_or(RestoreError::BadData)
}

/// What a payload's footer covers, without it.
fn checked(payload: &[u8]) -> Result<&[u8], RestoreError> {
    let (covered, checksum) = payload.split_last_chunk::<8>().ok_or(RestoreError::VersionOrChecksum)?;
    let (value, version) = covered.split_last_chunk::<2>().ok_or(RestoreError::VersionOrChecksum)?;
    let stored = u64::from_le_bytes(*checksum);
    // As in files, a checksum of zero means that its writer had checksums switched off.
    let right = stored == 0 || stored == crc64(covered);
    if u32::from(u16::from_le_bytes(*version)) > VERSION || !right {
        return Err(RestoreError::VersionOrChecksum);
    }
    Ok(value)
}

fn image_of(value: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let mut input = Input::unpacking(value, MAX_STRING);
    let code = input.byte().ok()?;
    let mut whole = Whole::default();
    body::read(&mut input, code, &mut whole).ok()??;
    if !input.at_end().ok()? {
        return None;
    }
    let bytes = whole.image()?;
    // Finds what the RDB form can hold and a value can't, such as a field that occurs twice.
    image::decode(&bytes, limits).ok()?;
    Some(bytes)
}
