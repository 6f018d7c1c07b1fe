//! One keep-alive connection of HTTP/1.1: a request's bytes go out, one answer comes in.
//!
//! It understands just what the contract's server sends: answers with a `Content-Length`. Anything else is
//! an error, after which the connection must not be used again. One buffer a connection, kept.

use std::cmp::Ordering;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::Target;

/// Largest answer, head and body, in bytes.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Most headers of an answer.
pub const HEADERS_MAX: usize = 64;
const BUFFER_BYTES: usize = 4_096;

/// Why there is no answer. Whether the request took effect is then unknown.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The system's word.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The connection ended before the answer was whole.
    #[error("the connection was closed before the answer was whole")]
    Closed,
    /// Not HTTP/1.1 as the contract's server speaks it.
    #[error("not an answer that this client understands: {0}")]
    Malformed(&'static str),
    /// The time for an answer was over.
    #[error("no answer in time")]
    TimedOut,
}

impl WireError {
    /// A stable word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection_reset",
                _ => "connection_failed",
            },
            Self::Closed => "connection_closed",
            Self::Malformed(_) => "malformed_answer",
            Self::TimedOut => "timed_out",
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection. After an error, or an answer that says `close`, it is of no more use.
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    filled: usize,
}

/// An answer; its body lives in the connection's buffer until the next exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The server closes the connection after it.
    pub close: bool,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// The one answer that `bytes` are; `None` while it is not whole. For whoever has bytes and no server,
    /// such as a fuzzer.
    ///
    /// # Errors
    /// [`WireError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, WireError> {
        let Some(head) = Head::parse(bytes)? else { return Ok(None) };
        let Head { status, retry_after_s, close, .. } = head;
        match bytes.len().cmp(&(head.body_at + head.body_bytes)) {
            Ordering::Less => Ok(None),
            Ordering::Equal => {
                Ok(Some(Self { status, retry_after_s, close, body: &bytes[head.body_at..] }))
            }
            Ordering::Greater => Err(WireError::Malformed("more came than was asked for")),
        }
    }
}

impl Connection {
    /// Connects, from `source` if one is given, and shakes hands where TLS is spoken.
    ///
    /// # Errors
    /// When the server does not take the connection.
    pub async fn open(target: &Target, source: Option<Ipv4Addr>) -> Result<Self, WireError> {
        let address = target.address();
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = match target.tls() {
            None => Stream::Plain(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                Stream::Tls(Box::new(connector.connect(name.clone(), stream).await?))
            }
        };
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 })
    }

    /// Sends a request and waits for its answer. Dropping the future spoils the connection.
    ///
    /// # Errors
    /// When the connection ends or the answer is not understood.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Response<'_>, WireError> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.filled = 0;
        let head = loop {
            self.fill().await?;
            if let Some(head) = Head::parse(&self.buffer[..self.filled])? {
                break head;
            }
        };
        let end = head.body_at + head.body_bytes;
        if end > ANSWER_BYTES_MAX {
            return Err(WireError::Malformed("it is too large"));
        }
        while self.filled < end {
            self.fill().await?;
        }
        if self.filled > end {
            return Err(WireError::Malformed("more came than was asked for"));
        }
        let body = &self.buffer[head.body_at..end];
        let Head { status, retry_after_s, close, .. } = head;
        Ok(Response { status, retry_after_s, close, body })
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        if self.filled == self.buffer.len() {
            if self.buffer.len() >= ANSWER_BYTES_MAX {
                return Err(WireError::Malformed("it is too large"));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(WireError::Closed);
        }
        self.filled += read;
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    retry_after_s: Option<u64>,
    close: bool,
    body_at: usize,
    body_bytes: usize,
}

impl Head {
    /// The head at the start of `bytes`; `None` while it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let body_at = match response.parse(bytes) {
            Ok(httparse::Status::Complete(body_at)) => body_at,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(WireError::Malformed("its head is not HTTP/1.1")),
        };
        let status = response.code.ok_or(WireError::Malformed("it has no status"))?;
        if status < 200 {
            return Err(WireError::Malformed("an interim answer was not asked for"));
        }
        let mut length = None;
        let mut retry_after_s = None;
        let mut close = response.version == Some(0);
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let value = number(header.value).ok_or(WireError::Malformed("its length"))?;
                if length.is_some_and(|earlier| earlier != value) {
                    return Err(WireError::Malformed("it has two lengths"));
                }
                length = Some(value);
            } else if is("transfer-encoding") {
                return Err(WireError::Malformed("it is chunked"));
            } else if is("retry-after") {
                retry_after_s = number(header.value);
            } else if is("connection") {
                close |= header.value.eq_ignore_ascii_case(b"close");
            }
        }
        let body_bytes = match (length, status) {
            (_, 204 | 304) => 0,
            (Some(length), _) => usize::try_from(length)
                .ok()
                .filter(|length| *length <= ANSWER_BYTES_MAX)
                .ok_or(WireError::Malformed("it is too large"))?,
            (None, _) => return Err(WireError::Malformed("it has no length")),
        };
        Ok(Some(Self { status, retry_after_s, close, body_at, body_bytes }))
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests;
