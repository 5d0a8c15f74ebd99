//! What a geofence or an alert encloses, on the command line.

use clap::Args;
use serde_json::{Value, json};
use skein_wire::ids::{SessionId, UserName};

/// A place as `LAT,LON`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaceArg(f64, f64);

/// Corners as `LAT,LON LAT,LON …`.
#[derive(Clone, Debug, PartialEq)]
pub struct CornersArg(Vec<(f64, f64)>);

/// One of circle, polygon and distance, and whom it is about.
#[derive(Clone, Debug, Args)]
pub struct ShapeArgs {
    /// Middle of a circle, degrees.
    #[arg(long, value_name = "LAT,LON", value_parser = place, requires = "radius", allow_hyphen_values = true,
          required_unless_present_any = ["polygon", "near"])]
    circle: Option<PlaceArg>,
    /// Radius of the circle, 10 to 100,000 metres.
    #[arg(long, value_name = "METRES", requires = "circle")]
    radius: Option<u32>,
    /// Corners of a polygon, 3 to 32, with blanks between them.
    #[arg(long, value_name = "LAT,LON …", value_parser = corners, allow_hyphen_values = true,
          conflicts_with_all = ["circle", "near"])]
    polygon: Option<CornersArg>,
    /// Two that are within so many metres of each other, 10 to 10,000.
    #[arg(long, value_name = "METRES", conflicts_with = "circle")]
    near: Option<u32>,
    /// Only this user's sessions.
    #[arg(long)]
    user: Option<UserName>,
    /// Only this session.
    #[arg(long)]
    session: Option<SessionId>,
}

impl ShapeArgs {
    /// The fields of a body.
    pub fn body(&self) -> Value {
        let circle = self.circle.zip(self.radius);
        let circle = circle.map(
            |(place, radius_m)| json!({ "lat": place.0, "lon": place.1, "radius_m": radius_m }),
        );
        json!({
            "circle": circle,
            "polygon": self.polygon.as_ref().map(|corners| &corners.0),
            "near_m": self.near,
            "user": self.user.as_ref().map(UserName::as_str),
            "session": self.session.map(|session| session.to_string()),
        })
    }
}

fn place(text: &str) -> Result<PlaceArg, String> {
    let bad = || "a place is LAT,LON in degrees, as 45.27,13.72".to_owned();
    let (lat, lon) = text.split_once(',').ok_or_else(bad)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| bad());
    Ok(PlaceArg(number(lat)?, number(lon)?))
}

fn corners(text: &str) -> Result<CornersArg, String> {
    let corners = text.split_whitespace().map(place);
    let corners = corners.map(|corner| corner.map(|PlaceArg(lat, lon)| (lat, lon)));
    Ok(CornersArg(corners.collect::<Result<_, _>>()?))
}

/// A geofence or an alert in words, from the server's answer.
pub fn shown(geofence: &Value) -> String {
    let mut words = Vec::new();
    let circle = &geofence["circle"];
    if circle.is_object() {
        words.push(format!("{} m around a place", circle["radius_m"]));
    }
    if let Some(corners) = geofence["polygon"].as_array() {
        words.push(format!("polygon of {} corners", corners.len()));
    }
    if let Some(near_m) = geofence["near_m"].as_u64() {
        words.push(format!("within {near_m} m of each other"));
    }
    for (key, word) in [
        ("user", "only"),
        ("session", "session"),
        ("around", "around"),
    ] {
        if let Some(text) = geofence[key].as_str() {
            words.push(format!("{word} {text}"));
        }
    }
    if let Some(dwell_s) = geofence["dwell_s"].as_u64() {
        words.push(format!("after {dwell_s} s"));
    }
    if geofence["once"] == true {
        words.push("once".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_or_refused() {
        assert_eq!(place("-45.5, 13"), Ok(PlaceArg(-45.5, 13.0)));
        let three = CornersArg(vec![(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(corners("0,0 0,1 1,0"), Ok(three));
        for text in ["", "45", "45;13", "north,east"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
