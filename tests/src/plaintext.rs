//! Looks for places in files: as text, as floats, as scaled integers, whatever the byte order.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every way in which the coordinates of a place may be written.
pub fn forms((lat, lon): (f64, f64)) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for degrees in [lat, lon] {
        forms.push(degrees.to_string().into_bytes());
        forms.push(degrees.to_le_bytes().to_vec());
        forms.push(degrees.to_be_bytes().to_vec());
        for scale in [1e6, 1e7] {
            let scaled = (degrees * scale).round() as i32;
            forms.push(scaled.to_le_bytes().to_vec());
            forms.push(scaled.to_be_bytes().to_vec());
        }
    }
    forms
}

/// How often a place is in these bytes.
pub fn count_in(bytes: &[u8], place: (f64, f64)) -> usize {
    let forms = forms(place);
    let firsts: HashSet<u8> = forms.iter().map(|form| form[0]).collect();
    let begins = (0..bytes.len()).filter(|at| firsts.contains(&bytes[*at]));
    begins
        .map(|at| {
            forms
                .iter()
                .filter(|form| bytes[at..].starts_with(form))
                .count()
        })
        .sum()
}

/// How often a place is in the files of a directory and of those below it.
pub fn count(directory: &Path, place: (f64, f64)) -> usize {
    let files = files(directory);
    // One that is gone meanwhile holds nothing.
    let bytes = files.iter().filter_map(|path| fs::read(path).ok());
    bytes.map(|bytes| count_in(&bytes, place)).sum()
}

/// All files of a directory and of those below it.
///
/// # Panics
/// When one cannot be listed.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use crate::plaintext::{count_in, forms};

    #[test]
    fn a_place_is_found_in_each_of_its_forms() {
        let place = (47.123_457, -8.765_431);
        assert_eq!(forms(place).len(), 14);
        for form in forms(place) {
            let around = [b"..".as_slice(), &form, b".."].concat();
            assert_eq!(count_in(&around, place), 1, "{form:?}");
            assert_eq!(count_in(&around, (47.5, -8.5)), 0);
        }
    }
}
