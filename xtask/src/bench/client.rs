//! The client of the bench: one thread, non-blocking sockets, signed requests from memory.
//!
//! It reads of an answer what it must (status and length), so that what it costs is small and the same for
//! every server. Closed loop: each connection sends when it was answered. Open loop: requests are due by a
//! schedule, and latency counts from the time at which they were due.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::requests::Requests;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Time without any answer after which a run has failed.
const SILENCE_SECONDS_MAX: u64 = 10;
/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Time between two points of the schedule of an open loop, in microseconds.
const TICK_US: u64 = 1_000;

/// What a run is to do.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Open connections.
    pub connections: usize,
    /// Time before anything is counted.
    pub warm_up: Duration,
    /// Time that is counted.
    pub window: Duration,
    /// The status that every answer must have.
    pub status: u16,
    /// Statuses that an answer may also have; such answers are counted apart.
    pub excused: &'static [u16],
}

/// What a run has shown, of its window alone.
pub struct Run {
    /// Answers.
    pub answers: u64,
    /// Length of the window, in seconds.
    pub seconds: f64,
    /// Answers with an excused status.
    pub excused: u64,
    /// Latencies in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Run {
    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

struct Connection {
    stream: TcpStream,
    inbox: Box<[u8; ANSWER_BYTES_MAX]>,
    filled: usize,
    /// From when the latency of the request under way counts; `None` if there is none.
    since: Option<Instant>,
}

/// Where the window's begin and end are told, so that the server's own figures can be read then.
pub trait Marks {
    /// The window begins.
    fn begin(&mut self);
    /// The window ends.
    fn end(&mut self);
}

impl Marks for () {
    fn begin(&mut self) {}
    fn end(&mut self) {}
}

struct Client<'a> {
    poll: Poll,
    connections: Vec<Connection>,
    requests: &'a Requests,
    status: u16,
    excused_statuses: &'static [u16],
    sent: usize,
    answers: u64,
    excused: u64,
    latency_us: Histogram<u64>,
}

/// Runs a closed loop.
///
/// # Errors
/// The server is gone, answers otherwise than expected, or the requests do not last.
pub fn closed(
    server: SocketAddr,
    requests: &Requests,
    shape: Shape,
    marks: &mut impl Marks,
) -> anyhow::Result<Run> {
    let mut client = Client::connect(server, requests, shape)?;
    for place in 0..shape.connections {
        client.send(place, Instant::now())?;
    }
    let mut phases = Phases::new(shape);
    let mut events = Events::with_capacity(shape.connections);
    while !phases.over(&mut client, marks) {
        client.wait(&mut events)?;
        let now = Instant::now();
        for event in &events {
            let place = event.token().0;
            if client.receive(place, now)? {
                client.send(place, now)?;
            }
        }
    }
    client.finish(&mut events)?;
    Ok(client.into_run(phases.seconds))
}

/// Runs an open loop of `per_second` requests; they fall due in steps of [`TICK_US`].
///
/// # Errors
/// See [`closed`].
pub fn open(
    server: SocketAddr,
    requests: &Requests,
    shape: Shape,
    per_second: f64,
) -> anyhow::Result<Run> {
    let mut client = Client::connect(server, requests, shape)?;
    let timer = Timer::start(&client.poll, Token(shape.connections))?;
    let begun = Instant::now();
    let mut phases = Phases::new(shape);
    let mut events = Events::with_capacity(shape.connections + 1);
    // In turn: one that is never used would be closed by the server.
    let mut free: VecDeque<usize> = (0..shape.connections).collect();
    let mut due: VecDeque<Instant> = VecDeque::new();
    let (mut ticks, mut scheduled) = (0, 0.0);
    while !phases.over(&mut client, &mut ()) {
        client.wait(&mut events)?;
        let now = Instant::now();
        for event in &events {
            let place = event.token().0;
            if place == shape.connections {
                timer.clear();
            } else if client.receive(place, now)? {
                free.push_back(place);
            }
        }
        while begun + Duration::from_micros(ticks * TICK_US) <= now {
            let at = begun + Duration::from_micros(ticks * TICK_US);
            let wanted = per_second * (ticks as f64 * TICK_US as f64 / 1e6);
            while scheduled < wanted {
                due.push_back(at);
                scheduled += 1.0;
            }
            ticks += 1;
        }
        while let (Some(place), Some(since)) = (free.front().copied(), due.front().copied()) {
            client.send(place, since)?;
            free.pop_front();
            due.pop_front();
        }
    }
    client.finish(&mut events)?;
    Ok(client.into_run(phases.seconds))
}

