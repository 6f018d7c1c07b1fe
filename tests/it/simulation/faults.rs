//! What a run is like: its size, its sales and its faults, all drawn from the seed.
//!
//! About a third of the faults are on in a run, so that most are seen alone as well as together.

use flux_gate::gcra::Rate;
use flux_gate::sale::SaleOpened;
use flux_gate::sale::record::{KeyFingerprints, RULES_VERSION};

use super::rng::Rng;

/// The wall clocks' reading when a run begins, Unix milliseconds.
pub const EPOCH_MS: u64 = 1_000_000_000;

/// The run.
pub struct Plan {
    pub nodes: usize,
    pub clients: usize,
    /// The terms of each product's sale, and when its opening is written (microseconds).
    pub sales: Vec<(SaleOpened, u64)>,
    /// How long faults go on, microseconds.
    pub faulty_us: u64,
    /// The gate's rate for a product.
    pub rate: Option<Rate>,
    /// Whether operators end sales for ever.
    pub archives: bool,
    /// Mean time between two operators' records, microseconds.
    pub operators_pause_us: u64,
    /// Whether the sales are made to run in the end.
    pub ends_open: bool,
}

/// How often what goes wrong: of a thousand records, requests, writes or occasions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A record never reaches the log.
    pub lost: u32,
    /// A record reaches the log after its client gave up, up to 15 s late.
    pub late: u32,
    /// A record is in the log twice.
    pub repeated: u32,
    /// A record is in the log, but its sender is told that the log stopped.
    pub unacknowledged: u32,
    /// The log refuses a record.
    pub refused: u32,
    /// The log stands still for a while.
    pub stalls: u32,
    /// A node follows the log late.
    pub lags: u32,
    /// The gate forgets everything.
    pub gate_wiped: u32,
    /// The gate's hint is forged, sometimes as of an offset that the log does not have yet.
    pub gate_forged: u32,
    /// What is written to the gate is lost.
    pub gate_loses: u32,
    /// What is written to the gate and its answers are late.
    pub gate_late: u32,
    /// The gate is out of reach, and each node screens with one of its own.
    pub gate_down: u32,
    /// A node's wall clock is set.
    pub node_clocks: u32,
    /// The log's clock is set.
    pub log_clock: u32,
    /// A node crashes.
    pub crashes: u32,
    /// A node is killed with an attempt past the gate and not on its way to the log.
    pub kills_before_log: u32,
    /// A node is killed when its record has reached the log, before anybody is answered.
    pub kills_after_log: u32,
    /// A record that a killed node had sent never reaches the log.
    pub lost_with_node: u32,
    /// A node starts from the ledger's states, not from the beginning of the log.
    pub from_ledger: u32,
    /// A worker crashes between its rows and its progress.
    pub worker_crashes: u32,
    /// A worker hangs in its transaction, and commits it later.
    pub worker_hangs: u32,
    /// A client hangs up.
    pub hang_ups: u32,
}

impl Plan {
    pub fn draw(rng: &Rng) -> Self {
        let products = rng.between(1, 2);
        let rate = rng.per_mille(200).then(|| Rate::per_second(rng.between(5, 50) as u32, 5));
        Self {
            nodes: rng.between(1, 3) as usize,
            clients: rng.between(3, 10) as usize,
            sales: (0..products).map(|number| sale(rng, number)).collect(),
            faulty_us: rng.between(3, 20) * 1_000_000,
            rate: rate.flatten(),
            archives: rng.per_mille(100),
            operators_pause_us: rng.pick(&[300_000, 1_000_000, 5_000_000]),
            ends_open: rng.per_mille(850),
        }
    }
}

fn sale(rng: &Rng, number: u64) -> (SaleOpened, u64) {
    let late = |chance| if rng.per_mille(chance) { rng.between(1, 6_000) } else { 0 };
    let terms = SaleOpened {
        capacity: rng.between(1, 9) as u32,
        per_buyer_limit: rng.pick(&[1, 2, 2, 3]),
        repeat_window_ms: rng.pick(&[0, 300, 1_500, 5_000, 20_000]),
        opens_at_ms: EPOCH_MS + late(300),
        closes_at_ms: rng.per_mille(150).then(|| EPOCH_MS + rng.between(2_000, 20_000)),
        key_fingerprints: KeyFingerprints::default(),
        rules_version: RULES_VERSION,
        operation: format!("opening-{number}").parse().ok(),
    };
    (terms, late(200) * 1_000)
}

impl Faults {
    pub fn draw(rng: &Rng) -> Self {
        let some = |chances: &[u32]| if rng.per_mille(330) { rng.pick(chances) } else { 0 };
        Self {
            lost: some(&[20, 200]),
            late: some(&[100, 400]),
            repeated: some(&[50, 400]),
            unacknowledged: some(&[30, 200]),
            refused: some(&[50, 300]),
            stalls: some(&[50, 200]),
            lags: some(&[20, 150]),
            gate_wiped: some(&[100, 300]),
            gate_forged: some(&[200, 500]),
            gate_loses: some(&[50, 300]),
            gate_late: some(&[100, 500]),
            gate_down: some(&[100, 300]),
            node_clocks: some(&[200, 500]),
            log_clock: some(&[200, 500]),
            crashes: some(&[50, 200]),
            kills_before_log: some(&[20, 100]),
            kills_after_log: some(&[20, 100]),
            lost_with_node: some(&[300, 1_000]),
            from_ledger: some(&[500, 1_000]),
            worker_crashes: some(&[200, 500]),
            worker_hangs: some(&[200, 500]),
            hang_ups: some(&[100, 400]),
        }
    }

    /// Whether every clock shows the same time and none is ever set.
    pub fn clocks_agree(&self) -> bool {
        self.node_clocks == 0 && self.log_clock == 0
    }

    /// Whether the gate may hold a place that only time gives back: nobody was left to give it back.
    pub fn places_leak(&self) -> bool {
        let late_and_dropped = self.gate_late > 0 && self.hang_ups > 0;
        let killed = self.crashes + self.kills_before_log + self.kills_after_log;
        self.lost + self.gate_loses + self.gate_down + killed > 0 || late_and_dropped
    }
}
