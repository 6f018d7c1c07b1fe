//! Accepting connections, the threads that serve them, and draining.
//!
//! One acceptor hands each public connection to the thread with the fewest. Each thread has a runtime of
//! its own, so an answer from memory crosses no thread. The operator's listener has a thread of its own: a
//! flood on the public one does not shut the operator out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Connections};
use super::operator::auth::Tokens;
use super::operator::desk::Desk;
use super::operator::trail::Peer;
use super::operator::{self, Operator};
use super::public::{self, PublicThread};
use super::shared::Shared;
use super::spans;
use crate::config;
use crate::guard::client_ip::TrustedProxies;
use crate::place_order::Node;
use crate::trace::Requests;

/// Pause after an accept that failed (out of file descriptors, most likely), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Connections that the kernel holds until they are accepted.
pub const BACKLOG_MAX: i32 = 4_096;
/// How long the end of the listener waits for one more of them.
const LAST_ACCEPT: Duration = Duration::from_millis(2);
/// How often it is looked whether a block or a live limit is over, in milliseconds.
const LIVE_TICK_MS: u64 = 100;
/// Connections of the operator's listener.
const OPERATOR_CONNECTIONS_MAX: usize = 256;

/// The two bound sockets, with their TLS.
pub struct Listeners {
    /// Shoppers and shops.
    pub public: std::net::TcpListener,
    /// TLS of the public one.
    pub public_tls: Option<TlsAcceptor>,
    /// Operators.
    pub operator: std::net::TcpListener,
    /// TLS of the operator's.
    pub operator_tls: Option<TlsAcceptor>,
}

/// Why the listeners could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The operating system gave no thread or no runtime.
    #[error("cannot start a serving thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A socket is unusable.
    #[error("cannot use a listening socket: {0}")]
    Socket(#[source] std::io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
}

/// The running listeners.
pub struct Running {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts all threads.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn start(
        shared: &Arc<Shared>,
        listeners: Listeners,
        tokens: Tokens,
    ) -> Result<Self, ServeError> {
        let (phase, watcher) = watch::channel(Phase::Serving);
        let mut threads = Vec::new();
        let mut workers = Vec::new();
        let addresses = Arc::new(PerAddress::new(&shared.config.http));
        for index in 0..shared.counters.len() {
            let (sender, inbox) = mpsc::unbounded_channel();
            workers.push(Worker { sender, open: Arc::default() });
            let (shared, tls) = (shared.clone(), listeners.public_tls.clone());
            threads.push(spawn(&format!("http-{index}"), move || {
                serve_public(shared, index, inbox, tls)
            })?);
        }
        let acceptor =
            Acceptor { workers, addresses, connections_max: shared.config.http.connections_max };
        let (socket, phase_of_acceptor) = (listeners.public, watcher.clone());
        socket.set_nonblocking(true).map_err(ServeError::Socket)?;
        threads.push(spawn("http-accept", move || accept(socket, acceptor, phase_of_acceptor))?);
        let (shared, socket, tls) = (shared.clone(), listeners.operator, listeners.operator_tls);
        socket.set_nonblocking(true).map_err(ServeError::Socket)?;
        threads
            .push(spawn("operator", move || serve_operator(shared, tokens, socket, tls, watcher))?);
        Ok(Self { phase, threads })
    }

    /// Stops taking connections, lets what is under way end, and waits for the threads.
    pub fn drain(self) {
        let _ = self.phase.send(Phase::Draining);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
    }
}

/// Starts a thread with a runtime of its own. What `main` makes stays on that thread.
fn spawn<F: Future<Output = ()> + 'static>(
    name: &str,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Thread)?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, main()))
        .map_err(ServeError::Thread)
}

type Accepted = (std::net::TcpStream, IpAddr, Place);

struct Worker {
    sender: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
}

/// A connection's place among those of its worker and of its address; given back however it ends.
struct Place {
    open: Arc<AtomicUsize>,
    _address: AddressPlace,
}

