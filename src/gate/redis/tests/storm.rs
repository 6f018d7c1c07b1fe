//! Two nodes sell the last units while Redis is killed, frozen, wiped and forged.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::*;

const CAPACITY: u32 = 20_000;
const BUYERS: u32 = 25_000;
/// Attempts under way on each node.
const WIDTH: u32 = 24;
/// Which attempts are answered at all within.
const LONGEST: Duration = Duration::from_millis(1_500);

/// The order log of one product, which decides; and what its followers are told.
#[derive(Default)]
struct Log {
    offset: Cell<u64>,
    sold: Cell<u32>,
    orders: RefCell<HashMap<u32, u64>>,
}

impl Log {
    fn remaining(&self) -> u32 {
        CAPACITY - self.sold.get()
    }

    /// Decides a proposal, as `SaleState::apply` would, and tells all nodes.
    fn propose(&self, n: u32, nodes: &[Rc<Node>]) -> bool {
        self.offset.set(self.offset.get() + 1);
        let fresh = !self.orders.borrow().contains_key(&n);
        let confirmed = fresh && self.remaining() > 0;
        if confirmed {
            self.sold.set(self.sold.get() + 1);
            self.orders.borrow_mut().insert(n, self.offset.get());
        }
        for node in nodes {
            node.decide(self.offset.get(), self.remaining(), [n]);
        }
        confirmed
    }
}

/// One shopper after the other, each until the log knows his order or everything is sold.
async fn shop(index: usize, nodes: Rc<Vec<Rc<Node>>>, log: Rc<Log>, next: Rc<Cell<u32>>) {
    let node = nodes[index].clone();
    while next.get() < BUYERS {
        let n = next.get();
        next.set(n + 1);
        while log.remaining() > 0 {
            let started = Instant::now();
            let verdict = node.admit(n).await;
            assert!(started.elapsed() < LONGEST, "an attempt took {:?}", started.elapsed());
            if verdict == Verdict::Go {
                tokio::time::sleep(Duration::from_millis(u64::from(n % 4))).await;
                log.propose(n, &nodes);
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn storm(server: &mut Server) {
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    loop {
        pause(120).await;
        server.run_command::<()>(&["SET", "product:{phone}:stock", "1000000"]);
        pause(80).await;
        server.run_command::<()>(&["FLUSHALL"]);
        pause(80).await;
        server.pause();
        pause(200).await;
        server.resume();
        pause(120).await;
        server.run_command::<()>(&["SET", "product:{phone}:stock", "0"]);
        pause(80).await;
        server.run_command::<()>(&["FUNCTION", "FLUSH"]);
        pause(80).await;
        server.load(library::SOURCE);
        pause(80).await;
        server.kill();
        pause(150).await;
        server.run();
        server.load(library::SOURCE);
    }
}

#[test]
fn rules_1_and_5_hold_whatever_happens_to_redis() {
    on_a_serving_thread(|| async {
        let mut server = Server::start();
        let timeout = Duration::from_millis(50);
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(Rc::new(Node::up(&server, timeout).await));
        }
        let nodes = Rc::new(nodes);
        for node in nodes.iter() {
            node.decide(0, CAPACITY, []);
        }
        let log = Rc::<Log>::default();
        let next = Rc::<Cell<u32>>::default();
        let shoppers: Vec<_> = (0..2 * WIDTH)
            .map(|n| {
                let shop = shop((n % 2) as usize, nodes.clone(), log.clone(), next.clone());
                tokio::task::spawn_local(shop)
            })
            .collect();
        let all = async {
            for shopper in shoppers {
                shopper.await.unwrap();
            }
        };
        tokio::select! {
            () = all => {}
            () = storm(&mut server) => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("not sold out"),
        }
        assert_eq!(log.sold.get(), CAPACITY, "demand is above capacity, so all is sold");
        server.resume();
        for node in nodes.iter() {
            assert_eq!(node.gate.pending(&phone()), 0);
            println!("{:?}", node.gate.counts());
        }
        if server.try_connection().is_err() {
            server.kill();
            server.run();
        }
        server.load(library::SOURCE);
        for node in nodes.iter() {
            node.wait_up().await;
        }
        until("rule 5: hint = 0, nothing pending", || {
            server.hint() == Some(0) && server.pending() == 0
        })
        .await;
    });
}
