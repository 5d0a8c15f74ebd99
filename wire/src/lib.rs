//! Bytes on the wire: frames, quantised points, limits. Sans-IO.