impl Place {
    fn take(address: AddressPlace, open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self { open: open.clone(), _address: address }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Acceptor {
    workers: Vec<Worker>,
    addresses: Arc<PerAddress>,
    connections_max: usize,
}

async fn accept(
    socket: std::net::TcpListener,
    acceptor: Acceptor,
    mut phase: watch::Receiver<Phase>,
) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the public socket"),
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => acceptor.hand_over(stream, peer).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            },
            _ = phase.changed() => break,
        }
    }
    // Whoever got through to the kernel may have sent a request already, and would have it thrown away.
    for _ in 0..BACKLOG_MAX {
        match tokio::time::timeout(LAST_ACCEPT, listener.accept()).await {
            Ok(Ok((stream, peer))) => acceptor.hand_over(stream, peer).await,
            _ => return,
        }
    }
}

impl Acceptor {
    async fn hand_over(&self, stream: TcpStream, peer: SocketAddr) {
        let open: usize = self.workers.iter().map(|w| w.open.load(Ordering::Relaxed)).sum();
        let place = self.addresses.enter(peer.ip());
        let least = self.workers.iter().min_by_key(|w| w.open.load(Ordering::Relaxed));
        let (Some(place), Some(worker), true) = (place, least, open < self.connections_max) else {
            return shed(stream).await;
        };
        // A stream belongs to the runtime that made it; the worker registers it anew.
        if let Ok(stream) = stream.into_std() {
            let place = Place::take(place, &worker.open);
            let _ = worker.sender.send((stream, peer.ip(), place));
        }
    }
}

/// Tells one connection too many so, without waiting for it.
async fn shed(mut stream: TcpStream) {
    let answer = stream.write_all(connection::SHED_ANSWER);
    let _ = tokio::time::timeout(Duration::from_millis(1), answer).await;
}

async fn serve_public(
    shared: Arc<Shared>,
    index: usize,
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
    tls: Option<TlsAcceptor>,
) {
    let node = Node::new(
        shared.clock.clone(),
        shared.gate.handle(),
        shared.log.handle(),
        shared.applied().clone(),
        shared.identity.clone(),
    );
    let passes = shared.guard.cache();
    let connections = Connections::new(&shared.config.http);
    let thread = Rc::new(PublicThread::new(shared.clone(), node, passes, index));
    tokio::task::spawn_local(connections.clone().sweep(shared.clock.clone()));
    // Ends when the acceptor has: after the last connection that it handed over.
    while let Some((stream, peer, place)) = inbox.recv().await {
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let connections = connections.clone();
        let (thread, tls) = (thread.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            let shared = thread.shared.clone();
            let limits = &shared.config.http;
            connection::serve(connections, stream, tls, limits, |watch| {
                service_fn(move |request| {
                    let under_way = watch.request();
                    let thread = thread.clone();
                    async move {
                        let reply = public::respond(thread, peer, request).await;
                        Ok(under_way.through(reply))
                    }
                })
            })
            .await;
            drop(place);
        });
    }
    drained(&connections, shared.config.http.drain_timeout_ms).await;
}

async fn serve_operator(
    shared: Arc<Shared>,
    tokens: Tokens,
    socket: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    mut phase: watch::Receiver<Phase>,
) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the operator's socket"),
    };
    let connections = Connections::new(&shared.config.http);
    tokio::task::spawn_local(connections.clone().sweep(shared.clock.clone()));
    tokio::task::spawn_local(keep_live(shared.clone()));
    tokio::task::spawn_local(super::room::run(shared.clone()));
    let desk = Desk::start(shared.log.handle());
    let requests = Rc::new(Requests::new(shared.tracer.clone(), shared.random_16()));
    let operator = Arc::new(Operator {
        recorder: shared.audit.recorder(),
        shared: shared.clone(),
        desk,
        tokens,
        console: Default::default(),
        turns: Default::default(),
    });
    operator::console::start(&operator);
    let router = operator::router(operator.clone());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                    continue;
                };
                if connections.len() >= OPERATOR_CONNECTIONS_MAX {
                    shed(stream).await;
                    continue;
                }
                let parts = (shared.clone(), connections.clone(), requests.clone());
                let serve = serve_operators_connection(
                    parts, router.clone(), stream, peer.ip(), tls.clone(),
                );
                tokio::task::spawn_local(serve);
            }
            _ = phase.changed() => break,
        }
    }
    drop(listener);
    operator.console.hub.close();
    operator.shared.room.hub.close();
    drained(&connections, shared.config.http.drain_timeout_ms).await;
}

