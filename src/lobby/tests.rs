//! What the rooms of one node and the rooms of many keep alike; and what is of many nodes alone, in [`many`].

mod contract;
#[cfg(feature = "distributed")]
mod many;

use super::*;
use crate::room::Standing;

const T0: u64 = 1_800_000_000_000;
const ABSENT_MS: u64 = 30_000;
const ADMISSION_MS: u64 = 60_000;

/// The rooms under test: one node's, or two nodes' who take turns.
struct Rig {
    nodes: Vec<(Lobby, GateHandle)>,
    turn: std::cell::Cell<usize>,
    now_ms: std::cell::Cell<u64>,
    offset: std::cell::Cell<u64>,
    #[cfg(feature = "distributed")]
    server: Option<many::Clocked>,
}

fn config(change: impl FnOnce(&mut config::room::Room)) -> config::Config {
    let mut config = config::Config::default();
    config.room.products = vec!["*".to_owned()];
    config.room.admit_per_second = 10;
    config.room.absent_seconds = ABSENT_MS / 1_000;
    config.room.admission_seconds = ADMISSION_MS / 1_000;
    config.room.waiting_max = 1_000;
    change(&mut config.room);
    config
}

fn identity() -> Arc<IdentityKeys> {
    Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]))
}

fn doors() -> Arc<Doors> {
    Arc::new(Doors::new(&["*".to_owned()]))
}

fn lamp() -> ProductId {
    "lamp".parse().unwrap()
}

fn buyer(number: u32) -> BuyerRef {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    BuyerRef::from_bytes(bytes)
}

fn supply(units_left: u32) -> Supply {
    Supply { opened: true, selling: true, units_left }
}

const CLOSED: Supply = Supply { opened: false, selling: false, units_left: 100 };

impl Rig {
    fn memory(change: impl FnOnce(&mut config::room::Room)) -> Self {
        let rooms = Rooms::new(&config(change).room, identity(), doors());
        let gate = GateHandle::Memory(Arc::new(crate::gate::MemoryGate::new(None)));
        Self {
            nodes: vec![(Lobby::Memory(rooms), gate)],
            turn: Default::default(),
            now_ms: T0.into(),
            offset: Default::default(),
            #[cfg(feature = "distributed")]
            server: None,
        }
    }

    /// The next node's turn.
    fn node(&self) -> &(Lobby, GateHandle) {
        self.turn.set(self.turn.get() + 1);
        &self.nodes[self.turn.get() % self.nodes.len()]
    }

    fn pass(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
        #[cfg(feature = "distributed")]
        if let Some(server) = &self.server {
            server.set(self.now_ms.get());
        }
    }

    async fn enter(&self, number: u32, supply: Supply) -> Result<Ticket, NotEntered> {
        let (lobby, gate) = self.node();
        lobby.enter(gate, (lamp(), buyer(number), [0; 16]), self.now_ms.get(), supply).await
    }

    /// So many who come before the opening.
    async fn early(&self, count: u32) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        for number in 0..count {
            tickets.push(self.enter(number, CLOSED).await.unwrap());
        }
        tickets
    }

    async fn poll(&self, ticket: &Ticket) -> Standing {
        let (lobby, gate) = self.node();
        lobby.poll(gate, ticket, self.now_ms.get()).await.unwrap().standing
    }

    async fn spend(&self, number: u32, units_left: u32) {
        let (lobby, gate) = self.node();
        self.offset.set(self.offset.get() + 1);
        let stock = Stock { supply: supply(units_left), offset: self.offset.get() };
        lobby.spend(gate, &lamp(), &buyer(number), stock).await;
    }

    /// All nodes take their turn once.
    async fn tick(&self, supply: Supply) {
        self.offset.set(self.offset.get() + 1);
        let stock = Stock { supply, offset: self.offset.get() };
        for (lobby, gate) in &self.nodes {
            let all = std::iter::once(lamp());
            lobby.tick(gate, self.now_ms.get(), all, |_| Some(stock)).await;
        }
    }

    /// Time passes as it does: all nodes take their turns ten times a second. Whoever waits is heard of.
    async fn run(&self, ms: u64, supply: Supply, heard: &[Ticket]) {
        for _ in 0..ms / 100 {
            self.pass(100);
            self.tick(supply).await;
        }
        for ticket in heard {
            self.poll(ticket).await;
        }
    }

    fn view(&self) -> View {
        self.node().0.view(&lamp(), true)
    }

    fn draw(&self) -> Draw {
        self.node().0.draw(&lamp())
    }

    /// Who of them may buy.
    async fn admitted(&self, tickets: &[Ticket]) -> Vec<Ticket> {
        let mut admitted = Vec::new();
        for ticket in tickets {
            if matches!(self.poll(ticket).await, Standing::Admitted { .. }) {
                admitted.push(*ticket);
            }
        }
        admitted
    }
}
