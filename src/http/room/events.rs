//! Live: how a room stands, encoded once a second where it has changed and sent to all who look at the product.
//!
//! Bounded: so many streams in all and of one address, so that nobody shuts the others out; whoever gets none asks
//! `GET /waiting-room/state` from time to time instead. A viewer who does not read misses frames, each of which is
//! whole, and after [`events::MISSED_MAX`] of them is let go. A frame is sent again after [`BEAT_MS`] without a change: that
//! is the heartbeat. Whoever comes back with the `Last-Event-ID` of the last frame has missed nothing and gets no
//! other.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use http::header::HeaderName;
use parking_lot::Mutex;
use serde::Deserialize;

use super::{calls, product};
use crate::http::code::Code;
use crate::http::events::{self, Viewer};
use crate::http::public::{PublicThread, Received};
use crate::http::refused::anyone;
use crate::http::reply::{self, Coded, Frames, Kept};
use crate::http::server::prefix;
use crate::http::shared::Shared;
use crate::sale::ProductId;

/// Frames that wait for a viewer who is slow.
const WAITING_MAX: usize = 2;
/// After how long a frame is sent again, in milliseconds.
const BEAT_MS: u64 = 10_000;
/// When who found no place may ask for a stream again, in microseconds.
const FULL_RETRY_US: u64 = 30_000_000;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who looks at which product.
#[derive(Debug)]
pub struct Hub {
    viewers: Arc<Mutex<Viewers>>,
    viewers_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Viewers {
    products: HashMap<ProductId, Audience>,
    addresses: HashMap<IpAddr, usize>,
    count: usize,
    closed: bool,
}

/// Those who look at one product.
#[derive(Debug, Default)]
struct Audience {
    all: Vec<Viewer>,
    /// What they saw last, and when that was sent.
    frame: Option<Frame>,
}

#[derive(Debug, Clone)]
struct Frame {
    data: Bytes,
    event: Bytes,
    at_ms: u64,
}

/// One stream's place among those of its address.
#[derive(Debug)]
struct Seat {
    viewers: Arc<Mutex<Viewers>>,
    address: IpAddr,
}

impl Kept for Seat {}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut viewers = self.viewers.lock();
        viewers.count -= 1;
        if let Some(count) = viewers.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                viewers.addresses.remove(&self.address);
            }
        }
    }
}

impl Hub {
    /// Nobody looks.
    pub fn new(viewers_max: usize, per_address_max: usize) -> Self {
        Self { viewers: Arc::default(), viewers_max, per_address_max }
    }

    /// Streams that are open.
    pub fn len(&self) -> usize {
        self.viewers.lock().count
    }

    /// Whether nobody looks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one more, whose first frame is the latest unless they have `seen` it; `None` if there is no place.
    fn enter(
        &self,
        product: ProductId,
        address: IpAddr,
        seen: Option<&str>,
        now: impl FnOnce() -> Option<Frame>,
    ) -> Option<Frames> {
        let address = prefix(address.to_canonical());
        let mut viewers = self.viewers.lock();
        let of_address = viewers.addresses.get(&address).copied().unwrap_or(0);
        let full = viewers.count >= self.viewers_max || of_address >= self.per_address_max;
        if viewers.closed || full {
            return None;
        }
        let audience = viewers.products.entry(product).or_default();
        if audience.frame.is_none() {
            audience.frame = now();
        }
        let mut first = events::retry();
        if let Some(frame) = &audience.frame
            && seen != Some(&frame.at_ms.to_string())
        {
            first.extend_from_slice(&frame.event);
        }
        let (viewer, receiver) = Viewer::new(WAITING_MAX, first.into())?;
        audience.all.push(viewer);
        viewers.count += 1;
        *viewers.addresses.entry(address).or_default() += 1;
        Some(Frames(receiver, Box::new(Seat { viewers: self.viewers.clone(), address })))
    }

    /// Lets everybody go and takes nobody any more.
    pub fn close(&self) {
        let mut viewers = self.viewers.lock();
        viewers.closed = true;
        viewers.products.clear();
    }
}

impl Audience {
    /// Sends a frame that has changed, or is due again, to all.
    fn send(&mut self, data: Bytes, now_ms: u64) {
        let due = self
            .frame
            .as_ref()
            .is_none_or(|last| last.data != data || now_ms.saturating_sub(last.at_ms) >= BEAT_MS);
        if !due {
            return;
        }
        let frame = event(data, now_ms);
        self.all.retain_mut(|viewer| viewer.send(&frame.event));
        self.frame = Some(frame);
    }
}

/// A frame, whose event has for its id when it was made.
fn event(data: Bytes, now_ms: u64) -> Frame {
    let event = events::event("room", Some(now_ms), &data);
    Frame { data, event: event.into(), at_ms: now_ms }
}

