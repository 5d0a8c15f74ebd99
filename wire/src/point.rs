//! A point: one fix, or a sealed blob, with the sender's counter and time.
//!
//! Positions are whole 1e-6 degrees (0.11 m), quantised once by the sender, exact from then on.
//! Heading, speed, accuracy and battery are one byte each on scales given here.

use bytes::Bytes;

use crate::error::{Code, WireError};
use crate::ids::Counter;
use crate::limits::{
    CAPTURED_AT_MS_MAX, CAPTURED_AT_MS_MIN, LAT_E6_MAX, LON_E6_MAX, SEALED_BYTES_MAX,
};

/// A geographic position in 1e-6 degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Latitude, -90,000,000 to 90,000,000.
    pub lat_e6: i32,
    /// Longitude, -180,000,000 to 180,000,000.
    pub lon_e6: i32,
}

impl Position {
    /// From degrees, rounded to the nearest 1e-6.
    ///
    /// # Errors
    /// `bad_point` for NaN, infinity and values out of range.
    pub fn from_degrees(lat: f64, lon: f64) -> Result<Self, WireError> {
        if !lat.is_finite() || !lon.is_finite() || lat.abs() > 90.0 || lon.abs() > 180.0 {
            return Err(WireError::of(Code::BadPoint));
        }
        Ok(Self {
            lat_e6: (lat * 1e6).round() as i32,
            lon_e6: (lon * 1e6).round() as i32,
        })
    }

    /// Latitude in degrees.
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e6) / 1e6
    }

    /// Longitude in degrees.
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e6) / 1e6
    }

    /// Whether both coordinates are within range.
    pub fn in_range(self) -> bool {
        // Not by `abs`: the least i32 has none.
        (-LAT_E6_MAX..=LAT_E6_MAX).contains(&self.lat_e6)
            && (-LON_E6_MAX..=LON_E6_MAX).contains(&self.lon_e6)
    }
}

/// Heading in 256ths of a full turn, clockwise from north.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heading(pub u8);

impl Heading {
    /// From degrees (any finite number of turns); `None` for NaN and infinity.
    pub fn from_degrees(degrees: f64) -> Option<Self> {
        degrees
            .is_finite()
            .then(|| Self((degrees.rem_euclid(360.0) * 256.0 / 360.0).round() as u16 as u8))
    }
    /// Degrees, 0 to 358.6.
    pub fn degrees(self) -> f64 {
        f64::from(self.0) * 360.0 / 256.0
    }
}

/// Speed on a logarithmic scale: `v = 0.05 * (e^(code/30) - 1)` m/s: 0 to 245 m/s, 3.4 % a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Speed(pub u8);

impl Speed {
    /// From metres per second; `None` when negative or not a number. Clamped above.
    pub fn from_mps(mps: f64) -> Option<Self> {
        (mps >= 0.0).then(|| Self(log_code(mps, 0.05)))
    }
    /// Metres per second.
    pub fn mps(self) -> f64 {
        log_value(self.0, 0.05)
    }
}

/// Accuracy radius on a logarithmic scale: `r = 0.5 * (e^(code/30) - 1)` m: 0 to 2.4 km, 3.4 % a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accuracy(pub u8);

impl Accuracy {
    /// From metres; `None` when negative or not a number. Clamped above.
    pub fn from_metres(metres: f64) -> Option<Self> {
        (metres >= 0.0).then(|| Self(log_code(metres, 0.5)))
    }
    /// Metres.
    pub fn metres(self) -> f64 {
        log_value(self.0, 0.5)
    }
}

/// Steps per factor of e on the logarithmic scales.
const LOG_STEPS: f64 = 30.0;

fn log_code(value: f64, unit: f64) -> u8 {
    // `as` saturates: everything above the scale is its last step.
    ((value / unit).ln_1p() * LOG_STEPS).round() as u8
}

fn log_value(code: u8, unit: f64) -> f64 {
    unit * (f64::from(code) / LOG_STEPS).exp_m1()
}

/// One fix as reported by a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// Where.
    pub position: Position,
    /// Direction of travel.
    pub heading: Option<Heading>,
    /// Speed over ground.
    pub speed: Option<Speed>,
    /// Radius of the reported accuracy.
    pub accuracy: Option<Accuracy>,
    /// Battery level in percent, 0 to 100.
    pub battery: Option<u8>,
}

/// What a point carries: a fix that the server can read, or a blob that it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A plain fix.
    Fix(Fix),
    /// An end-to-end encrypted blob; the server relays and orders it.
    Sealed(Bytes),
}

/// One point of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The sender's count within the session; starts at 1.
    pub counter: Counter,
    /// Device time, milliseconds since 1970; shown, never believed.
    pub captured_at_ms: i64,
    /// The fix or the blob.
    pub payload: Payload,
}

