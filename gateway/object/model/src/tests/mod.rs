//! The model against a small world of maps, its bytes against golden ones, and its decoders against any bytes.

mod golden;
mod reference;
mod total;
mod world;
