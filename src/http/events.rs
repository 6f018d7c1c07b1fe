//! Server-sent events, as the console and the waiting room send them: frames that are encoded once, for viewers
//! who may be slow.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::mpsc;

use super::code::Code;
use super::reply::{Coded, Frames, Payload};

/// Frames that a viewer may miss one after the other.
pub const MISSED_MAX: u32 = 30;
/// How soon a browser comes back, in milliseconds.
const RETRY_MS: u64 = 2_000;

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One who looks.
#[derive(Debug)]
pub struct Viewer {
    frames: mpsc::Sender<Bytes>,
    missed: u32,
}

impl Viewer {
    /// One for whom `waiting_max` frames may wait, of which `first` is the first; at least 1.
    pub fn new(waiting_max: usize, first: Bytes) -> Option<(Self, mpsc::Receiver<Bytes>)> {
        let (frames, receiver) = mpsc::channel(waiting_max);
        frames.try_send(first).ok()?;
        Some((Self { frames, missed: 0 }, receiver))
    }

    /// Whether they have hung up.
    pub fn is_gone(&self) -> bool {
        self.frames.is_closed()
    }

    /// Sends a frame, which one who does not read misses. Whether to keep the viewer.
    pub fn send(&mut self, frame: &Bytes) -> bool {
        match self.frames.try_send(frame.clone()) {
            Ok(()) => self.missed = 0,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(_)) => self.missed += 1,
        }
        self.missed <= MISSED_MAX
    }
}

/// What a stream begins with.
pub fn retry() -> Vec<u8> {
    format!("retry: {RETRY_MS}\n\n").into_bytes()
}

/// One event. JSON has no line feeds, so whatever is in it cannot end the event.
pub fn event(name: &str, id: Option<u64>, json: &[u8]) -> Vec<u8> {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let mut event = format!("event: {name}\n{id}data: ").into_bytes();
    event.extend_from_slice(json);
    event.extend_from_slice(b"\n\n");
    event
}

/// The answer that goes on for as long as its viewer looks.
pub fn stream(frames: Frames) -> Coded {
    let reply = Response::new(Payload::Events(frames));
    Coded { code: Code::Ok, reply }
        .with(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        // A proxy is not to wait for more.
        .with(X_ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"))
}
