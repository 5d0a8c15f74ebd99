//! `--grid METRES` of what gives a member the right to watch on a grid.

use skein_engine::grid::Grid;

/// Metres of a cell that the right of a member can name.
///
/// # Errors
/// A text that says which there are.
pub fn parse(text: &str) -> Result<Grid, String> {
    let grid = text.parse().ok().and_then(Grid::new);
    grid.filter(|grid| grid.step().is_some())
        .ok_or_else(|| format!("write one of {:?} metres", Grid::STEPS_M))
}

#[cfg(test)]
mod tests {
    use crate::cli::grid_arg::parse;

    #[test]
    fn only_sizes_of_members_are_taken() {
        assert_eq!(parse("500").map(|grid| grid.metres()), Ok(500));
        for bad in ["", "0", "333", "500 m", "200000"] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains("10, 20, 50"), "{error}");
        }
    }
}
