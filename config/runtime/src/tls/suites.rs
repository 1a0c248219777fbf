//! Cipher suites by OpenSSL's names, as Redis's `tls-ciphers` (TLSv1.2) and `tls-ciphersuites` (TLSv1.3) give them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite as suite;
use rustls::{CipherSuite, SupportedCipherSuite};

use super::material;

const TLS12: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];
const TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// The cryptography of connections that use these suites, in this order; empty = all of that version.
///
/// # Errors
/// Names the word that is no suite, and those that are.
pub fn provider(ciphers: &str, ciphersuites: &str) -> Result<Arc<CryptoProvider>, String> {
    let all = material::provider();
    if ciphers.is_empty() && ciphersuites.is_empty() {
        return Ok(all);
    }
    let mut chosen = named("tls-ciphersuites", ciphersuites, &TLS13)?;
    chosen.extend(named("tls-ciphers", ciphers, &TLS12)?);
    Ok(Arc::new(CryptoProvider { cipher_suites: chosen, ..(*all).clone() }))
}

fn named(
    setting: &str,
    list: &str,
    known: &[(&str, SupportedCipherSuite)],
) -> Result<Vec<SupportedCipherSuite>, String> {
    if list.is_empty() {
        return Ok(known.iter().map(|(_, suite)| *suite).collect());
    }
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let (_, suite) = found.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!(
                "{setting}: `{word}` is none of the suites that are offered, by name: {}",
                names.join(":")
            )
        })?;
        if !chosen.iter().any(|one| id(one) == id(suite)) {
            chosen.push(*suite);
        }
    }
    Ok(chosen)
}

fn id(suite: &SupportedCipherSuite) -> CipherSuite {
    suite.suite()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn suites_are_taken_in_the_order_of_their_names() {
        let all = provider("", "").unwrap().cipher_suites.len();
        assert_eq!(all, TLS12.len() + TLS13.len(), "every suite that there is has a name here");
        let some =
            provider("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", "tls_aes_128_gcm_sha256");
        let ids: Vec<CipherSuite> = some.unwrap().cipher_suites.iter().map(id).collect();
        assert_eq!(
            ids,
            [
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
            ]
        );
        for wrong in ["DEFAULT:!MEDIUM", "AES128-SHA"] {
            let why = provider(wrong, "").unwrap_err();
            assert!(why.contains("tls-ciphers") && why.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{why}");
        }
    }
}
