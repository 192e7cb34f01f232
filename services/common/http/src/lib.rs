//! HTTP server plumbing shared by every port: accept loop, limits, request ids, graceful stop.
//!
//! hyper parses and writes HTTP/1.1; this crate adds what a port open to anybody needs and hyper leaves out, at next to
//! no cost per request: one sweep per second looks at all connections instead of a timer for each of them.
//!
//! ```text
//!  Listener (TCP, TLS, unix) -> accept loop -> connection task (hyper) -> service
//!                                  |                  |
//!                                  +---- Sweeper -----+   closes: slow heads, idle and stalled connections
//! ```

mod body;
mod connection;
mod form;
mod limits;
mod listener;
mod meter;
mod outcomes;
mod query;
mod request_id;
mod server;
mod sweeper;
mod tls;

pub use body::{BoxError, Pieces, ReplyBody, RequestBody, boxed};
pub use connection::IncomingBody;
pub use form::{Form, FormError, PartHead, header_attributes};
pub use limits::Limits;
pub use listener::{Encrypted, Listener};
pub use outcomes::Outcomes;
pub use query::query_pairs;
pub use request_id::RequestId;
pub use server::{Server, ServerError};
pub use tls::{CertificateError, Certificates, TlsListener, TlsStream, maybe_tls};
