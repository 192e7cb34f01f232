//! A request body in pieces.

use bytes::Bytes;
use http_body::{Body, Frame};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A body in pieces, which notes whether anybody asked for one. An error breaks it off.
#[derive(Debug)]
pub struct PolledBody {
    pieces: VecDeque<io::Result<Bytes>>,
    polled: Arc<AtomicBool>,
}

impl PolledBody {
    /// The body, and what tells later whether it was asked for.
    pub fn new(pieces: impl IntoIterator<Item = io::Result<Bytes>>) -> (Self, Arc<AtomicBool>) {
        let polled = Arc::new(AtomicBool::new(false));
        (Self { pieces: pieces.into_iter().collect(), polled: Arc::clone(&polled) }, polled)
    }
}

impl Body for PolledBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.polled.store(true, Ordering::Relaxed);
        Poll::Ready(self.pieces.pop_front().map(|piece| piece.map(Frame::data)))
    }
}
