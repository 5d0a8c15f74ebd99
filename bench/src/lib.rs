//! Criterion benches; each measures its floor in the same run.
