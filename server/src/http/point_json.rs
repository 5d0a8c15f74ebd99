//! Points as JSON, both ways.
//!
//! Degrees are numbers; the server quantises them to 1e-6 degree exactly as a sender would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::Counter;
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};

/// A full battery, percent.
const BATTERY_PERCENT_MAX: u8 = 100;

/// One point. Either `lat` and `lon`, or `sealed`.
///
/// ```
/// use skein_server::http::point_json::PointJson;
/// let json = r#"{"counter": 1, "captured_at": 1700000000000, "lat": 45.28, "lon": 13.71}"#;
/// let point = serde_json::from_str::<PointJson>(json).unwrap().to_point().unwrap();
/// assert_eq!(point.counter.0, 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointJson {
    /// The sender's count within the session, from 1.
    pub counter: u64,
    /// Device time, milliseconds since 1970.
    pub captured_at: i64,
    /// Latitude, degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Longitude, degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// Radius, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<f64>,
    /// Metres per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<u8>,
    /// End-to-end encrypted blob, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl PointJson {
    /// The point, checked.
    ///
    /// # Errors
    /// `bad_point` and `no_fix` as [`Point::check`]; `bad_request` when neither or both of
    /// position and blob are there.
    pub fn to_point(&self) -> Result<Point, WireError> {
        if self.counter == 0 {
            return Err(WireError::new(
                Code::BadPoint,
                "`counter` is 0; count from 1",
            ));
        }
        let point = Point {
            counter: Counter(self.counter),
            captured_at_ms: self.captured_at,
            payload: self.payload()?,
        };
        point.check()?;
        Ok(point)
    }

    fn payload(&self) -> Result<Payload, WireError> {
        match (self.lat, self.lon, &self.sealed) {
            (Some(lat), Some(lon), None) => self.fix(lat, lon).map(Payload::Fix),
            (None, None, Some(text)) => {
                let blob = BASE64.decode(text).map_err(|_| {
                    WireError::new(Code::BadRequest, "`sealed` is not base64; encode the blob")
                })?;
                Ok(Payload::Sealed(blob.into()))
            }
            _ => Err(WireError::new(
                Code::BadRequest,
                "a point has either `lat` and `lon`, or `sealed`",
            )),
        }
    }

    fn fix(&self, lat: f64, lon: f64) -> Result<Fix, WireError> {
        let bad = |text| move || WireError::new(Code::BadPoint, text);
        let battery_fits = self
            .battery
            .is_none_or(|percent| percent <= BATTERY_PERCENT_MAX);
        if !battery_fits {
            return Err(bad("`battery` is more than 100 percent")());
        }
        Ok(Fix {
            position: Position::from_degrees(lat, lon)?,
            heading: self
                .heading
                .map(|v| {
                    Heading::from_degrees(v).ok_or_else(bad("`heading` is not an angle in degrees"))
                })
                .transpose()?,
            speed: self
                .speed
                .map(|v| {
                    Speed::from_mps(v)
                        .ok_or_else(bad("`speed` is not one in metres per second, from 0"))
                })
                .transpose()?,
            accuracy: self
                .accuracy
                .map(|v| {
                    Accuracy::from_metres(v)
                        .ok_or_else(bad("`accuracy` is not a radius in metres, from 0"))
                })
                .transpose()?,
            battery: self.battery,
        })
    }
}

impl From<&Point> for PointJson {
    fn from(point: &Point) -> Self {
        let mut json = Self {
            counter: point.counter.0,
            captured_at: point.captured_at_ms,
            ..Self::default()
        };
        match &point.payload {
            Payload::Sealed(blob) => json.sealed = Some(BASE64.encode(blob)),
            Payload::Fix(fix) => {
                json.lat = Some(fix.position.lat());
                json.lon = Some(fix.position.lon());
                json.accuracy = fix.accuracy.map(Accuracy::metres);
                json.heading = fix.heading.map(Heading::degrees);
                json.speed = fix.speed.map(Speed::mps);
                json.battery = fix.battery;
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use crate::http::point_json::PointJson;
    use skein_wire::error::Code;

    fn check(json: &str, expect: Option<Code>) {
        let point: PointJson = serde_json::from_str(json).expect(json);
        assert_eq!(
            point.to_point().err().map(|error| error.code),
            expect,
            "{json}"
        );
    }

    #[test]
    fn points_out_of_range_are_refused() {
        check(
            r#"{"counter":1,"captured_at":0,"lat":45.0,"lon":13.0,"heading":-10,"speed":3,"accuracy":8,"battery":50}"#,
            None,
        );
        check(
            r#"{"counter":0,"captured_at":0,"lat":45.0,"lon":13.0}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":90.1,"lon":13.0}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":45.0,"lon":-180.5}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":45.0,"lon":13.0,"speed":-1}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":45.0,"lon":13.0,"battery":101}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":999999999999999,"lat":45.0,"lon":13.0}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":0.0,"lon":0.0}"#,
            Some(Code::NoFix),
        );
        check(
            r#"{"counter":1,"captured_at":0,"lat":45.0}"#,
            Some(Code::BadRequest),
        );
        check(r#"{"counter":1,"captured_at":0}"#, Some(Code::BadRequest));
        check(
            r#"{"counter":1,"captured_at":0,"sealed":"*"}"#,
            Some(Code::BadRequest),
        );
        check(
            r#"{"counter":1,"captured_at":0,"sealed":""}"#,
            Some(Code::BadPoint),
        );
        check(
            r#"{"counter":1,"captured_at":0,"sealed":"AAAA","lat":1}"#,
            Some(Code::BadRequest),
        );
    }

    #[test]
    fn a_point_survives_its_json_form() {
        for json in [
            r#"{"counter":7,"captured_at":-5,"lat":45.281234,"lon":-13.7,"battery":3}"#,
            r#"{"counter":7,"captured_at":1700000000123,"sealed":"AQID"}"#,
        ] {
            let point: PointJson = serde_json::from_str(json).unwrap();
            let again = PointJson::from(&point.to_point().unwrap());
            assert_eq!(again, point);
            assert_eq!(serde_json::to_string(&again).unwrap(), json);
        }
    }
}
