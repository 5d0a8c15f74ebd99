//! End-to-end, crash, fault and simulation tests.