impl Point {
    /// Checks ranges; what passes here can be stored and sent.
    ///
    /// # Errors
    /// `bad_point` for a counter of 0, values out of range or an empty or oversized blob;
    /// `no_fix` for (0,0) without accuracy.
    pub fn check(&self) -> Result<(), WireError> {
        let time_ok = (CAPTURED_AT_MS_MIN..=CAPTURED_AT_MS_MAX).contains(&self.captured_at_ms);
        if self.counter.0 == 0 || self.counter.0 > crate::varint::MAX || !time_ok {
            return Err(WireError::of(Code::BadPoint));
        }
        match &self.payload {
            Payload::Sealed(blob) if blob.is_empty() || blob.len() > SEALED_BYTES_MAX => {
                Err(WireError::of(Code::BadPoint))
            }
            Payload::Sealed(_) => Ok(()),
            Payload::Fix(fix) => fix.check(),
        }
    }
}

impl Fix {
    fn check(&self) -> Result<(), WireError> {
        if !self.position.in_range() || self.battery.is_some_and(|percent| percent > 100) {
            return Err(WireError::of(Code::BadPoint));
        }
        if self.position == Position::default() && self.accuracy.is_none() {
            return Err(WireError::of(Code::NoFix));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::error::Code;
    use crate::ids::Counter;
    use crate::limits::{CAPTURED_AT_MS_MAX, CAPTURED_AT_MS_MIN, SEALED_BYTES_MAX};
    use crate::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};

    fn verdict(counter: u64, captured_at_ms: i64, payload: Payload) -> Option<Code> {
        let point = Point {
            counter: Counter(counter),
            captured_at_ms,
            payload,
        };
        point.check().err().map(|error| error.code)
    }

    fn fix(lat_e6: i32, lon_e6: i32) -> Fix {
        Fix {
            position: Position { lat_e6, lon_e6 },
            ..Fix::default()
        }
    }

    #[test]
    fn a_bad_point_has_its_verdict() {
        let good = || Payload::Fix(fix(1, 1));
        assert_eq!(verdict(1, CAPTURED_AT_MS_MIN, good()), None);
        assert_eq!(verdict(1, CAPTURED_AT_MS_MAX, good()), None);
        let no_fix = Payload::Fix(fix(0, 0));
        assert_eq!(verdict(1, 0, no_fix), Some(Code::NoFix));
        let battery = Some(101);
        for (counter, time, payload) in [
            (0, 0, good()),
            (1 << 62, 0, good()),
            (1, CAPTURED_AT_MS_MIN - 1, good()),
            (1, CAPTURED_AT_MS_MAX + 1, good()),
            (1, 0, Payload::Fix(fix(90_000_001, 0))),
            (1, 0, Payload::Fix(fix(0, -180_000_001))),
            (1, 0, Payload::Fix(fix(i32::MIN, 0))),
            (
                1,
                0,
                Payload::Fix(Fix {
                    battery,
                    ..fix(1, 1)
                }),
            ),
            (1, 0, Payload::Sealed(Bytes::new())),
            (1, 0, Payload::Sealed(vec![0; SEALED_BYTES_MAX + 1].into())),
        ] {
            let text = format!("{counter} {time} {payload:?}");
            assert_eq!(
                verdict(counter, time, payload),
                Some(Code::BadPoint),
                "{text}"
            );
        }
    }

    #[test]
    fn degrees_that_are_no_place_are_refused() {
        for (lat, lon) in [
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
            (90.1, 0.0),
            (0.0, -180.1),
        ] {
            assert!(Position::from_degrees(lat, lon).is_err());
        }
        let place = Position::from_degrees(-89.999_999_6, 179.123_456_4).expect("a place");
        assert_eq!((place.lat_e6, place.lon_e6), (-90_000_000, 179_123_456));
    }

    #[test]
    fn scales_of_one_byte_err_by_half_a_step_at_most() {
        assert_eq!(Heading::from_degrees(-90.0), Heading::from_degrees(270.0));
        assert_eq!(Heading::from_degrees(359.9), Some(Heading(0)));
        assert_eq!(Speed::from_mps(-0.1), None);
        assert_eq!(Accuracy::from_metres(f64::NAN), None);
        assert_eq!(Speed::from_mps(1e9), Some(Speed(255)));
        for metres in [0.5, 1.0, 5.0, 30.0, 1_000.0] {
            let read = Accuracy::from_metres(metres).expect("a length").metres();
            assert!(
                (read - metres).abs() <= (metres + 0.5) * 0.017,
                "{metres} {read}"
            );
        }
        for code in 0..=255 {
            assert_eq!(Speed::from_mps(Speed(code).mps()), Some(Speed(code)));
        }
    }
}