/// Serves one connection of the operator's listener to its end.
async fn serve_operators_connection(
    (shared, connections, requests): (Arc<Shared>, Rc<Connections>, Rc<Requests>),
    router: axum::Router,
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<TlsAcceptor>,
) {
    let limits = &shared.config.http;
    connection::serve(connections, stream, tls, limits, |watch| {
        let router = TowerToHyperService::new(router);
        service_fn(move |mut request: http::Request<Incoming>| {
            let under_way = watch.request();
            request.extensions_mut().insert(Peer(peer));
            let scope = requests.begin(request.headers(), spans::operator_name);
            let method = request.method().clone();
            let reply = hyper::service::Service::call(&router, request);
            scope.run(async move {
                let mut reply = reply.await;
                if let Ok(reply) = &mut reply {
                    spans::answered(&method, reply, None);
                }
                reply.map(|reply| under_way.through(reply))
            })
        })
    })
    .await;
}

/// Lets blocks and live limits go when their time is over.
async fn keep_live(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(LIVE_TICK_MS)).await;
        shared.live.tick(shared.log_time().likely_ms);
    }
}

/// Waits until no connection is left, or the time is up.
async fn drained(connections: &Rc<Connections>, timeout_ms: u64) {
    const POLL: Duration = Duration::from_millis(10);
    connections.drain();
    let wait = async {
        while !connections.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    };
    if tokio::time::timeout(Duration::from_millis(timeout_ms), wait).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were still open when time was up");
    }
}

/// How many connections each address has (IPv6: each /64). A trusted proxy speaks for many and has no limit.
struct PerAddress {
    max: usize,
    proxies: TrustedProxies,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address.
struct AddressPlace(Option<(Arc<PerAddress>, IpAddr)>);

impl PerAddress {
    fn new(http: &config::Http) -> Self {
        let proxies = TrustedProxies::new(&http.trusted_proxies);
        Self { max: http.connections_per_ip_max, proxies, open: Mutex::default() }
    }

    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<AddressPlace> {
        let peer = peer.to_canonical();
        if self.max == 0 || self.proxies.contain(peer) {
            return Some(AddressPlace(None));
        }
        let address = prefix(peer);
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPlace(Some((self.clone(), address))))
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let Some((addresses, address)) = self.0.take() else { return };
        let mut open = addresses.open.lock();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

/// The address that a limit counts: of IPv6 the /64.
pub(super) fn prefix(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_has_no_limit_however_it_is_written() {
        let proxies = ["198.51.100.0/24", "::ffff:203.0.113.0/120"];
        let http = config::Http {
            connections_per_ip_max: 1,
            trusted_proxies: proxies.map(|network| network.parse().unwrap()).to_vec(),
            ..config::Http::default()
        };
        let addresses = Arc::new(PerAddress::new(&http));
        let entered = |peer: &str| {
            let places: Vec<_> = (0..3).map(|_| addresses.enter(peer.parse().unwrap())).collect();
            places.iter().flatten().count()
        };
        for peer in ["198.51.100.7", "::ffff:198.51.100.7", "203.0.113.7", "::ffff:203.0.113.7"] {
            assert_eq!(entered(peer), 3, "{peer}");
        }
        assert_eq!(entered("192.0.2.7"), 1);
    }
}
