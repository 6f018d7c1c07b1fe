//! HTTP/1.1 over a plain socket, with nothing between the caller and the wire: what is malformed goes out
//! malformed. Answers are read strictly, so that a malformed answer is a failure.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 60_000;
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A member of the JSON body that is text, or nothing.
    pub fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_default().to_owned()
    }

    /// What the answer says: `code` of a problem, else `status` of a plain answer.
    pub fn word(&self) -> String {
        let code = self.member("code");
        if code.is_empty() { self.member("status") } else { code }
    }

    /// Status and word, for tables.
    pub fn summary(&self) -> String {
        format!("{} {}", self.status, self.word()).trim_end().to_owned()
    }
}

/// An address where nobody listens, for as long as this is kept: a port that is given back may be anybody's.
pub struct Nobody {
    /// Where.
    pub address: SocketAddr,
    _bound: socket2::Socket,
}

impl Nobody {
    /// Takes a port.
    ///
    /// # Panics
    /// The system has none.
    pub fn new() -> Self {
        let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let bound = bound.expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        bound.bind(&any.into()).expect("a port");
        let address = bound.local_addr().expect("its address").as_socket().expect("of IPv4");
        Self { address, _bound: bound }
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects, from this loopback address if one is given.
    pub fn open(to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect_timeout(&to.into(), Duration::from_millis(ANSWER_TIMEOUT_MS))?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_millis(ANSWER_TIMEOUT_MS)))?;
        stream.set_write_timeout(Some(Duration::from_millis(ANSWER_TIMEOUT_MS)))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Limits how long an answer may take.
    pub fn patience(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Sends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes; that the server has closed meanwhile is no failure, its answer tells why.
    pub fn write_what_it_takes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes, for so long.
    ///
    /// # Errors
    /// The server does not take them in that time.
    pub fn write_some(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(timeout))?;
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one answer; `None` if the server closed without one.
    ///
    /// # Errors
    /// No answer in time, or one that is no HTTP/1.1.
    pub fn read(&mut self) -> io::Result<Option<Answer>> {
        loop {
            let Some(answer) = self.read_one()? else { return Ok(None) };
            // 100 (Continue) is on the way to an answer.
            if answer.status != 100 {
                return Ok(Some(answer));
            }
        }
    }

    /// The status of an answer that has begun, of which nothing is taken away: its head is read on.
    ///
    /// # Errors
    /// No answer in time, or one that is no HTTP/1.1.
    pub fn read_status(&mut self) -> io::Result<u16> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = std::str::from_utf8(&self.unread[..end]);
                return status(line.map_err(|_| bad("head is not text"))?);
            }
            if self.fill()? == 0 {
                return Err(bad("cut off head"));
            }
        }
    }

    /// Whether an answer in chunks comes to its end within so many pieces; whatever it says is thrown away.
    ///
    /// # Errors
    /// Nothing comes for longer than the patience.
    pub fn ends_within(&mut self, pieces: usize) -> io::Result<bool> {
        for _ in 0..pieces {
            if self.unread.ends_with(b"\r\n0\r\n\r\n") || self.fill()? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What has come and was not taken yet.
    pub fn unread(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    fn read_one(&mut self) -> io::Result<Option<Answer>> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            if self.fill()? == 0 {
                return if self.unread.is_empty() { Ok(None) } else { Err(bad("cut off head")) };
            }
        };
        let head = self.unread.drain(..end + 4).collect::<Vec<u8>>();
        let head = std::str::from_utf8(&head[..end]).map_err(|_| bad("head is not text"))?;
        let mut lines = head.split("\r\n");
        let status = status(lines.next().unwrap_or_default())?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("header without colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.read_body(&answer)?;
        Ok(Some(answer))
    }

    fn read_body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if matches!(answer.status, 100..200 | 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks();
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| bad("content-length"))?;
            return self.take(length);
        }
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.unread, b"\r\n") {
                    break self.take(end + 2)?;
                }
                if self.fill()? == 0 {
                    return Err(bad("cut off chunk"));
                }
            };
            let size = std::str::from_utf8(&line[..line.len() - 2])
                .ok()
                .and_then(|text| usize::from_str_radix(text, 16).ok())
                .ok_or_else(|| bad("chunk size"))?;
            let chunk = self.take(size + 2)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            if self.fill()? == 0 {
                return Err(bad("cut off body"));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.unread.len() > ANSWER_BYTES_MAX {
            return Err(bad("endless answer"));
        }
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(length)
            }
            // A server that closes with something unread resets; what it said before stands.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn status(line: &str) -> io::Result<u16> {
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .ok_or_else(|| bad("not HTTP/1"))?;
    rest.get(..3).and_then(|digits| digits.parse().ok()).ok_or_else(|| bad("no status"))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("malformed answer: {what}"))
}

/// Sends one message on a connection of its own and reads one answer.
///
/// # Errors
/// No connection, no answer in time, or a malformed one.
pub fn exchange(
    to: SocketAddr,
    from: Option<Ipv4Addr>,
    bytes: &[u8],
) -> io::Result<Option<Answer>> {
    let mut connection = Connection::open(to, from)?;
    connection.write_what_it_takes(bytes);
    connection.read()
}
