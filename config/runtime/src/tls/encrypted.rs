//! Private keys under a passphrase: PKCS#8, PBES2, as OpenSSL has written them since 1.1.

use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// What OpenSSL wrote of old inside other kinds of keys.
const OLD: &str = "Proc-Type: 4,ENCRYPTED";
/// Limits of what a file may have us work; keys take a small part of it.
const MAX_ROUNDS: u32 = 2_000_000;
const MAX_MEMORY: u64 = 128 << 20;

/// The key of a PEM file, opened. `None` if it holds no encrypted one.
///
/// # Errors
/// Says what is wrong with it, or with the passphrase, but not in whose file.
pub fn key(pem: &[u8], pass: &str) -> Option<Result<PrivateKeyDer<'static>, String>> {
    let text = String::from_utf8_lossy(pem);
    let Some(begin) = text.find(BEGIN) else {
        let how =
            "is encrypted in OpenSSL's old form; `openssl pkcs8 -topk8` writes the one that can be used";
        return text.contains(OLD).then(|| Err(how.to_owned()));
    };
    let rest = &text[begin..];
    let end = rest.find(END).map_or(rest.len(), |end| end + END.len());
    Some(open(&rest[..end], pass))
}

fn open(pem: &str, pass: &str) -> Result<PrivateKeyDer<'static>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("its encrypted key cannot be read: {error}");
    if pass.is_empty() {
        return Err("holds an encrypted key, and there is no passphrase for it".to_owned());
    }
    let (_, document) = SecretDocument::from_pem(pem).map_err(|error| broken(&error))?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| broken(&error))?;
    let works = match &info.encryption_algorithm {
        EncryptionScheme::Pbes2(scheme) => match &scheme.kdf {
            Kdf::Pbkdf2(how) => how.iteration_count <= MAX_ROUNDS,
            Kdf::Scrypt(how) => {
                let memory = how.cost_parameter.saturating_mul(128 * u64::from(how.block_size));
                // Any other number is none that the crate works with.
                how.cost_parameter.is_power_of_two()
                    && memory.saturating_mul(u64::from(how.parallelization)) <= MAX_MEMORY
            }
            _ => true,
        },
        _ => true,
    };
    if !works {
        return Err("its encrypted key takes more work to open than any key should".to_owned());
    }
    let opened = info.decrypt(pass).map_err(|error| {
        format!("its encrypted key is not opened by the passphrase, or encrypted in another way than PBES2 with AES: {error}")
    })?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    // One key, as `openssl pkcs8 -topk8` 3.0 wrote it: plain, with -v2 aes-256-cbc, with -scrypt; the passphrase is `sesame`.
    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9WKoReujwPJc3+B9\n\
ye/aRDWq6CNpXaj8mBUXGgzGsQyhRANCAAQsqiX0S9c8zb0bu2rMiPBhwhhSFakk\n\
ii3rSgxeKuOMComk/mk3MBKNysI3Z6flhUiIZg6F4O7Ckgg+pqn7G0VF\n\
-----END PRIVATE KEY-----";
    const PBKDF2: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgKixugXkaAHQICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFjXPR7PQ50o4PHbxUmuz6AEgZD3\n\
9g8uCGI0l5ZvNKFPwbpbv568H1IupzGOT3D+68itwMFzroXgWiebc6j8g0LBtqeV\n\
ZgKSMsybh7z3jJySZt3eFYow1gm/NG64/ApXdztFOaAdgKqAGxY8ABUNWgQ9+G2E\n\
fJFEYZ0P/ykPbJkm+8du9rbLV6V19kAdqZRF/Dff2G5ti/QOetJthRjhrNwMFeI=\n\
-----END ENCRYPTED PRIVATE KEY-----";
    const SCRYPT: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAjjCpLh0uTkfgICQAAC\n\
AQgCAQEwHQYJYIZIAWUDBAEqBBDZUMaAC9Uq44yv55FslqoWBIGQJeAMrTlhCFVv\n\
6qGgjoffKUP8+BQrM7XLLcF/XE5hcP5ZrH7Tn5imHyUvJ7vAeC/qK9Ud/+pB1H0k\n\
BGW8gN3ZCJKBb3h1ktLth8/NaDRkiIuHSBDRyInT1CY60MNbRmcLdk60YgNv2wdQ\n\
TicwF78NOp2w1+sjgtFJrk06xTkynxep7Tk709bDzY4Lxkc9dHV8\n\
-----END ENCRYPTED PRIVATE KEY-----";

    fn why(pem: &str, pass: &str) -> String {
        key(pem.as_bytes(), pass).unwrap().unwrap_err()
    }

    #[test]
    fn what_openssl_encrypts_is_opened() {
        let plain = PrivateKeyDer::from_pem_slice(PLAIN.as_bytes()).unwrap();
        for encrypted in [PBKDF2, SCRYPT] {
            // Among other things in one file, too.
            let file = format!("{PLAIN}\nsome words\n{encrypted}\n{PLAIN}");
            assert_eq!(key(file.as_bytes(), "sesame").unwrap().unwrap(), plain);
        }
        assert!(key(PLAIN.as_bytes(), "sesame").is_none());
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        assert!(why(PBKDF2, "").contains("there is no passphrase"));
        assert!(why(PBKDF2, "Sesame").contains("not opened by the passphrase"));
        let old =
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nfRo2\n";
        assert!(why(old, "sesame").contains("openssl pkcs8 -topk8"));
        // Cut off or damaged anywhere: an answer, whatever it is.
        for at in 0..PBKDF2.len() {
            let _ = key(&PBKDF2.as_bytes()[..at], "sesame");
            let mut damaged = PBKDF2.as_bytes().to_vec();
            damaged[at] ^= 3;
            let _ = key(&damaged, "sesame");
        }
        // A cost that is no power of two; blocks that take more memory than a key may.
        for (from, to) in [("gICQAAC", "gICf/8C"), ("AQgC", "AX8C")] {
            let greedy = SCRYPT.replace(from, to);
            assert_ne!(greedy, SCRYPT);
            assert!(why(&greedy, "sesame").contains("more work"));
        }
    }
}