/// Sends each request once, in a closed loop without a clock; tells how many were answered as they should.
///
/// # Errors
/// See [`closed`].
pub fn all(
    server: SocketAddr,
    requests: &Requests,
    connections: usize,
    (status, excused): (u16, &'static [u16]),
) -> anyhow::Result<u64> {
    let (warm_up, window) = (Duration::ZERO, Duration::MAX);
    let shape = Shape { connections, warm_up, window, status, excused };
    let mut client = Client::connect(server, requests, shape)?;
    for place in 0..connections.min(requests.len()) {
        client.send(place, Instant::now())?;
    }
    let mut events = Events::with_capacity(connections);
    while client.answers + client.excused < requests.len() as u64 {
        client.wait(&mut events)?;
        let now = Instant::now();
        for place in events.iter().map(|event| event.token().0) {
            if client.receive(place, now)? && client.sent < requests.len() {
                client.send(place, now)?;
            }
        }
    }
    Ok(client.answers)
}

impl<'a> Client<'a> {
    fn connect(server: SocketAddr, requests: &'a Requests, shape: Shape) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(shape.connections);
        for place in 0..shape.connections {
            let stream = std::net::TcpStream::connect(server)
                .with_context(|| format!("cannot connect to {server}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
            let inbox = Box::new([0; ANSWER_BYTES_MAX]);
            connections.push(Connection { stream, inbox, filled: 0, since: None });
        }
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        let Shape { status, excused: excused_statuses, .. } = shape;
        let (sent, answers, excused) = (0, 0, 0);
        Ok(Self {
            poll,
            connections,
            requests,
            status,
            excused_statuses,
            sent,
            answers,
            excused,
            latency_us,
        })
    }

    fn wait(&mut self, events: &mut Events) -> anyhow::Result<()> {
        self.poll.poll(events, Some(Duration::from_secs(SILENCE_SECONDS_MAX)))?;
        ensure!(!events.is_empty(), "no answer for {SILENCE_SECONDS_MAX} s");
        Ok(())
    }

    fn send(&mut self, place: usize, since: Instant) -> anyhow::Result<()> {
        ensure!(self.sent < self.requests.len(), "the {} requests are used up", self.sent);
        let request = self.requests.get(self.sent);
        self.sent += 1;
        let connection = &mut self.connections[place];
        connection.since = Some(since);
        connection.filled = 0;
        // A request is far smaller than a socket's buffer, which is empty now.
        let written = connection.stream.write(request).context("cannot send")?;
        ensure!(written == request.len(), "the socket took only a part of a request");
        Ok(())
    }

    /// Reads what has come; `true` if that was the rest of an answer.
    fn receive(&mut self, place: usize, now: Instant) -> anyhow::Result<bool> {
        let connection = &mut self.connections[place];
        loop {
            match connection.stream.read(&mut connection.inbox[connection.filled..]) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(length) => connection.filled += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot receive"),
            }
            let answer = &connection.inbox[..connection.filled];
            let Some((status, _)) = whole(answer)? else { continue };
            if status != self.status && !self.excused_statuses.contains(&status) {
                bail!("answered {}", String::from_utf8_lossy(answer));
            }
            let since = connection.since.take().context("an answer that nobody asked for")?;
            if status != self.status {
                self.excused += 1;
                return Ok(true);
            }
            self.answers += 1;
            let latency_us = now.saturating_duration_since(since).as_micros() as u64;
            self.latency_us.saturating_record(latency_us.max(1));
            return Ok(true);
        }
    }

    /// Waits for what is under way.
    fn finish(&mut self, events: &mut Events) -> anyhow::Result<()> {
        // What comes now is after the window.
        let (answers, excused, latency_us) = (self.answers, self.excused, self.latency_us.clone());
        while self.connections.iter().any(|connection| connection.since.is_some()) {
            self.wait(events)?;
            let now = Instant::now();
            for place in events.iter().map(|event| event.token().0) {
                if place < self.connections.len() {
                    self.receive(place, now)?;
                }
            }
        }
        (self.answers, self.excused, self.latency_us) = (answers, excused, latency_us);
        Ok(())
    }

    fn into_run(self, seconds: f64) -> Run {
        let Self { answers, excused, latency_us, .. } = self;
        Run { answers, seconds, excused, latency_us }
    }
}

/// Warm-up, then the window.
struct Phases {
    shape: Shape,
    begun: Instant,
    window: Option<Instant>,
    seconds: f64,
}

impl Phases {
    fn new(shape: Shape) -> Self {
        Self { shape, begun: Instant::now(), window: None, seconds: 0.0 }
    }

    fn over(&mut self, client: &mut Client<'_>, marks: &mut impl Marks) -> bool {
        match self.window {
            None if self.begun.elapsed() >= self.shape.warm_up => {
                marks.begin();
                client.answers = 0;
                client.excused = 0;
                client.latency_us.reset();
                self.window = Some(Instant::now());
                false
            }
            None => false,
            Some(window) if window.elapsed() >= self.shape.window => {
                marks.end();
                self.seconds = window.elapsed().as_secs_f64();
                true
            }
            Some(_) => false,
        }
    }
}

/// Status and length of the first of these answers, if it is whole.
///
/// # Errors
/// It is malformed, has no length, or is too long.
pub fn whole(answer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head.parse(answer)? else { return Ok(None) };
    let length = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length: usize = match length {
        Some(length) => std::str::from_utf8(length.value)?.parse()?,
        None => bail!("an answer without a length"),
    };
    let whole = head_bytes + length;
    ensure!(whole <= ANSWER_BYTES_MAX, "an answer that is too long");
    Ok((answer.len() >= whole).then_some((head.code.unwrap_or(0), whole)))
}

/// Wakes the client at each point of the schedule: the time-out of a poll is too coarse for it.
struct Timer(std::os::fd::OwnedFd);

impl Timer {
    fn start(poll: &Poll, token: Token) -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let tick = Timespec { tv_sec: 0, tv_nsec: (TICK_US * 1_000) as _ };
        let every = Itimerspec { it_interval: tick, it_value: tick };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Takes notice of its ticks.
    fn clear(&self) {
        // Nothing to be read is as good.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}
