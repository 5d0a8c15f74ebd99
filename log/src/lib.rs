//! Partitioned append-only log on memory-mapped segments.
