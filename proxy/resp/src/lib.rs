//! proxy-resp: to be written.
