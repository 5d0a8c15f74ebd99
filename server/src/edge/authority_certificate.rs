//! Whether a certificate is one of an authority: `openssl req -x509` makes such ones unless told
//! otherwise, a server that shows it works, and no client with a library that looks takes it.

/// The extension `basicConstraints`, by its number.
const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];

/// The boolean "true".
const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// Whether it may sign others, by its DER: number, perhaps "critical", then a string of bytes that holds a
/// sequence that begins with "CA: true".
pub fn is_of_authority(der: &[u8]) -> bool {
    let place = der
        .windows(BASIC_CONSTRAINTS.len())
        .position(|bytes| bytes == BASIC_CONSTRAINTS);
    let Some(place) = place else {
        return false;
    };
    let value = &der[place + BASIC_CONSTRAINTS.len()..];
    let value = value.strip_prefix(&TRUE).unwrap_or(value);
    matches!(value, [0x04, _, 0x30, _, rest @ ..] if rest.starts_with(&TRUE))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use crate::edge::authority_certificate::is_of_authority;

    #[test]
    fn authorities_are_told_from_servers() {
        let unconstrained = BasicConstraints::Unconstrained;
        for (is_ca, expect) in [
            (IsCa::NoCa, false),
            (IsCa::ExplicitNoCa, false),
            (IsCa::Ca(unconstrained), true),
            (IsCa::Ca(BasicConstraints::Constrained(0)), true),
        ] {
            let pair = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            params.is_ca = is_ca;
            let made = params.self_signed(&pair).expect("a certificate");
            assert_eq!(is_of_authority(made.der()), expect, "{is_ca:?}");
        }
        assert!(!is_of_authority(b""));
        assert!(!is_of_authority(&[0x06, 0x03, 0x55, 0x1d, 0x13]));
    }
}
