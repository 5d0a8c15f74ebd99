//! `length (varint) · kind u8 · body`: values into frames and frames into values.