/// Tells those who look how their product's room stands now.
pub(super) fn send(shared: &Shared) {
    let hub = &shared.room.hub;
    let products: Vec<ProductId> = hub.viewers.lock().products.keys().copied().collect();
    for product in products {
        let Some(data) = calls::frame(shared, &product) else { continue };
        let now_ms = shared.clock.unix_ms();
        let mut viewers = hub.viewers.lock();
        if let Some(audience) = viewers.products.get_mut(&product) {
            audience.send(data, now_ms);
            if audience.all.is_empty() {
                viewers.products.remove(&product);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    product: String,
}

/// `GET /waiting-room/events?product=…`.
pub fn stream(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let asked = anyone(thread, received).and_then(|()| {
        let query = serde_urlencoded::from_str::<EventsQuery>(received.query()).map_err(|_| {
            reply::problem_because(Code::InvalidRequest, "the query must be product=…")
        })?;
        product(thread, &query.product)
    });
    let product = match asked {
        Ok((product, _)) => product,
        Err(refusal) => return refusal,
    };
    let shared = &thread.shared;
    let seen = received.headers().get(&LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let now = || calls::frame(shared, &product).map(|data| event(data, shared.clock.unix_ms()));
    let address = shared.guard.client_ip(&received.view());
    let Some(frames) = shared.room.hub.enter(product, address, seen, now) else {
        let problem = reply::problem_because(
            Code::Overloaded,
            "as many event streams are open as may be: ask /waiting-room/state from time to time",
        );
        return problem.retry_after_us(FULL_RETRY_US);
    };
    events::stream(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(hub: &Hub, address: &str, seen: Option<&str>) -> Option<Frames> {
        let now = || Some(event(Bytes::from_static(b"{\"head\":0}"), 7));
        hub.enter("lamp".parse().unwrap(), address.parse().unwrap(), seen, now)
    }

    fn next(frames: &mut Frames) -> String {
        String::from_utf8(frames.0.try_recv().unwrap().to_vec()).unwrap()
    }

    fn tell(hub: &Hub, data: &'static [u8], now_ms: u64) {
        let mut viewers = hub.viewers.lock();
        let lamp: ProductId = "lamp".parse().unwrap();
        let audience = viewers.products.get_mut(&lamp).unwrap();
        audience.send(Bytes::from_static(data), now_ms);
    }

    #[test]
    fn nobody_shuts_the_others_out_and_places_are_given_back() {
        let hub = Hub::new(10, 4);
        let loud: Vec<_> = (0..100).filter_map(|_| enter(&hub, "192.0.2.1", None)).collect();
        assert_eq!(loud.len(), 4);
        // One /64 is one address.
        let network: Vec<_> =
            (0..100).filter_map(|n| enter(&hub, &format!("2001:db8::{n:x}"), None)).collect();
        assert_eq!(network.len(), 4);
        assert!(enter(&hub, "192.0.2.2", None).is_some());
        drop(loud);
        assert!(enter(&hub, "192.0.2.1", None).is_some());
        let all: Vec<_> =
            (0..100).filter_map(|n| enter(&hub, &format!("192.0.2.{n}"), None)).collect();
        assert_eq!(all.len() + network.len(), 10);
        drop((all, network));
        assert!(hub.is_empty());
        hub.close();
        assert!(enter(&hub, "192.0.2.3", None).is_none());
    }

    #[test]
    fn one_frame_is_shared_and_an_unchanged_one_is_the_heartbeat() {
        let hub = Hub::new(10, 10);
        let (mut one, mut two) =
            (enter(&hub, "192.0.2.1", None).unwrap(), enter(&hub, "192.0.2.2", None).unwrap());
        assert!(
            next(&mut one).contains("retry: 2000\n\nevent: room\nid: 7\ndata: {\"head\":0}\n\n")
        );
        next(&mut two);
        tell(&hub, b"{\"head\":1}", 1_007);
        let (a, b) = (one.0.try_recv().unwrap(), two.0.try_recv().unwrap());
        assert_eq!(a.as_ptr(), b.as_ptr(), "the same bytes, not copies");
        tell(&hub, b"{\"head\":1}", 2_007);
        assert!(one.0.try_recv().is_err(), "nothing has changed");
        tell(&hub, b"{\"head\":1}", 11_007);
        assert!(next(&mut one).contains("id: 11007"));
    }

    #[test]
    fn whoever_comes_back_gets_what_they_missed_and_nothing_else() {
        let hub = Hub::new(10, 10);
        let _stays = enter(&hub, "192.0.2.1", None).unwrap();
        tell(&hub, b"{\"head\":5}", 1_007);
        assert!(next(&mut enter(&hub, "192.0.2.2", Some("7")).unwrap()).contains("\"head\":5"));
        assert_eq!(next(&mut enter(&hub, "192.0.2.2", Some("1007")).unwrap()), "retry: 2000\n\n");
    }

    #[test]
    fn whoever_does_not_read_is_let_go() {
        let hub = Hub::new(10, 10);
        let _asleep = enter(&hub, "192.0.2.1", None).unwrap();
        for beat in 1..=40 {
            tell(&hub, b"{}", beat * 20_000);
        }
        let viewers = hub.viewers.lock();
        assert!(viewers.products.values().all(|audience| audience.all.is_empty()));
    }
}
