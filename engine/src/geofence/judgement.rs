//! What one fix says about a border: inside, outside, or nothing.
//!
//! Coming in takes a fix whose middle is inside. Going out takes one that is outside by more than its own
//! accuracy and by more than a margin, so that somebody who stands at the border does not go in and out.
//! A fix that is vaguer than the area is large says nothing at all, not even that somebody left.

/// Metres of accuracy that are always good enough, however small the area: a phone among houses.
const ACCURACY_M: f64 = 50.0;

/// The margin, as a share of the size.
const MARGIN_SHARE: f64 = 0.1;

/// Smallest and largest margin, metres: what a standing receiver wanders; what a walker notices.
const MARGIN_M: (f64, f64) = (10.0, 200.0);

/// What a fix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Inside,
    Outside,
    /// At the border.
    Unsure,
    /// The fix is too vague for this area.
    Vague,
}

/// Judges a place that lies `outside_m` beyond the border of something of this size, and may be off by
/// `accuracy_m`, all in metres.
pub(crate) fn judge(outside_m: f64, size_m: f64, accuracy_m: f64) -> Judgement {
    if accuracy_m > size_m.max(ACCURACY_M) {
        return Judgement::Vague;
    }
    if outside_m <= 0.0 {
        Judgement::Inside
    } else if outside_m > margin_m(size_m).max(accuracy_m) {
        Judgement::Outside
    } else {
        Judgement::Unsure
    }
}

/// How far beyond the border of something of this size one has to be to be out, metres.
pub(crate) fn margin_m(size_m: f64) -> f64 {
    (size_m * MARGIN_SHARE).clamp(MARGIN_M.0, MARGIN_M.1)
}

/// [`judge`] for the distance of two, each of which may be off.
pub(crate) fn judge_two(outside_m: f64, size_m: f64, (a_m, b_m): (f64, f64)) -> Judgement {
    match judge(outside_m, size_m, a_m.max(b_m)) {
        Judgement::Outside if outside_m <= a_m + b_m => Judgement::Unsure,
        judgement => judgement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_has_a_margin_and_vague_fixes_say_nothing() {
        for (outside_m, size_m, accuracy_m, expect) in [
            (0.0, 100.0, 5.0, Judgement::Inside),
            (-99.0, 100.0, 100.0, Judgement::Inside),
            (0.1, 100.0, 5.0, Judgement::Unsure),
            (10.0, 100.0, 5.0, Judgement::Unsure),
            (10.1, 100.0, 5.0, Judgement::Outside),
            // Its own accuracy counts where that is more than the margin.
            (30.0, 100.0, 30.0, Judgement::Unsure),
            (30.1, 100.0, 30.0, Judgement::Outside),
            // The margin grows with the size, up to a bound.
            (100.0, 1_000.0, 5.0, Judgement::Unsure),
            (200.1, 100_000.0, 5.0, Judgement::Outside),
            // A network fix of kilometres: no exit, however far it seems to be.
            (5_000.0, 100.0, 2_400.0, Judgement::Vague),
            (-50.0, 100.0, 100.1, Judgement::Vague),
            // An area smaller than the accuracy of a phone can be entered and left all the same.
            (-5.0, 10.0, 50.0, Judgement::Inside),
            (50.0, 10.0, 50.0, Judgement::Unsure),
            (50.1, 10.0, 50.0, Judgement::Outside),
            (-5.0, 10.0, 50.1, Judgement::Vague),
        ] {
            let got = judge(outside_m, size_m, accuracy_m);
            assert_eq!(got, expect, "{outside_m} {size_m} {accuracy_m}");
        }
    }

    #[test]
    fn how_far_two_may_be_off_adds_up() {
        for (outside_m, accuracies_m, expect) in [
            (0.0, (40.0, 40.0), Judgement::Inside),
            (80.0, (40.0, 40.0), Judgement::Unsure),
            (80.1, (40.0, 40.0), Judgement::Outside),
            (900.0, (5.0, 101.0), Judgement::Vague),
        ] {
            let got = judge_two(outside_m, 100.0, accuracies_m);
            assert_eq!(got, expect, "{outside_m} {accuracies_m:?}");
        }
    }
}
