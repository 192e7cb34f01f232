//! XML in and out.

mod read;
mod write;

pub(crate) use read::{Node, parse};
pub(crate) use write::XmlWriter;
