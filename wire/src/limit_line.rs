//! How lists of bounds are written: each constant beside its unit and its reason, once.
//!
//! `serve --print-limits` prints the lines that the constants are made from, so that neither can
//! be forgotten.

/// One bound as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLine {
    /// Name of the constant, in small letters.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// What the value counts.
    pub unit: &'static str,
    /// Why it has this size.
    pub reason: &'static str,
}

/// Makes the constants and the function that lists them.
#[macro_export]
macro_rules! limit_list {
    (
        $(#[$list_doc:meta])*
        pub fn $list:ident;
        $($name:ident: $type:ty = $value:expr, $unit:literal, $reason:literal;)*
    ) => {
        $(
            #[doc = concat!("In ", $unit, ": ", $reason)]
            pub const $name: $type = $value;
        )*

        $(#[$list_doc])*
        pub fn $list() -> Vec<$crate::limit_line::LimitLine> {
            vec![$($crate::limit_line::LimitLine {
                name: stringify!($name),
                value: $name as u64,
                unit: $unit,
                reason: $reason,
            },)*]
        }
    };
}
