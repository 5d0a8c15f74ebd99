//! One shard or two: every end-to-end test runs with both.

/// How many shards the server under test has, each pinned to a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// One shard owns every chat and holds every connection.
    One,
    /// Two shards: a connection may lie on the shard that does not own its chat.
    Two,
}

impl Cores {
    /// The value of `--cores`.
    pub fn flag(self) -> &'static str {
        match self {
            Self::One => "0",
            Self::Two => "0-1",
        }
    }

    /// How many.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// Makes two tests of each function that takes [`Cores`]: `name::one_shard` and
/// `name::two_shards`.
#[macro_export]
macro_rules! on_one_and_two_shards {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn one_shard() {
                super::$name($crate::cores::Cores::One);
            }
            #[test]
            fn two_shards() {
                super::$name($crate::cores::Cores::Two);
            }
        })+
    };
}
