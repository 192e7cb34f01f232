//! The closed set of error kinds that every dialect maps to its own status and words, and errors as one line of text.

/// What went wrong, in the terms a caller can act on. Each crate's error enum maps every variant to one of these;
/// each dialect (S3 XML, Swift text, OpenStack JSON) maps each of these to its own status, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request makes no sense; repeating it will not help.
    Invalid,
    /// The named thing is not there, by a linearizable read.
    NotFound,
    /// A condition did not hold, or another writer won.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A quota would be exceeded.
    OverQuota,
    /// The devices are full (507).
    NoSpace,
    /// Too few devices or voters answer, or a queue is full; repeating later may help.
    Unavailable,
    /// Stored bytes fail their checksum and could not be served from elsewhere.
    Corrupt,
    /// A bug or a broken invariant of ours.
    Internal,
}

/// An error and what caused it, in one line, for logs and for people.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
