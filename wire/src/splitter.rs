//! Cuts a byte stream into frames, holding at most one frame's ceiling.
