//! A fix as the 13 bytes that are sealed.
//!
//! ```text
//!  form u8 (1 heading, 2 speed, 4 accuracy, 8 battery) · latitude i32 · longitude i32
//!  · heading u8 · speed u8 · accuracy u8 · battery u8          0 where form says that it is absent
//! ```
//!
//! Always of one length: a blob's size must not tell whether somebody moves.

use skein_wire::point::{Accuracy, Fix, Heading, Position, Speed};

/// Bytes of a fix.
pub(crate) const FIX_BYTES: usize = 13;

/// The bytes of a fix.
pub(crate) fn encode(fix: &Fix) -> [u8; FIX_BYTES] {
    let values = [
        fix.heading.map(|heading| heading.0),
        fix.speed.map(|speed| speed.0),
        fix.accuracy.map(|accuracy| accuracy.0),
        fix.battery,
    ];
    let mut bytes = [0; FIX_BYTES];
    bytes[1..5].copy_from_slice(&fix.position.lat_e6.to_le_bytes());
    bytes[5..9].copy_from_slice(&fix.position.lon_e6.to_le_bytes());
    for (index, value) in values.into_iter().enumerate() {
        if let Some(value) = value {
            bytes[0] |= 1 << index;
            bytes[9 + index] = value;
        }
    }
    bytes
}

/// The fix of such bytes; `None` when they are none, or no place on earth.
pub(crate) fn decode(bytes: &[u8]) -> Option<Fix> {
    let bytes: &[u8; FIX_BYTES] = bytes.try_into().ok()?;
    let (form, [a, b, c, d, e, f, g, h, values @ ..]) = bytes.split_first()? else {
        return None;
    };
    let value = |index: usize| (form & (1 << index) != 0).then_some(values[index]);
    let position = Position {
        lat_e6: i32::from_le_bytes([*a, *b, *c, *d]),
        lon_e6: i32::from_le_bytes([*e, *f, *g, *h]),
    };
    let fix = Fix {
        position,
        heading: value(0).map(Heading),
        speed: value(1).map(Speed),
        accuracy: value(2).map(Accuracy),
        battery: value(3),
    };
    let is_sound = position.in_range() && fix.battery.is_none_or(|percent| percent <= 100);
    // One form only: unknown bits and bytes of what is absent are no fix.
    (is_sound && encode(&fix) == *bytes).then_some(fix)
}

#[cfg(test)]
mod tests {
    use skein_wire::point::{Accuracy, Fix, Heading, Position, Speed};

    use crate::seal::fix_bytes::{decode, encode};

    #[test]
    fn a_fix_survives_its_bytes_and_nothing_else_is_one() {
        let position = Position {
            lat_e6: -89_999_999,
            lon_e6: 179_999_999,
        };
        let bare = Fix {
            position,
            ..Fix::default()
        };
        let full = Fix {
            heading: Some(Heading(0)),
            speed: Some(Speed(255)),
            accuracy: Some(Accuracy(1)),
            battery: Some(100),
            ..bare
        };
        for fix in [bare, full] {
            assert_eq!(decode(&encode(&fix)), Some(fix));
        }
        let wrong = |index: usize, byte: u8| {
            let mut bytes = encode(&bare);
            bytes[index] = byte;
            bytes
        };
        assert_eq!(decode(&wrong(0, 16)), None, "unknown bits");
        assert_eq!(decode(&wrong(9, 1)), None, "a heading that is not there");
        assert_eq!(decode(&wrong(4, 0x7f)), None, "no place on earth");
        assert_eq!(decode(&encode(&full)[..12]), None, "cut off");
        let mut battery = encode(&full);
        battery[12] = 101;
        assert_eq!(decode(&battery), None, "a battery above 100 %");
    }
}
