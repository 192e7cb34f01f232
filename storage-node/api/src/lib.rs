//! What storage nodes offer: state models over slots, as traits. Pure.

mod model;

pub use model::{InlineBody, QueryReply, Scan, SlotTx, SlotView, StateModel};
