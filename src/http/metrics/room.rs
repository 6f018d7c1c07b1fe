//! What is measured of waiting rooms. Only where somebody has entered one.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::ProductLabel;
use crate::http::shared::Shared;

/// Adds the metrics of the rooms that were entered.
pub(super) fn register(shared: &Shared, registry: &mut Registry) {
    let room = &shared.room;
    let entered = room.lobby.entered();
    if entered.is_empty() {
        return;
    }
    let family = Family::<ProductLabel, Gauge>::default;
    let (places, served, admitted) = (family(), family(), family());
    let admissions = Family::<ProductLabel, Counter>::default();
    for product in entered {
        let view = room.lobby.view(&product, true);
        let label = ProductLabel { product: product.to_string() };
        places.get_or_create(&label).set(view.places.into());
        served.get_or_create(&label).set(view.head.into());
        admitted.get_or_create(&label).set(view.admitted.into());
        admissions.get_or_create(&label).inc_by(view.admitted_total);
    }
    registry.register("room_places", "Places that were given out", places);
    registry.register("room_served_places", "Places that had their turn", served);
    registry.register("room_admitted", "Shoppers who may buy and have not", admitted);
    registry.register("room_admissions", "Shoppers who were let in", admissions);
    let gauge = |value: usize| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge
    };
    registry.register("room_viewers", "Event streams that are open", gauge(room.hub.len()));
    let memory = gauge(room.lobby.bytes());
    registry.register_with_unit(
        "room_memory",
        "Memory of all queues and draws",
        Unit::Bytes,
        memory,
    );
    if let Some((forged, differ)) = room.lobby.faults() {
        let counter = Counter::<u64>::default();
        counter.inc_by(forged);
        registry.register("room_forged", "Texts in Redis that no node has written", counter);
        let help = "Draws whose list in Redis is not the one behind the root";
        registry.register("room_lists_differ", help, gauge(differ));
    }
}
