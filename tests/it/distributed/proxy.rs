//! A proxy between the program and a store, whose connections can be slow, hang and break.
//!
//! What goes through it is encrypted and opaque to it; it only knows where one TLS record ends and the next
//! begins. So a connection can be stopped after any of them: a client sends each step of what it does in
//! records of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is read at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of a TLS record's head; its last two are the length of the rest.
const HEAD_BYTES: usize = 5;

/// A proxy; its connections end with it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

/// How things go through now.
struct State {
    /// Counts cuts: connections of an earlier life are over.
    life: u64,
    ended: bool,
    delay: Duration,
    held_up: bool,
    held_down: bool,
    /// After so many more records upstream,
    records_left: Option<u64>,
    /// this happens.
    then: Then,
    frozen: bool,
    open: Vec<TcpStream>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Freeze,
    CutWithinTheNext,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Proxy {
    /// Listens on this port of 127.0.0.1 (0: any) for connections to `target`.
    pub fn start(port: u16, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the proxy's port is free");
        let address = listener.local_addr().expect("an address");
        let state = State {
            life: 0,
            ended: false,
            delay: Duration::ZERO,
            held_up: false,
            held_down: false,
            records_left: None,
            then: Then::Freeze,
            frozen: false,
            open: Vec::new(),
        };
        let shared = Shared { target, state: Mutex::new(state), changed: Condvar::new() };
        let shared = Arc::new(shared);
        let accepting = shared.clone();
        let listener = std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared, listener: Some(listener) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All goes through, also what was held.
    pub fn pass(&self) {
        let mut state = self.shared.state();
        state.delay = Duration::ZERO;
        (state.held_up, state.held_down, state.frozen) = (false, false, false);
        state.records_left = None;
        self.shared.changed.notify_all();
    }

    /// All takes so much longer, each way.
    pub fn slow(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// What clients send is held.
    pub fn hold_up(&self) {
        self.shared.state().held_up = true;
    }

    /// What the store answers is held.
    pub fn hold_down(&self) {
        self.shared.state().held_down = true;
    }

    /// Holds everything, both ways, once so many more records have gone upstream.
    pub fn freeze_after(&self, records: u64) {
        let mut state = self.shared.state();
        (state.records_left, state.then) = (Some(records), Then::Freeze);
        if records == 0 {
            // Answers under way still come.
            state.held_up = true;
        }
    }

    /// Cuts all connections in the middle of the record that comes after so many more.
    pub fn cut_within(&self, records: u64) {
        let mut state = self.shared.state();
        (state.records_left, state.then) = (Some(records), Then::CutWithinTheNext);
    }

    /// Whether something is held since [`Proxy::freeze_after`].
    pub fn is_frozen(&self) -> bool {
        self.shared.state().frozen
    }

    /// Breaks all connections. What is held goes nowhere any more.
    pub fn cut(&self) {
        self.shared.state().cut();
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.ended = true;
            state.cut();
        }
        self.shared.changed.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl State {
    fn cut(&mut self) {
        self.life += 1;
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.held_up,
            Direction::Down => self.held_down,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of a record may go on, once it may; `None`: the connection is over.
    fn leave(&self, direction: Direction, life: u64, length: usize) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.life != life {
                return None;
            }
            if !state.holds(direction) {
                break;
            }
            state.frozen |= state.records_left == Some(0);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let left = match (direction, state.records_left) {
            (Direction::Up, Some(left)) => left,
            _ => return Some(length),
        };
        state.records_left = Some(left.saturating_sub(1));
        match (state.then, left) {
            // The last one that goes through; its answer is held already.
            (Then::Freeze, 1) => {
                (state.held_up, state.held_down, state.frozen) = (true, true, true);
                Some(length)
            }
            (Then::CutWithinTheNext, 0) => {
                state.records_left = None;
                Some(length / 2)
            }
            _ => Some(length),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.state().ended {
            return;
        }
        let Ok(client) = client else { continue };
        // A store that is down refuses; so does the proxy.
        let Ok(store) = TcpStream::connect(shared.target) else { continue };
        let _ = (client.set_nodelay(true), store.set_nodelay(true));
        let copies = [client.try_clone(), store.try_clone(), client.try_clone(), store.try_clone()];
        let [Ok(client_out), Ok(store_out), Ok(client_end), Ok(store_end)] = copies else {
            continue;
        };
        let life = {
            let mut state = shared.state();
            state.open.extend([client_end, store_end]);
            state.life
        };
        for (direction, from, to) in
            [(Direction::Up, client, store_out), (Direction::Down, store, client_out)]
        {
            let shared = shared.clone();
            std::thread::spawn(move || copy(&shared, direction, life, from, to));
        }
    }
}

/// Carries one direction of a connection, record by record, to its end.
fn copy(shared: &Shared, direction: Direction, life: u64, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut unsent = Vec::new();
    'open: while let Ok(length @ 1..) = from.read(&mut buffer) {
        unsent.extend_from_slice(&buffer[..length]);
        let delay = shared.state().delay;
        std::thread::sleep(delay);
        while let Some(length) = first_record(&unsent) {
            let Some(may_go) = shared.leave(direction, life, length) else { break 'open };
            let sent = to.write_all(&unsent[..may_go]);
            if may_go < length {
                shared.state().cut();
                shared.changed.notify_all();
            }
            if sent.is_err() || may_go < length {
                break 'open;
            }
            unsent.drain(..length);
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// The length of the first record, if it is whole. What comes before TLS begins (PostgreSQL asks for it and is
/// answered by a letter) goes through as it is.
fn first_record(bytes: &[u8]) -> Option<usize> {
    let (first, second) = (bytes.first()?, bytes.get(1));
    let is_tls = matches!(first, 20..=24) && second.is_none_or(|major| *major == 3);
    if !is_tls {
        return Some(bytes.len());
    }
    let head = bytes.get(..HEAD_BYTES)?;
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([head[3], head[4]]));
    (bytes.len() >= length).then_some(length)
}

#[test]
fn records_are_told_apart() {
    let record = |length: u16| {
        let mut record = vec![23, 3, 3];
        record.extend(length.to_be_bytes());
        record.resize(HEAD_BYTES + usize::from(length), b'x');
        record
    };
    let two = [record(300), record(2)].concat();
    assert_eq!(first_record(&two), Some(305));
    assert_eq!(first_record(&two[..304]), None);
    assert_eq!(first_record(&two[305..]), Some(7));
    assert_eq!(first_record(b"S"), Some(1));
    assert_eq!(first_record(b""), None);
}
