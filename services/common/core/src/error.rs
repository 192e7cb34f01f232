//! The closed set of error kinds that every dialect maps to its own status and words.

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
