//! Bodies on the way in: framing and checksums.

pub(crate) mod checksum;
pub(crate) mod chunked;
mod small;
mod upload;

pub(crate) use small::{is_vouched_for, read_small};
pub(crate) use upload::UploadPlan;
