//! The server: pinned shards, QUIC, WebSocket, HTTP, control log, command line.
