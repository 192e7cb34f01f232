//! The object layer: containers and objects as streams, with versions, multipart and conditions. No HTTP.
