//! The S3 dialect over the object layer.
