//! A simulated walker: strolls through a city, turns now and then, stops at times.
//!
//! From a seed, so that two runs of the demo show the same walk.

use skein_wire::point::{Accuracy, Fix, Heading, Position, Speed};

/// Where the walkers start: a city centre, in degrees.
const CENTRE: (f64, f64) = (47.3769, 8.5417);
/// Half the side of the square they start in, metres.
const START_SPREAD_M: f64 = 900.0;
/// Beyond this distance from the centre a walker turns back, metres.
const RANGE_M: f64 = 2_000.0;
/// Metres in a degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;

/// Names for the first walkers; the others are numbered.
const NAMES: [&str; 12] = [
    "ada", "bo", "cleo", "dara", "eli", "finn", "gia", "hugo", "ines", "jun", "kaya", "leo",
];

/// One walker.
#[derive(Clone, Debug)]
pub struct Walker {
    name: String,
    random: u64,
    /// East and north of the centre, metres.
    at_m: (f64, f64),
    heading_deg: f64,
    speed_mps: f64,
}

impl Walker {
    /// The walker with this number.
    pub fn new(number: usize, seed: u64) -> Self {
        let name = match NAMES.get(number) {
            Some(name) => (*name).to_owned(),
            None => format!("walker-{number}"),
        };
        let mut walker = Self {
            name,
            random: seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            at_m: (0.0, 0.0),
            heading_deg: 0.0,
            speed_mps: 1.4,
        };
        walker.at_m = (
            walker.spread() * START_SPREAD_M,
            walker.spread() * START_SPREAD_M,
        );
        walker.heading_deg = walker.unit() * 360.0;
        walker.speed_mps = 0.9 + walker.unit() * 1.2;
        walker
    }

    /// The walker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Walks for `seconds` and reports the fix there.
    pub fn step(&mut self, seconds: f64) -> Fix {
        self.turn();
        let (sin, cos) = self.heading_deg.to_radians().sin_cos();
        let metres = self.speed_mps * seconds;
        self.at_m = (self.at_m.0 + sin * metres, self.at_m.1 + cos * metres);
        Fix {
            position: self.position(),
            heading: Heading::from_degrees(self.heading_deg),
            speed: Speed::from_mps(self.speed_mps),
            accuracy: Accuracy::from_metres(4.0 + 4.0 * self.unit()),
            battery: None,
        }
    }

    fn turn(&mut self) {
        let (east, north) = self.at_m;
        if east.hypot(north) > RANGE_M {
            self.heading_deg = (-east).atan2(-north).to_degrees();
        } else {
            self.heading_deg = (self.heading_deg + self.spread() * 25.0).rem_euclid(360.0);
        }
    }

    fn position(&self) -> Position {
        let lat = CENTRE.0 + self.at_m.1 / METRES_PER_DEGREE;
        let lon = CENTRE.1 + self.at_m.0 / (METRES_PER_DEGREE * CENTRE.0.to_radians().cos());
        Position::from_degrees(lat, lon).expect("walkers stay near the centre")
    }

    /// Uniform in [0, 1): a xorshift generator is random enough for a stroll.
    fn unit(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [-1, 1).
    fn spread(&mut self) -> f64 {
        self.unit() * 2.0 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use crate::demo::walker::Walker;

    #[test]
    fn a_walker_moves_at_walking_pace_and_stays_in_range() {
        let mut walker = Walker::new(3, 42);
        let mut last = walker.step(1.0).position;
        for _ in 0..10_000 {
            let here = walker.step(1.0).position;
            let metres = (f64::from(here.lat_e6 - last.lat_e6) * 0.111_32)
                .hypot(f64::from(here.lon_e6 - last.lon_e6) * 0.0754);
            assert!(metres < 3.0, "{metres} m in a second");
            assert!((here.lat() - 47.3769).abs() < 0.05 && (here.lon() - 8.5417).abs() < 0.05);
            last = here;
        }
    }
}
