//! Until when a certificate holds: the one thing in it that we read ourselves, for the metric and the warning.
//!
//! A certificate is DER: a sequence whose first element holds version, serial number, algorithm, issuer, validity, in this
//! order. Validity is two times, as text.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Unix seconds at which a DER certificate ends; none if it is no certificate.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, outer, _) = element(certificate, SEQUENCE)?;
    let (_, mut inside, _) = element(outer, SEQUENCE)?;
    if inside.first() == Some(&VERSION) {
        inside = next(inside)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        inside = next(inside)?.2;
    }
    let (_, validity, _) = element(inside, SEQUENCE)?;
    let (_, _, after_first) = next(validity)?;
    let (kind, text, _) = next(after_first)?;
    seconds(kind, text)
}

fn element(bytes: &[u8], kind: u8) -> Option<(u8, &[u8], &[u8])> {
    next(bytes).filter(|(found, _, _)| *found == kind)
}

/// Kind, content, and what comes behind the first element.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (first as usize, rest)
    } else {
        // Four bytes of length at most: longer is no certificate.
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((kind, content, behind))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn seconds(kind: u8, text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z")?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = text.split_at_checked(match kind {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let year = match (kind, number(year)) {
        (UTC_TIME, year) if year < 50 => 2000 + year,
        (UTC_TIME, year) => 1900 + year,
        (_, year) => year,
    };
    let parts: Vec<i64> = rest.chunks_exact(2).map(number).collect();
    let &[month @ 1..=12, day @ 1..=31, hour, minute, second] = parts.as_slice() else { return None };
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin with March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{days, not_after};

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2100, 1, 1), 47_482);
    }

    #[test]
    fn the_end_of_a_certificate_is_found_and_garbage_has_none() {
        for (year, expected) in [(2049, 2_493_072_000), (2100, 4_102_444_800)] {
            let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let der = params.self_signed(&key).unwrap().der().to_vec();
            assert_eq!(not_after(&der), Some(expected));
            for cut in 0..der.len().min(200) {
                // Anything but a panic.
                let _ = not_after(&der[..cut]);
                let _ = not_after(&der[cut..]);
            }
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
    }
}
